package kernels

import (
	"math"
	"math/rand/v2"

	"vith/kernels/tensor"
)

// attention is scaled dot-product attention, for each image b and head h on its own:
//
//	S[i,j] = scale · Σ_c q[i,c]·k[j,c]        i < queries, j < keys, c < head_dim
//	P[i,j] = exp(S[i,j] − max_j S[i,j]) / Σ_j exp(S[i,j] − max_j S[i,j])
//	y[i,c] = Σ_j P[i,j]·v[j,c]
//
// Shapes: q, y [batch·queries, heads·head_dim]; k, v [batch·keys, heads·head_dim]; head h is columns
// [h·head_dim, (h+1)·head_dim). With one query an image it serves the last layer, of which only the class token is
// needed. S and P are never stored. Compute bound: 4·queries·keys·head_dim operations a head.
// Source: Vaswani et al. 2017, arXiv:1706.03762 §3.2.
var attention = register(&Kernel{
	Name:    "attention",
	Dims:    []string{"batch", "heads", "queries", "keys", "head_dim"},
	Scalars: []string{"scale"},
	In: []Operand{
		{Name: "q", Kind: Activations, Shape: func(d []int) (int, int) { return d[0] * d[2], d[1] * d[4] }},
		{Name: "k", Kind: Activations, Shape: func(d []int) (int, int) { return d[0] * d[3], d[1] * d[4] }},
		{Name: "v", Kind: Activations, Shape: func(d []int) (int, int) { return d[0] * d[3], d[1] * d[4] }},
	},
	Out: []Operand{{Name: "y", Kind: Activations, Shape: func(d []int) (int, int) { return d[0] * d[2], d[1] * d[4] }}},
	FLOPs: func(d []int) int64 {
		return 4 * int64(d[0]) * int64(d[1]) * int64(d[2]) * int64(d[3]) * int64(d[4])
	},
	Host: func(a Args) {
		batch, heads, queries, keys, dim := a.Dims[0], a.Dims[1], a.Dims[2], a.Dims[3], a.Dims[4]
		q, k, v, y := a.In[0], a.In[1], a.In[2], a.Out[0]
		p := make([]float64, keys)
		for b := range batch {
			for h := range heads {
				for i := range queries {
					row, top := b*queries+i, math.Inf(-1)
					for j := range keys {
						p[j] = 0
						for c := h * dim; c < (h+1)*dim; c++ {
							p[j] += q.At(row, c) * k.At(b*keys+j, c)
						}
						p[j] *= float64(a.Scalars[0])
						top = max(top, p[j])
					}
					sum := 0.0
					for j := range p {
						p[j] = math.Exp(p[j] - top)
						sum += p[j]
					}
					for c := h * dim; c < (h+1)*dim; c++ {
						s := 0.0
						for j := range p {
							s += p[j] * v.At(b*keys+j, c)
						}
						y.Set(row, c, s/sum)
					}
				}
			}
		}
	},
	// A score of unit-normal rows is √head_dim·scale in size and carries about that many roundings, which the
	// exponential turns into a relative error of a probability; the sum over keys adds one rounding each, of values up
	// to the largest |v|, about 4.
	Tolerance: func(p Precision, c Case) tensor.Tolerance {
		return tensor.Tolerance{Abs: 4 * (2*math.Sqrt(float64(c.Dims[4])) + float64(c.Dims[3])) * 0x1p-24, Rel: 2 * roundoff(p.Activation)}
	},
	Cases: []Case{
		{Dims: []int{1, 1, 1, 1, 1}, Scalars: []float32{1}},
		{Dims: []int{2, 3, 5, 7, 11}, Scalars: []float32{0.3}},
		{Dims: []int{1, 2, 17, 17, 80}, Scalars: []float32{0.1118034}},
		{Dims: []int{2, 2, 26, 26, 104}, Scalars: []float32{0.09805807}},
		{Dims: []int{3, 2, 1, 33, 64}, Scalars: []float32{0.125}},
		{Dims: []int{1, 2, 15, 1300, 16}, Scalars: []float32{0.25}},
		{Dims: []int{1, 2, 257, 257, 80}, Scalars: []float32{0.1118034}},
		{Dims: []int{1, 1, 5, 5, 128}, Scalars: []float32{40}}, // scores far apart: probabilities of 0 and 1
		{Dims: []int{1, 0, 5, 5, 64}, Scalars: []float32{1}, Refused: true},
	},
	Random: func(r *rand.Rand) Case {
		return Case{
			Dims:    []int{1 + r.IntN(3), 1 + r.IntN(4), 1 + r.IntN(40), 1 + r.IntN(80), 1 + r.IntN(130)},
			Scalars: []float32{float32(r.Float64())},
		}
	},
})

// Attention returns softmax(scale·q·kᵀ)·v for each of batch images and each head.
func (p *Program) Attention(q, k, v Buf, batch, heads int, scale float32) Buf {
	return p.Append(p.name(q)+".attention", p.uniform(q), Call{
		Kernel: attention, In: []Buf{q, k, v}, Scalars: []float32{scale},
		Dims: []int{batch, heads, q.Rows / batch, k.Rows / batch, q.Cols / heads},
	})[0]
}
