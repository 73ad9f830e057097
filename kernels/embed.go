package kernels

import (
	"math/rand/v2"

	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// embed forms the first residual stream: the class token before each image's patches, and the position embedding:
//
//	y[b·tokens, c]     = class[c] + position[0,c]
//	y[b·tokens + t, c] = patches[b·(tokens−1) + t−1, c] + position[t,c]        t = 1 … tokens−1
//
// Shapes: patches [batch·(tokens−1), width]; class [1, width]; position [tokens, width]; y [batch·tokens, width].
// Bandwidth bound: patches and y are moved once, by threads as tiling lays them over y; class and position stay in
// caches. Source: Dosovitskiy et al. 2020, arXiv:2010.11929 eq. 1.
var embed = register(&Kernel{
	Name: "embed",
	Dims: []string{"batch", "tokens", "width"},
	In: []Operand{
		{Name: "patches", Kind: Stream, Shape: func(d []int) (int, int) { return d[0] * (d[1] - 1), d[2] }},
		{Name: "class", Kind: Parameters, Shape: func(d []int) (int, int) { return 1, d[2] }, Constant: true},
		{Name: "position", Kind: Parameters, Shape: func(d []int) (int, int) { return d[1], d[2] }, Constant: true},
	},
	Out:     []Operand{{Name: "y", Kind: Stream, Shape: tokenRows}},
	Accepts: func(d []int) error { return atLeast("tokens", d[1], 2) },
	FLOPs:   func(d []int) int64 { return int64(d[0]) * int64(d[1]) * int64(d[2]) },
	Host: func(a Args) {
		batch, tokens, width := a.Dims[0], a.Dims[1], a.Dims[2]
		for b := range batch {
			for t := range tokens {
				for c := range width {
					x := a.In[1].At(0, c)
					if t > 0 {
						x = a.In[0].At(b*(tokens-1)+t-1, c)
					}
					a.Out[0].Set(b*tokens+t, c, x+a.In[2].At(t, c))
				}
			}
		}
	},
	// One addition, rounded once to t or first to float32.
	Tolerance: func(p Precision, _ Case) tensor.Tolerance { return tensor.Tolerance{Rel: 2 * roundoff(p.Stream)} },
	GPU: &GPU{
		Burn: []string{"tokens", "width"},
		Accepts: func(s Spec, d []int) error {
			return s.tile(d[2], s.Precision.Stream.Size()).accepts(d[0] * d[1])
		},
		Launch: func(s Spec, d []int) Geometry { return s.tile(d[2], s.Precision.Stream.Size()).launch(d[0] * d[1]) },
		PTX:    embedPTX,
	},
	Cases: []Case{
		{Dims: []int{1, 2, 1}}, {Dims: []int{3, 5, 17}}, {Dims: []int{3, 4, 48}}, {Dims: []int{2, 257, 1280}}, {Dims: []int{1, 1, 8}, Refused: true},
	},
	Random: func(r *rand.Rand) Case { return Case{Dims: []int{1 + r.IntN(4), 2 + r.IntN(20), 1 + r.IntN(100)}} },
})

// Embed returns the residual stream of batch images from their patch embeddings.
func (p *Program) Embed(patches, class, position Buf, batch int) Buf {
	return p.Append("embeddings", p.uniform(patches), Call{
		Kernel: embed, In: []Buf{patches, class, position}, Dims: []int{batch, position.Rows, position.Cols},
	})[0]
}

func embedPTX(f *ptx.Func, s Spec, p Params) {
	t, tokens := s.tile(s.Dims[2], s.Precision.Stream.Size()), s.Dims[1]
	row, col := t.place(f, f.MulLoU32(p.Dims[0], ptx.Int(tokens)))
	e := embeddings{patches: p.In[0], class: p.In[1], position: p.In[2], kind: s.Precision.Stream, tokens: tokens}
	t.store(f, e.kind, p.Out[0].Row(f, row), col, e.row(f, row,
		func(kind tensor.DType, row ptx.B64) []ptx.F32 { return t.load(f, kind, row, col, ptx.NC) }))
}

// embeddings are embed's operands.
type embeddings struct {
	patches, class, position Pointer

	kind   tensor.DType // of patches
	tokens int
}

// row is a thread's part of a row of embed's result. load reads that part of a row.
func (e embeddings) row(f *ptx.Func, row ptx.B32, load func(kind tensor.DType, row ptx.B64) []ptx.F32) []ptx.F32 {
	image, token := divide(f, row, e.tokens)
	var x []ptx.F32
	f.IfElse(f.SetpU32(ptx.EQ, token, ptx.Int(0)), func() {
		x = load(tensor.F32, e.class.Address)
	}, func() {
		// Each image before this one and this one have a row less among the patches.
		patch := f.SubU32(f.SubU32(row, image), ptx.Int(1))
		for i, v := range load(e.kind, e.patches.Row(f, patch)) {
			ptx.Into(f, x[i]).MovF32(v)
		}
	})
	for i, v := range load(tensor.F32, e.position.Row(f, token)) {
		x[i] = f.AddRnF32(x[i], v)
	}
	return x
}
