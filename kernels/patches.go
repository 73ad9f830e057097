package kernels

import (
	"fmt"
	"math/rand/v2"

	"vith/kernels/tensor"
)

// patches cuts images into patches, one a row, and centres the samples on an integer per channel:
//
//	y[b·grid² + i·grid + j, (u·patch + v)·3 + c] = pixels[b, ((i·patch+u)·image + j·patch+v)·3 + c] − centre[c]
//
// for grid = ⌊image/patch⌋, i, j < grid, u, v < patch and channels c < 3; columns from 3·patch² to cols are zero.
// Pixels beyond grid·patch are left out, as a convolution with that stride leaves them out.
// Shapes: pixels [batch, 3·image²] u8, rows of RGB samples; y [batch·grid², cols]. The differences are integers up to
// 255 in size, exact in every float type. Bandwidth bound.
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
	Cases: []Case{
		{Dims: []int{1, 1, 1, 3}, Scalars: []float32{0, 0, 0}},
		{Dims: []int{2, 7, 3, 29}, Scalars: []float32{1, 2, 3}},
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
