package kernels

import (
	"math"
	"math/rand/v2"
	"strings"

	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// layernorm normalises each row of x to zero mean and unit variance, then scales and shifts:
//
//	μ[r]   = Σ_c x[r,c] / cols
//	σ²[r]  = Σ_c (x[r,c] − μ[r])² / cols
//	y[r,c] = (x[r,c] − μ[r]) / √(σ²[r] + ε) · γ[c] + β[c]
//
// Shapes: x, y [rows, cols]; γ, β [1, cols] f32. Statistics in float32, in two passes. On the view of every tokens-th
// row it pools: the class token of each image, normalised.
//
// On a GPU a warp has a row, spread as warpRow says and held in registers up to 2048 columns, so that x and y are moved
// once: bandwidth bound. Longer rows are read three times, mostly from L1. γ and β stay in L1.
//
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
	// The mean of unit normals is off by a few roundings of its partial sums, x − μ by one more; σ² adds one, 1/√ two,
	// its product and γ's one each. Normalised values times γ stay below about 16. A single column has variance 0, and
	// 1/√ε magnifies.
	Tolerance: func(p Precision, c Case) tensor.Tolerance {
		abs := 6 * 16 * 0x1p-24
		if c.Dims[1] < 3 {
			abs *= 1000
		}
		return tensor.Tolerance{Abs: abs, Rel: 16*0x1p-24 + 2*roundoff(p.Activation)}
	},
	GPU: &GPU{
		Burn:   []string{"cols"},
		Launch: func(_ Spec, d []int) Geometry { return launchRows(d[0]) },
		PTX:    layernormPTX,
	},
	Cases: []Case{
		{Dims: []int{1, 1}, Scalars: []float32{1e-5}},
		{Dims: []int{5, 31}, Scalars: []float32{1e-5}},
		{Dims: []int{3, 33}, Scalars: []float32{0.1}},
		{Dims: []int{26, 208}, Scalars: []float32{1e-5}},
		{Dims: []int{2, 2047}, Scalars: []float32{1e-5}},
		{Dims: []int{2, 2056}, Scalars: []float32{1e-5}},
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

func layernormPTX(f *ptx.Func, s Spec, p Params) {
	from, to := s.Precision.Type(Stream), s.Precision.Type(Activations)
	row := warpNumber(f, rowBlocks, p.Dims[0])
	r := rowOf(f, s, s.Dims[1], max(from.Size(), to.Size()))
	x, y := p.In[0].Row(f, row), p.Out[0].Row(f, row)
	gamma, beta, epsilon := p.In[1].Address, p.In[2].Address, p.Scalars[0]
	if r.cols <= maxHeld {
		r.store(f, to, y, r.normalise(f, r.load(f, from, x), gamma, beta, epsilon))
		return
	}
	f.Comment("mean")
	sum := f.MovF32(ptx.Float(0))
	r.loop(f, func(column ptx.B32) {
		for _, v := range r.loadAt(f, from, x, column) {
			ptx.Into(f, sum).AddRnF32(sum, v)
		}
	})
	mean := f.MulRnF32(sumLanes(f, sum), ptx.Float(1/float32(r.cols)))
	f.Comment("variance")
	squares := f.MovF32(ptx.Float(0))
	r.loop(f, func(column ptx.B32) {
		for _, v := range r.loadAt(f, from, x, column) {
			d := f.SubRnF32(v, mean)
			ptx.Into(f, squares).FmaRnF32(d, d, squares)
		}
	})
	scale := r.scale(f, sumLanes(f, squares), epsilon)
	f.Comment("result")
	r.loop(f, func(column ptx.B32) {
		v := r.loadAt(f, from, x, column)
		g, b := r.loadAt(f, tensor.F32, gamma, column, ptx.NC), r.loadAt(f, tensor.F32, beta, column, ptx.NC)
		for i := range v {
			v[i] = f.FmaRnF32(f.MulRnF32(f.SubRnF32(v[i], mean), scale), g[i], b[i])
		}
		r.storeAt(f, to, y, column, v)
	})
}

// normalise returns a row normalised; what a lane does not have is zero. γ and β are read on the way.
func (r *warpRow) normalise(f *ptx.Func, x []ptx.F32, gamma, beta ptx.B64, epsilon ptx.F32) []ptx.F32 {
	f.Comment("mean")
	mean := f.MulRnF32(sumRow(f, x), ptx.Float(1/float32(r.cols)))
	f.Comment("variance")
	y := make([]ptx.F32, len(x))
	for i := range x {
		y[i] = f.SubRnF32(x[i], mean)
	}
	r.clear(f, y)
	scale := r.scale(f, sumSquares(f, y), epsilon)
	f.Comment("result")
	gamma, beta = r.lane(f, tensor.F32, gamma), r.lane(f, tensor.F32, beta)
	for turn := range r.turns() {
		g, b := r.loadTurn(f, tensor.F32, gamma, turn, ptx.NC), r.loadTurn(f, tensor.F32, beta, turn, ptx.NC)
		for i, v := range y[turn*r.vector:][:r.vector] {
			y[turn*r.vector+i] = f.FmaRnF32(f.MulRnF32(v, scale), g[i], b[i])
		}
	}
	return y
}

// scale is 1/√(σ² + ε), from the sum of squares of x − μ.
func (r *warpRow) scale(f *ptx.Func, squares, epsilon ptx.F32) ptx.F32 {
	return f.RsqrtApproxF32(f.FmaRnF32(squares, ptx.Float(1/float32(r.cols)), epsilon))
}
