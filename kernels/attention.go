package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"

	"vith/kernels/ptx"
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
// needed. scale is not negative. S and P are never stored. Compute bound: 4·queries·keys·head_dim operations a head.
//
// On a GPU a grid of batch·heads·blocks() blocks, those of a head next to each other, reads q and writes y once, and k
// and v once a block, in practice from the L2 cache. Views of one buffer for q, k and v are what it is made for: only
// their pitches are not constants of the text.
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
	// With unit normals a score has the size τ = scale·√head_dim, and is at most about 4τ. The head_dim roundings of its
	// sum, each of up to half a unit of that, add up like a random walk; a few more are those of scaling and of the
	// exponential. So a p is off by a factor 1 ± ε, besides which it is rounded to the activations' type where tensor cores
	// multiply it: by ρ. Dividing by the sum of p at most doubles what that does to Σ p·v, a mean of values up to about 4.
	// The sum over keys adds one rounding each.
	Tolerance: func(p Precision, c Case) tensor.Tolerance {
		dim := math.Sqrt(float64(c.Dims[4]))
		tau := float64(c.Scalars[0]) * dim
		epsilon := (4*tau*(dim+2) + 8) * 0x1p-24
		rho := roundoff(p.Activation)
		return tensor.Tolerance{Abs: 4*2*(epsilon+rho) + 4*float64(c.Dims[3])*0x1p-24, Rel: 2 * rho}
	},
	GPU: &GPU{
		Burn:    []string{"heads", "queries", "keys", "head_dim"},
		Accepts: func(s Spec, _ []int) error { return newAttention(s).accepts() },
		Launch:  func(s Spec, d []int) Geometry { return newAttention(s).launch(d[0]) },
		PTX:     func(f *ptx.Func, s Spec, p Params) { newAttention(s).write(f, p) },
	},
	Cases: []Case{
		{Dims: []int{1, 1, 1, 1, 1}, Scalars: []float32{1}},
		{Dims: []int{2, 3, 5, 7, 11}, Scalars: []float32{0.3}},
		{Dims: []int{1, 2, 17, 17, 80}, Scalars: []float32{0.1118034}},
		{Dims: []int{2, 2, 26, 26, 104}, Scalars: []float32{0.09805807}},
		{Dims: []int{3, 2, 1, 33, 64}, Scalars: []float32{0.125}},
		{Dims: []int{1, 2, 15, 1300, 16}, Scalars: []float32{0.25}},
		{Dims: []int{2, 2, 3, 1, 8}, Scalars: []float32{0.35}},
		{Dims: []int{1, 3, 64, 2, 16}, Scalars: []float32{0.25}},
		{Dims: []int{2, 2, 33, 128, 88}, Scalars: []float32{0.1066}},
		{Dims: []int{1, 1, 97, 129, 104}, Scalars: []float32{0.09805807}},
		{Dims: []int{1, 1, 40, 79, 160}, Scalars: []float32{0.0790569}},
		{Dims: []int{2, 2, 1, 257, 80}, Scalars: []float32{0.1118034}},
		{Dims: []int{1, 2, 197, 197, 64}, Scalars: []float32{0.125}},
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

// An attentionPTX is one way to compute attention on a GPU.
type attentionPTX interface {
	accepts() error
	launch(batch int) Geometry
	write(f *ptx.Func, p Params)
}

// newAttention chooses the way: attention_single.go for one query an image, attention_mma.go for 16-bit types in rows of
// whole chunks of 16 bytes, and attention_tiled.go for all others.
func newAttention(s Spec) attentionPTX {
	a := attentionSizes{
		dtype: s.Precision.Activation, target: s.Target, vector: int(s.Vector),
		heads: s.Dims[1], queries: s.Dims[2], keys: s.Dims[3], dim: s.Dims[4],
	}
	switch {
	case a.queries == 1:
		return newAttentionSingle(a)
	case a.dtype.Size() == 2 && a.vector == 8 && a.dim%8 == 0:
		return newAttentionMMA(a)
	}
	return newAttentionTiled(a)
}

// attentionSizes is what a text of attention is written for.
type attentionSizes struct {
	dtype                     tensor.DType
	target                    ptx.Target
	vector                    int // elements that may be accessed at once
	heads, queries, keys, dim int
}

// maxHeadDim bounds head_dim: O must fit the registers.
const maxHeadDim = 160

// fits refuses sizes for which a block of threads needs more than it has.
func (a attentionSizes) fits(shared int) error {
	if a.dim > maxHeadDim {
		return fmt.Errorf("head_dim is %d, at most %d fits the registers", a.dim, maxHeadDim)
	}
	if limit := a.target.MaxShared(); shared > limit {
		return fmt.Errorf("needs %d bytes of shared memory, %v has %d", shared, a.target, limit)
	}
	return nil
}

// geometry is a grid of so many blocks a head. Neighbours share keys, then an image.
func (a attentionSizes) geometry(batch, blocks, threads, shared int) Geometry {
	return Geometry{Grid: [3]int{batch * a.heads * blocks, 1, 1}, Block: [3]int{threads, 1, 1}, Shared: shared}
}

// locate is the inverse of geometry: which image, head, and block of the head this is.
func (a attentionSizes) locate(f *ptx.Func, blocks int) (image, head, block ptx.B32) {
	rest, block := divide(f, f.Special(ptx.CTAIdX), blocks)
	image, head = divide(f, rest, a.heads)
	return image, head, block
}

// head is operand p from the first column of a head.
func (a attentionSizes) head(f *ptx.Func, p Pointer, head ptx.B32) Pointer {
	p.Address = f.MadWideU32(head, ptx.Int(a.dim*a.dtype.Size()), p.Address)
	return p
}

// ex2Scale turns the definition's scale into one for powers of two: exp(scale·x) = 2^(scale·log₂e·x).
func ex2Scale(f *ptx.Func, scale ptx.F32) ptx.F32 { return f.MulRnF32(scale, ptx.Float(math.Log2E)) }

// reduceLanes combines the values of the lanes whose numbers differ by a multiple of step, below end: powers of two. All
// of them get the same bits.
func reduceLanes(f *ptx.Func, x ptx.F32, step, end int, combine func(a, b ptx.F32) ptx.F32) ptx.F32 {
	for ; step < end; step *= 2 {
		x = combine(x, f.ShflSyncBflyF32(x, ptx.Int(step), ptx.Int(31), ptx.Int(fullWarp)))
	}
	return x
}

// ceilDiv is a/b, rounded up.
func ceilDiv(a, b int) int { return (a + b - 1) / b }

// roundUp is the first multiple of b from a up.
func roundUp(a, b int) int { return ceilDiv(a, b) * b }
