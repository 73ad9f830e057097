package kernels

import (
	"fmt"
	"math/rand/v2"

	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// patches cuts images into patches, one a row, and centres the samples on an integer per channel:
//
//	y[b·grid² + i·grid + j, (u·patch + v)·3 + c] = pixels[b, ((i·patch+u)·image + j·patch+v)·3 + c] − centre[c]
//
// for grid = ⌊image/patch⌋, i, j < grid, u, v < patch and channels c < 3; columns from 3·patch² to cols are zero.
// Pixels beyond grid·patch are left out, as a convolution with that stride leaves them out.
// Shapes: pixels [batch, 3·image²] u8, rows of RGB samples; y [batch·grid², cols]. The differences are integers up to
// 255 in size, exact in every float type.
//
// On a GPU, a strip of patch image lines is cut into vectors of v <= 4 samples, in the order in which a line has them,
// and into as many threads: thread g has vector g of all lines of the strip.
//
//	line u of the strip  | patch 0: v v v … | patch 1: v v v … | …
//	threads              |          0 1 2 …            k k+1 … |
//
// Neighbours read neighbouring bytes of a line, and write neighbouring columns [3·patch·u, 3·patch·(u+1)) of a row. The
// threads of a patch write its zeros last. Bandwidth bound: pixels and y are moved once.
var patches = register(&Kernel{
	Name:    "patches",
	Dims:    []string{"batch", "image", "patch", "cols"},
	Scalars: []string{"red", "green", "blue"},
	In: []Operand{{
		Name: "pixels", Kind: Samples,
		Shape: func(d []int) (int, int) { return d[0], 3 * d[1] * d[1] },
		Fill:  func(r *rand.Rand) float64 { return float64(r.IntN(256)) },
	}},
	Out: []Operand{{Name: "y", Kind: Activations, Shape: func(d []int) (int, int) { return d[0] * (d[1] / d[2]) * (d[1] / d[2]), d[3] }}},
	Accepts: func(d []int) error {
		if d[2] > d[1] {
			return fmt.Errorf("patch %d is larger than image %d", d[2], d[1])
		}
		return atLeast("cols", d[3], 3*d[2]*d[2])
	},
	FLOPs: func(d []int) int64 { return int64(d[0]) * 3 * int64(d[1]) * int64(d[1]) },
	Host: func(a Args) {
		batch, image, patch, cols := a.Dims[0], a.Dims[1], a.Dims[2], a.Dims[3]
		grid := image / patch
		for b := range batch {
			for i := range grid {
				for j := range grid {
					row := (b*grid+i)*grid + j
					for col := range cols {
						if col >= 3*patch*patch {
							a.Out[0].Set(row, col, 0)
							continue
						}
						u, v, c := col/3/patch, col/3%patch, col%3
						x := a.In[0].At(b, ((i*patch+u)*image+j*patch+v)*3+c)
						a.Out[0].Set(row, col, x-float64(a.Scalars[c]))
					}
				}
			}
		}
	},
	// Integers: exact.
	Tolerance: func(Precision, Case) tensor.Tolerance { return tensor.Tolerance{} },
	GPU: &GPU{
		Burn: []string{"image", "patch", "cols"},
		Accepts: func(s Spec, d []int) error {
			t := stripOf(s, d[1], d[2], d[3])
			if most := maxThreads / (t.grid * t.threads); d[0] > most {
				return fmt.Errorf("%d images, at most %d can be numbered", d[0], most)
			}
			return nil
		},
		Launch: func(s Spec, d []int) Geometry {
			t := stripOf(s, d[1], d[2], d[3])
			return launchThreads(d[0] * t.grid * t.threads)
		},
		PTX: patchesPTX,
	},
	Cases: []Case{
		{Dims: []int{1, 1, 1, 3}, Scalars: []float32{0, 0, 0}},
		{Dims: []int{2, 7, 3, 29}, Scalars: []float32{1, 2, 3}},
		{Dims: []int{1, 32, 16, 784}, Scalars: []float32{123, 117, 104}},
		{Dims: []int{2, 56, 14, 592}, Scalars: []float32{123, 117, 104}},
		{Dims: []int{1, 224, 14, 592}, Scalars: []float32{123, 117, 104}},
		{Dims: []int{1, 13, 14, 592}, Scalars: []float32{0, 0, 0}, Refused: true},
		{Dims: []int{1, 28, 14, 587}, Scalars: []float32{0, 0, 0}, Refused: true},
	},
	Random: func(r *rand.Rand) Case {
		patch := 1 + r.IntN(9)
		return Case{
			Dims:    []int{1 + r.IntN(3), patch + r.IntN(30), patch, 3*patch*patch + r.IntN(16)},
			Scalars: []float32{float32(r.IntN(256)), float32(r.IntN(256)), float32(r.IntN(256))},
		}
	},
})

// Patches returns the patches of images of the given size in pixels, as type t in rows of cols values.
func (p *Program) Patches(pixels Buf, t tensor.DType, image, patch, cols int, centre [3]float32) Buf {
	return p.Append("patches", Precision{t, t}, Call{
		Kernel: patches, In: []Buf{pixels}, Scalars: centre[:], Dims: []int{pixels.Rows, image, patch, cols},
	})[0]
}

// A strip is one row of patches of an image, and the threads that cut it.
type strip struct {
	grid    int // patches of a strip, and strips of an image
	vector  int // samples
	threads int // of a strip
}

func stripOf(s Spec, image, patch, cols int) strip {
	// A power of two divides all three if it divides the bits of all three.
	t := strip{grid: image / patch, vector: s.vectorOf(3*image|3*patch|cols, tensor.F32.Size())}
	t.threads = t.grid * 3 * patch / t.vector
	return t
}

func patchesPTX(f *ptx.Func, s Spec, p Params) {
	image, patch, cols := s.Dims[1], s.Dims[2], s.Dims[3]
	t, kind := stripOf(s, image, patch, cols), s.Precision.Activation
	line := 3 * patch // samples of a patch in a line

	f.Comment("%d threads a strip, %d x %d samples a thread", t.threads, patch, t.vector)
	n, g := divide(f, thread(f, f.MulLoU32(p.Dims[0], ptx.Int(t.grid*t.threads))), t.threads)
	b, i := divide(f, n, t.grid)
	pixels := f.MadWideU32(i, ptx.Int(3*patch*image), p.In[0].Row(f, b))
	pixels = f.MadWideU32(g, ptx.Int(t.vector), pixels)
	j, k := divide(f, g, line/t.vector)
	y := p.Out[0].Row(f, f.MadLoU32(n, ptx.Int(t.grid), j))
	column := f.MulLoU32(k, ptx.Int(t.vector))
	first := f.MadWideU32(column, ptx.Int(kind.Size()), y)

	f.Comment("the centres of the channels, from the column's on")
	_, channel := divide(f, column, 3)
	green, blue := f.SetpU32(ptx.EQ, channel, ptx.Int(1)), f.SetpU32(ptx.EQ, channel, ptx.Int(2))
	var centre [3]ptx.F32
	for c := range centre {
		centre[c] = f.SelpF32(p.Scalars[(c+2)%3], f.SelpF32(p.Scalars[(c+1)%3], p.Scalars[c], green), blue)
	}
	for u := range patch {
		x := loadBytes(f, pixels, 3*image*u, t.vector)
		for e := range x {
			x[e] = f.SubRnF32(x[e], centre[e%3])
		}
		store(f, kind, first, line*u*kind.Size(), x)
	}

	f.Comment("zeros")
	zeros := make([]ptx.F32, t.vector)
	for e := range zeros {
		zeros[e] = f.MovF32(ptx.Float(0))
	}
	f.For(f.AddU32(column, ptx.Int(3*patch*patch)), ptx.Int(cols), ptx.Int(line), func(column ptx.B32) {
		store(f, kind, f.MadWideU32(column, ptx.Int(kind.Size()), y), 0, zeros)
	})
}

// loadBytes reads n consecutive bytes, 1, 2 or 4, offset bytes after base, as float32.
func loadBytes(f *ptx.Func, base ptx.B64, offset, n int) []ptx.F32 {
	var word ptx.B32
	switch n {
	case 1:
		return []ptx.F32{f.CvtRnF32U32(f.LdGlobalU8(base.At(offset), ptx.NC))}
	case 2:
		word = f.CvtU32U16(f.LdGlobalB16(base.At(offset), ptx.NC))
	default:
		word = f.LdGlobalB32(base.At(offset), ptx.NC)
	}
	x := make([]ptx.F32, n)
	for e := range x {
		x[e] = f.CvtRnF32U32(f.BfeU32(word, ptx.Int(8*e), ptx.Int(8)))
	}
	return x
}
