package kernels

import (
	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// cast converts the type of every element, to nearest with ties to even:
//
//	y[r,c] = x[r,c]
//
// Shapes: x, y [rows, cols]. From a type to itself it is a copy, but for the bits of NaN.
// Bandwidth bound: x and y are moved once, by threads as tiling lays them. It goes through float32, which holds every
// value of every type.
var cast = register(&Kernel{
	Name:  "cast",
	Dims:  []string{"rows", "cols"},
	In:    []Operand{{Name: "x", Kind: Activations, Shape: elementwise}},
	Out:   []Operand{{Name: "y", Kind: Stream, Shape: elementwise}},
	FLOPs: func([]int) int64 { return 0 },
	Host: func(a Args) {
		for r := range a.Dims[0] {
			for c := range a.Dims[1] {
				a.Out[0].Set(r, c, a.In[0].At(r, c))
			}
		}
	},
	// Rounding to nearest has one right answer.
	Tolerance: func(Precision, Case) tensor.Tolerance { return tensor.Tolerance{} },
	GPU:       elementwiseGPU([]Kind{Activations}, Stream, func(_ *ptx.Func, x []ptx.F32) ptx.F32 { return x[0] }),
	Cases: []Case{
		{Dims: []int{1, 1}}, {Dims: []int{5, 67}}, {Dims: []int{7, 48}}, {Dims: []int{257, 1280}}, {Dims: []int{-1, 4}, Refused: true},
	},
	Random: randomElementwise,
})

// Cast returns x as type t: a copy if it is of that type already.
func (p *Program) Cast(x Buf, t tensor.DType) Buf {
	return p.Append(p.name(x)+"."+t.String(), Precision{p.typeOf(x), t}, Call{Kernel: cast, In: []Buf{x}, Dims: []int{x.Rows, x.Cols}})[0]
}
