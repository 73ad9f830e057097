package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"

	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// embedNorm is embed with the two layer normalisations after it: the one before the first block, whose result is the
// residual stream, and the first block's own:
//
//	e[b·tokens, c]     = class[c] + position[0,c]
//	e[b·tokens + t, c] = patches[b·(tokens−1) + t−1, c] + position[t,c]        t = 1 … tokens−1
//	x = layernorm(e; pre_gamma, pre_beta, pre_epsilon)
//	y = layernorm(x; gamma, beta, epsilon)
//
// with layernorm as in layernorm.go. Shapes: those of embed; x, y [batch·tokens, width]; γ, β [1, width] f32. y comes
// from x before it is rounded. Programs are not written with it: Lower makes it.
//
// A warp has a row, spread as warpRow says and held in registers from the sum to y, so that patches, x and y are moved
// once where three kernels would move seven matrices. Bandwidth bound.
var embedNorm = register(&Kernel{
	Name:    "embed_norm",
	Dims:    []string{"batch", "tokens", "width"},
	Scalars: []string{"pre_epsilon", "epsilon"},
	In: append(embed.In[:len(embed.In):len(embed.In)],
		Operand{Name: "pre_gamma", Kind: Parameters, Shape: widthVector, Constant: true},
		Operand{Name: "pre_beta", Kind: Parameters, Shape: widthVector, Constant: true},
		Operand{Name: "gamma", Kind: Parameters, Shape: widthVector, Constant: true},
		Operand{Name: "beta", Kind: Parameters, Shape: widthVector, Constant: true},
	),
	Out: []Operand{
		{Name: "x", Kind: Stream, Shape: tokenRows},
		{Name: "y", Kind: Activations, Shape: tokenRows},
	},
	Accepts: func(d []int) error {
		if d[2] > maxHeld {
			return fmt.Errorf("width is %d, a warp holds at most %d", d[2], maxHeld)
		}
		return atLeast("tokens", d[1], 2)
	},
	FLOPs: func(d []int) int64 { return 17 * int64(d[0]) * int64(d[1]) * int64(d[2]) },
	Host: func(a Args) {
		batch, tokens, width := a.Dims[0], a.Dims[1], a.Dims[2]
		normalise := func(row []float64, gamma, beta tensor.Matrix, epsilon float32) {
			mean, variance := 0.0, 0.0
			for _, v := range row {
				mean += v / float64(width)
			}
			for _, v := range row {
				variance += (v - mean) * (v - mean) / float64(width)
			}
			for c, v := range row {
				row[c] = (v-mean)/math.Sqrt(variance+float64(epsilon))*gamma.At(0, c) + beta.At(0, c)
			}
		}
		row := make([]float64, width)
		for r := range batch * tokens {
			b, t := r/tokens, r%tokens
			for c := range row {
				row[c] = a.In[1].At(0, c)
				if t > 0 {
					row[c] = a.In[0].At(b*(tokens-1)+t-1, c)
				}
				row[c] += a.In[2].At(t, c)
			}
			for i := range a.Out {
				normalise(row, a.In[3+2*i], a.In[4+2*i], a.Scalars[i])
				for c, v := range row {
					a.Out[i].Set(r, c, v)
				}
			}
		}
	},
	// x is off like layernorm's result, which the sum before it hardly worsens: by 96 roundings of 1. The second
	// normalisation multiplies that by γ/σ, up to 4, and adds its own 96. Rows of few columns may have a small σ.
	Tolerance: func(p Precision, c Case) tensor.Tolerance {
		abs := (4 + 1) * 96 * 0x1p-24
		if c.Dims[2] < 8 {
			abs *= 1000
		}
		return tensor.Tolerance{Abs: abs, Rel: 32*0x1p-24 + 2*max(roundoff(p.Activation), roundoff(p.Stream))}
	},
	GPU: &GPU{
		Burn:   []string{"tokens", "width"},
		Launch: func(_ Spec, d []int) Geometry { return launchRows(d[0] * d[1]) },
		PTX:    embedNormPTX,
	},
	Cases: []Case{
		{Dims: []int{1, 2, 1}, Scalars: []float32{1e-5, 1e-5}},
		{Dims: []int{3, 5, 17}, Scalars: []float32{1e-5, 0.1}},
		{Dims: []int{2, 3, 264}, Scalars: []float32{0.1, 1e-5}},
		{Dims: []int{1, 5, 2048}, Scalars: []float32{1e-5, 1e-5}},
		{Dims: []int{2, 257, 1280}, Scalars: []float32{1e-5, 1e-5}},
		{Dims: []int{1, 1, 8}, Scalars: []float32{1e-5, 1e-5}, Refused: true},
		{Dims: []int{1, 5, 2049}, Scalars: []float32{1e-5, 1e-5}, Refused: true},
	},
	Random: func(r *rand.Rand) Case {
		return Case{Dims: []int{1 + r.IntN(4), 2 + r.IntN(20), 8 + r.IntN(100)}, Scalars: []float32{1e-5, 1e-5}}
	},
})

func widthVector(d []int) (rows, cols int) { return 1, d[2] }

func tokenRows(d []int) (rows, cols int) { return d[0] * d[1], d[2] }

func embedNormPTX(f *ptx.Func, s Spec, p Params) {
	tokens, stream, activation := s.Dims[1], s.Precision.Stream, s.Precision.Activation
	blocks := 4 // 512 threads of up to 128 registers
	if s.Dims[2] > 40*warpSize {
		blocks = 2 // 256 threads of up to 255
	}
	row := warpNumber(f, blocks, f.MulLoU32(p.Dims[0], ptx.Int(tokens)))
	r := rowOf(f, s, s.Dims[2], max(stream.Size(), activation.Size()))
	e := embeddings{patches: p.In[0], class: p.In[1], position: p.In[2], kind: stream, tokens: tokens}
	v := e.row(f, row, func(kind tensor.DType, row ptx.B64) []ptx.F32 {
		return r.load(f, kind, row, ptx.NC)
	})
	for i, t := range []tensor.DType{stream, activation} {
		v = r.normalise(f, v, p.In[3+2*i].Address, p.In[4+2*i].Address, p.Scalars[i])
		r.store(f, t, p.Out[i].Row(f, row), v)
	}
}
