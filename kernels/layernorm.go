package kernels

import (
	"math"
	"math/rand/v2"
	"strings"

	"vith/kernels/tensor"
)

// layernorm normalises each row of x to zero mean and unit variance, then scales and shifts:
//
//	μ[r]   = Σ_c x[r,c] / cols
//	σ²[r]  = Σ_c (x[r,c] − μ[r])² / cols
//	y[r,c] = (x[r,c] − μ[r]) / √(σ²[r] + ε) · γ[c] + β[c]
//
// Shapes: x, y [rows, cols]; γ, β [1, cols] f32. Statistics in float32, in two passes. Bandwidth bound. On the view of
// every tokens-th row it pools: the class token of each image, normalised.
// Source: Ba, Kiros, Hinton 2016, arXiv:1607.06450 §3; equals torch.nn.functional.layer_norm.
var layernorm = register(&Kernel{
	Name:    "layernorm",
	Dims:    []string{"rows", "cols"},
	Scalars: []string{"epsilon"},
	In: []Operand{
		{Name: "x", Kind: Stream, Shape: elementwise},
		{Name: "gamma", Kind: Parameters, Shape: func(d []int) (int, int) { return 1, d[1] }, Constant: true},
		{Name: "beta", Kind: Parameters, Shape: func(d []int) (int, int) { return 1, d[1] }, Constant: true},
	},
	Out:     []Operand{{Name: "y", Kind: Activations, Shape: elementwise}},
	InPlace: []Alias{{Out: 0, In: 0}},
	FLOPs:   func(d []int) int64 { return 8 * int64(d[0]) * int64(d[1]) },
	Host: func(a Args) {
		x, gamma, beta, cols := a.In[0], a.In[1], a.In[2], a.Dims[1]
		for r := range a.Dims[0] {
			mean := 0.0
			for c := range cols {
				mean += x.At(r, c)
			}
			mean /= float64(cols)
			variance := 0.0
			for c := range cols {
				variance += (x.At(r, c) - mean) * (x.At(r, c) - mean)
			}
			variance /= float64(cols)
			scale := 1 / math.Sqrt(variance+float64(a.Scalars[0]))
			for c := range cols {
				a.Out[0].Set(r, c, (x.At(r, c)-mean)*scale*gamma.At(0, c)+beta.At(0, c))
			}
		}
	},
	// The mean of unit normals is off by a few roundings of its partial sums, x − μ by one more; scale, γ and β add
	// three. Normalised values times γ stay below about 16. A single column has variance 0, and 1/√ε magnifies.
	Tolerance: func(p Precision, c Case) tensor.Tolerance {
		abs := 64 * 0x1p-24
		if c.Dims[1] < 3 {
			abs *= 1000
		}
		return tensor.Tolerance{Abs: abs, Rel: 16*0x1p-24 + 2*roundoff(p.Activation)}
	},
	Cases: []Case{
		{Dims: []int{1, 1}, Scalars: []float32{1e-5}},
		{Dims: []int{5, 31}, Scalars: []float32{1e-5}},
		{Dims: []int{3, 33}, Scalars: []float32{0.1}},
		{Dims: []int{26, 208}, Scalars: []float32{1e-5}},
		{Dims: []int{257, 1280}, Scalars: []float32{1e-5}},
		{Dims: []int{2, 0}, Scalars: []float32{1e-5}, Refused: true},
	},
	Random: func(r *rand.Rand) Case {
		c := randomElementwise(r)
		c.Scalars = []float32{1e-5}
		return c
	},
})

// LayerNorm returns x normalised by rows, as type t. The result is named after gamma.
func (p *Program) LayerNorm(x Buf, gamma, beta *Weight, epsilon float32, t tensor.DType) Buf {
	name := strings.TrimSuffix(gamma.Key, ".weight")
	return p.Append(name, Precision{t, p.typeOf(x)}, Call{
		Kernel: layernorm, In: []Buf{x, p.Weight(gamma), p.Weight(beta)}, Scalars: []float32{epsilon}, Dims: []int{x.Rows, x.Cols},
	})[0]
}
