package kernels

import (
	"math"

	"vith/kernels/tensor"
)

// l2norm scales each row to unit length, so that a dot product of two rows is their cosine:
//
//	y[r,c] = x[r,c] / √(Σ_c x[r,c]²)
//
// Shapes: x, y [rows, cols]. A row of zeros stays zero. Bandwidth bound.
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
	// roundings; the square root halves it, the division adds one.
	Tolerance: func(p Precision, _ Case) tensor.Tolerance {
		return tensor.Tolerance{Rel: 16*0x1p-24 + 2*roundoff(p.Stream)}
	},
	Cases: []Case{
		{Dims: []int{1, 1}}, {Dims: []int{3, 33}}, {Dims: []int{8, 1280}}, {Dims: []int{4, 0}, Refused: true},
	},
	Random: randomElementwise,
})

// L2Norm returns x with every row scaled to unit length.
func (p *Program) L2Norm(x Buf) Buf {
	return p.Append(p.name(x)+".l2norm", p.uniform(x), Call{Kernel: l2norm, In: []Buf{x}, Dims: []int{x.Rows, x.Cols}})[0]
}
