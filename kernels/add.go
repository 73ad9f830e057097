package kernels

import (
	"math/rand/v2"

	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// add is the residual connection:
//
//	y[r,c] = a[r,c] + b[r,c]
//
// Shapes: a, b, y [rows, cols]. One addition, rounded once. Bandwidth bound: every operand is moved once, by threads as
// tiling lays them. Backends whose gemm adds a residual never see it: Lower folds it in.
var add = register(&Kernel{
	Name: "add",
	Dims: []string{"rows", "cols"},
	In: []Operand{
		{Name: "a", Kind: Stream, Shape: elementwise},
		{Name: "b", Kind: Stream, Shape: elementwise},
	},
	Out:     []Operand{{Name: "y", Kind: Stream, Shape: elementwise}},
	InPlace: []Alias{{Out: 0, In: 0}, {Out: 0, In: 1}},
	FLOPs:   func(d []int) int64 { return int64(d[0]) * int64(d[1]) },
	Host: func(a Args) {
		for r := range a.Dims[0] {
			for c := range a.Dims[1] {
				a.Out[0].Set(r, c, a.In[0].At(r, c)+a.In[1].At(r, c))
			}
		}
	},
	// The exact sum of two values, rounded once to t or first to float32.
	Tolerance: func(p Precision, _ Case) tensor.Tolerance { return tensor.Tolerance{Rel: 2 * roundoff(p.Stream)} },
	GPU: elementwiseGPU([]Kind{Stream, Stream}, Stream, func(f *ptx.Func, x []ptx.F32) ptx.F32 {
		return f.AddRnF32(x[0], x[1])
	}),
	Cases: []Case{
		{Dims: []int{1, 1}}, {Dims: []int{3, 17}}, {Dims: []int{11, 40}}, {Dims: []int{257, 1280}}, {Dims: []int{0, 8}, Refused: true},
	},
	Random: randomElementwise,
})

// Add returns a + b, element by element. The result is named after b, what is added to the stream a.
func (p *Program) Add(a, b Buf) Buf {
	return p.Append(p.name(b)+".residual", p.uniform(a), Call{Kernel: add, In: []Buf{a, b}, Dims: []int{a.Rows, a.Cols}})[0]
}

// randomElementwise is a case of a kernel whose sizes are rows and cols.
func randomElementwise(r *rand.Rand) Case {
	return Case{Dims: []int{1 + r.IntN(40), 1 + r.IntN(300)}}
}
