package kernels

import (
	"math"

	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// l2norm scales each row to unit length, so that a dot product of two rows is their cosine:
//
//	y[r,c] = x[r,c] / √(Σ_c x[r,c]²)
//
// Shapes: x, y [rows, cols]. A row of zeros stays zero. The squares are summed in float32: rows longer than 1.8e19 or
// shorter than 1e-19 are beyond it.
//
// On a GPU a warp has a row, spread as warpRow says and held in registers up to 2048 columns, so that x and y are moved
// once: bandwidth bound. Longer rows are read twice.
var l2norm = register(&Kernel{
	Name:    "l2norm",
	Dims:    []string{"rows", "cols"},
	In:      []Operand{{Name: "x", Kind: Stream, Shape: elementwise}},
	Out:     []Operand{{Name: "y", Kind: Stream, Shape: elementwise}},
	InPlace: []Alias{{Out: 0, In: 0}},
	FLOPs:   func(d []int) int64 { return 3 * int64(d[0]) * int64(d[1]) },
	Host: func(a Args) {
		for r := range a.Dims[0] {
			sum := 0.0
			for c := range a.Dims[1] {
				sum += a.In[0].At(r, c) * a.In[0].At(r, c)
			}
			norm := math.Sqrt(sum)
			if sum == 0 {
				norm = 1
			}
			for c := range a.Dims[1] {
				a.Out[0].Set(r, c, a.In[0].At(r, c)/norm)
			}
		}
	},
	// A sum of squares has no cancellation: its relative error is at most that of a pairwise or 32-lane sum, a few
	// roundings; the square root halves it, the division adds one, or 1/√ of up to 2^-22.9 and a product.
	Tolerance: func(p Precision, _ Case) tensor.Tolerance {
		return tensor.Tolerance{Rel: 16*0x1p-24 + 2*roundoff(p.Stream)}
	},
	GPU: &GPU{
		Burn:   []string{"cols"},
		Launch: func(_ Spec, d []int) Geometry { return launchRows(d[0]) },
		PTX:    l2normPTX,
	},
	Cases: []Case{
		{Dims: []int{1, 1}}, {Dims: []int{3, 33}}, {Dims: []int{5, 1032}}, {Dims: []int{2, 2052}}, {Dims: []int{8, 1280}}, {Dims: []int{4, 0}, Refused: true},
	},
	Random: randomElementwise,
})

// L2Norm returns x with every row scaled to unit length.
func (p *Program) L2Norm(x Buf) Buf {
	return p.Append(p.name(x)+".l2norm", p.uniform(x), Call{Kernel: l2norm, In: []Buf{x}, Dims: []int{x.Rows, x.Cols}})[0]
}

func l2normPTX(f *ptx.Func, s Spec, p Params) {
	t := s.Precision.Type(Stream)
	row := warpNumber(f, rowBlocks, p.Dims[0])
	r := rowOf(f, s, s.Dims[1], t.Size())
	x, y := p.In[0].Row(f, row), p.Out[0].Row(f, row)
	times := func(v []ptx.F32, scale ptx.F32) []ptx.F32 {
		for i := range v {
			v[i] = f.MulRnF32(v[i], scale)
		}
		return v
	}
	if r.cols <= maxHeld {
		v := r.load(f, t, x)
		r.store(f, t, y, times(v, inverseNorm(f, sumSquares(f, v))))
		return
	}
	squares := f.MovF32(ptx.Float(0))
	r.loop(f, func(column ptx.B32) {
		for _, v := range r.loadAt(f, t, x, column) {
			ptx.Into(f, squares).FmaRnF32(v, v, squares)
		}
	})
	scale := inverseNorm(f, sumLanes(f, squares))
	r.loop(f, func(column ptx.B32) {
		r.storeAt(f, t, y, column, times(r.loadAt(f, t, x, column), scale))
	})
}

// inverseNorm is 1/√squares, or 1 for a row of zeros.
func inverseNorm(f *ptx.Func, squares ptx.F32) ptx.F32 {
	zero := f.SetpF32(ptx.EQ, squares, ptx.Float(0))
	return f.SelpF32(ptx.Float(1), f.RsqrtApproxF32(squares), zero)
}
