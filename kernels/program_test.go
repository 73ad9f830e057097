package kernels

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"vith/kernels/tensor"
)

func constant(key string, rows, cols int) *Weight {
	return &Weight{Key: key, Type: tensor.F32, Rows: rows, Cols: cols, Fill: func([]float32, int, int) error { return nil }}
}

// mlp is a transformer's MLP with its residual, twice.
func mlp() *Program {
	p := NewProgram()
	x := p.Input("x", tensor.F32, 4, 8)
	x = p.LayerNorm(x, constant("pre.weight", 1, 8), constant("pre.bias", 1, 8), 1e-5, tensor.F32)
	for _, layer := range []string{"0.", "1."} {
		y := p.LayerNorm(x, constant(layer+"ln.weight", 1, 8), constant(layer+"ln.bias", 1, 8), 1e-5, tensor.F32)
		y = p.Activate(GELU, p.Linear(y, p.Weight(constant(layer+"fc1.weight", 32, 8)), constant(layer+"fc1.bias", 1, 32), 1, tensor.F32))
		x = p.Add(x, p.Linear(y, p.Weight(constant(layer+"fc2.weight", 8, 32)), nil, 1, tensor.F32))
	}
	p.Output(p.LayerNorm(x.Every(2), constant("post.weight", 1, 8), constant("post.bias", 1, 8), 1e-5, tensor.F32))
	return p
}

func text(t *testing.T, p *Program) string {
	t.Helper()
	var b strings.Builder
	if err := p.Print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLower(t *testing.T) {
	p := mlp()
	before := text(t, p)

	plain, err := Lower(p, Caps{})
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, plain); got != before {
		t.Errorf("a backend that fuses nothing gets\n%s\nwant\n%s", got, before)
	}
	fused, err := Lower(p, Caps{
		Activations: []Activation{GELU}, Residual: true,
		Pitch: func(cols, size int) int { return cols + 16 },
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `0	pre = layernorm[4 8] (x, pre.weight, pre.bias)
1	0.ln = layernorm[4 8] (pre, 0.ln.weight, 0.ln.bias)
2	0.fc1.gelu = gemm[4 32 8] gelu (0.ln, 0.fc1.weight, 0.fc1.bias, -)
3	0.fc2.residual = gemm[4 8 32] (0.fc1.gelu, 0.fc2.weight, -, pre)
4	1.ln = layernorm[4 8] (0.fc2.residual, 1.ln.weight, 1.ln.bias)
5	1.fc1.gelu = gemm[4 32 8] gelu (1.ln, 1.fc1.weight, 1.fc1.bias, -)
6	1.fc2.residual = gemm[4 8 32] (1.fc1.gelu, 1.fc2.weight, -, 0.fc2.residual)
7	post = layernorm[2 8] (1.fc2.residual[0::2], post.weight, post.bias)
`
	if got := text(t, fused); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, b := range fused.Bufs {
		if pitch := map[bool]int{true: b.Cols + 16, false: b.Cols}[b.Role == Scratch]; b.Pitch != pitch {
			t.Errorf("%v %s has pitch %d, want %d", b.Role, b.Name, b.Pitch, pitch)
		}
	}
	if text(t, p) != before {
		t.Error("Lower changed its argument")
	}
}

// tower is the beginning of one, of 2 images in 3 patches, to the first block's normalisation and a sum with the stream.
// change may write more before the end.
func tower(change func(p *Program, embeddings, x Buf)) *Program {
	p := NewProgram()
	vector := func(key string) *Weight { return constant(key, 1, 8) }
	e := p.Embed(p.Input("patches", tensor.F16, 6, 8), p.Weight(vector("class")), p.Weight(constant("position", 4, 8)), 2)
	x := p.LayerNorm(e, vector("pre.weight"), vector("pre.bias"), 1e-5, tensor.F16)
	change(p, e, x)
	y := p.LayerNorm(x, vector("ln.weight"), vector("ln.bias"), 1e-6, tensor.F32)
	p.Output(p.Add(x, p.Cast(y, tensor.F16)))
	return p
}

func TestLowerEmbedNorm(t *testing.T) {
	p, err := Lower(tower(func(*Program, Buf, Buf) {}), Caps{EmbedNorm: true})
	if err != nil {
		t.Fatal(err)
	}
	want := `0	pre, ln = embed_norm[2 4 8] (patches, class, position, pre.weight, pre.bias, ln.weight, ln.bias)
1	ln.f16 = cast[8 8] (ln)
2	ln.f16.residual = add[8 8] (pre, ln.f16)
`
	if got := text(t, p); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if c := p.Calls[0]; !slices.Equal(c.Scalars, []float32{1e-5, 1e-6}) || c.Precision != (Precision{tensor.F32, tensor.F16}) {
		t.Errorf("epsilons %v in %v", c.Scalars, c.Precision)
	}
	f := func(why string, caps Caps, p *Program) {
		t.Helper()
		l, err := Lower(p, caps)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := text(t, l), text(t, p); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", why, got, want)
		}
	}
	f("a backend without it", Caps{}, tower(func(*Program, Buf, Buf) {}))
	f("the sum is read twice", Caps{EmbedNorm: true}, tower(func(p *Program, e, _ Buf) { p.Add(e, e) }))
	f("the sum is an output", Caps{EmbedNorm: true}, tower(func(p *Program, e, _ Buf) { p.Output(e) }))
	f("normalised to another type", Caps{EmbedNorm: true}, func() *Program {
		p := NewProgram()
		e := p.Embed(p.Input("patches", tensor.F16, 6, 8), p.Weight(constant("class", 1, 8)), p.Weight(constant("position", 4, 8)), 2)
		x := p.LayerNorm(e, constant("g", 1, 8), constant("b", 1, 8), 1e-5, tensor.F32)
		p.Output(p.LayerNorm(x, constant("g", 1, 8), constant("b", 1, 8), 1e-5, tensor.F32))
		return p
	}())
	f("the stream is normalised in part", Caps{EmbedNorm: true}, func() *Program {
		p := NewProgram()
		e := p.Embed(p.Input("patches", tensor.F16, 6, 8), p.Weight(constant("class", 1, 8)), p.Weight(constant("position", 4, 8)), 2)
		x := p.LayerNorm(e, constant("g", 1, 8), constant("b", 1, 8), 1e-5, tensor.F16)
		p.Output(p.LayerNorm(x.Every(4), constant("g", 1, 8), constant("b", 1, 8), 1e-5, tensor.F16))
		return p
	}())
}

// TestLowerKeeps lists results that must not be folded away.
func TestLowerKeeps(t *testing.T) {
	f := func(why string, build func(p *Program, y Buf)) {
		t.Helper()
		p := NewProgram()
		x := p.Input("x", tensor.F32, 4, 8)
		build(p, p.Linear(x, p.Weight(constant("w.weight", 8, 8)), nil, 1, tensor.F32))
		l, err := Lower(p, Caps{Activations: []Activation{GELU}, Residual: true})
		if err != nil {
			t.Fatal(err)
		}
		if l.Calls[0].Kernel != gemm || l.Calls[0].Attrs.Activation != NoActivation || l.Calls[0].In[3].ID != None {
			t.Errorf("%s: folded into\n%s", why, text(t, l))
		}
	}
	f("read twice", func(p *Program, y Buf) { p.Output(p.Add(p.Activate(GELU, y), y)) })
	f("both operands of an addition", func(p *Program, y Buf) { p.Output(p.Add(y, y)) })
	f("an output itself", func(p *Program, y Buf) { p.Output(y); p.Output(p.Activate(GELU, y)) })
	f("read through a view", func(p *Program, y Buf) { p.Output(p.Activate(GELU, y.Every(2))) })
	f("an activation that gemm lacks", func(p *Program, y Buf) { p.Output(p.Activate(QuickGELU, y)) })
}

// TestProgramErrors expects the first mistake, named.
func TestProgramErrors(t *testing.T) {
	f := func(want string, build func(p *Program, x Buf)) {
		t.Helper()
		p := NewProgram()
		build(p, p.Input("x", tensor.F32, 4, 8))
		if _, err := Lower(p, Caps{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("x has 8 columns, w has 9", func(p *Program, x Buf) { p.Linear(x, p.Weight(constant("w", 3, 9)), nil, 1, tensor.F32) })
	f("operand bias must be [1, 3], b is [1, 4]", func(p *Program, x Buf) {
		p.Linear(x, p.Weight(constant("w", 3, 8)), constant("b", 1, 4), 1, tensor.F32)
	})
	f("operand w must be a whole weight, x is not", func(p *Program, x Buf) { p.Linear(x, x, nil, 1, tensor.F32) })
	f("operand gamma must be [1, 8]", func(p *Program, x Buf) { p.LayerNorm(x, constant("g", 8, 1), constant("b", 1, 8), 1, tensor.F32) })
	f("add in u8: activations and stream must be of a float type", func(p *Program, x Buf) {
		u := p.Input("pixels", tensor.U8, 4, 8)
		p.Add(u, u)
	})
	f("exceeds x [4, 8]", func(p *Program, x Buf) { p.Activate(GELU, x.Columns(4, 5)) })
	f("operand b must be [4, 8], x is [2, 8]", func(p *Program, x Buf) { p.Add(x, x.Every(2)) })
	f("operand x is missing", func(p *Program, x Buf) {
		p.Append("y", FP32, Call{Kernel: gelu, In: []Buf{Absent}, Dims: []int{4, 8}})
	})
	f("output x must be the whole result of a call", func(p *Program, x Buf) { p.Output(x) })
	f("patches[4 1 3 27]: patch 3 is larger than image 1", func(p *Program, x Buf) {
		p.Patches(p.Input("pixels", tensor.U8, 4, 3), tensor.F32, 1, 3, 27, [3]float32{})
	})
	f("attention: heads is 0", func(p *Program, x Buf) {
		p.Append("y", FP32, Call{Kernel: attention, In: []Buf{x, x, x}, Dims: []int{1, 0, 4, 4, 8}, Scalars: []float32{1}})
	})
}

func TestCost(t *testing.T) {
	p, _ := Lower(mlp(), Caps{Activations: []Activation{GELU}, Residual: true})
	got := p.Cost(2)
	if want := (Cost{FLOPs: 2 * 4 * 32 * 8, Bytes: 4 * (4*8 + 32*8 + 32 + 4*32)}); got != want {
		t.Errorf("gemm costs %+v, want %+v", got, want)
	}
}

func TestWeightOnce(t *testing.T) {
	p := NewProgram()
	w := constant("w", 2, 2)
	if a, b := p.Weight(w), p.Weight(w); a != b || len(p.Bufs) != 1 {
		t.Errorf("one weight became %v and %v of %d buffers", a, b, len(p.Bufs))
	}
}

// TestPlan runs random programs symbolically in the planned arena: every byte of a buffer must still be its own when it
// is read.
func TestPlan(t *testing.T) {
	for seed := range uint64(200) {
		p := randomProgram(rand.New(rand.NewPCG(seed, 3)))
		if p.Err() != nil {
			t.Fatal(p.Err())
		}
		plan := MakePlan(p)
		owner := make([]int, plan.Size)
		for i, c := range p.Calls {
			read := func() {
				for _, b := range c.In {
					if b.ID == None || p.Bufs[b.ID].Role != Scratch {
						continue
					}
					for j := range p.Bufs[b.ID].Bytes() {
						if o := owner[plan.Offset[b.ID]+j]; o != b.ID {
							t.Fatalf("seed %d: call %d reads byte %d of %s, which holds %s", seed, i, j, p.Bufs[b.ID].Name, p.Bufs[o].Name)
						}
					}
				}
			}
			read()
			shared := -1
			for _, b := range c.Out {
				if p.Bufs[b.ID].Role != Scratch {
					continue
				}
				if plan.Offset[b.ID]%Align != 0 {
					t.Fatalf("seed %d: %s is at %d", seed, p.Bufs[b.ID].Name, plan.Offset[b.ID])
				}
				for _, a := range c.Kernel.InPlace {
					if in := c.In[a.In]; in.ID != None && plan.Offset[in.ID] == plan.Offset[b.ID] {
						shared = in.ID
					}
				}
				for j := range p.Bufs[b.ID].Bytes() {
					owner[plan.Offset[b.ID]+j] = b.ID
				}
			}
			if shared < 0 {
				read() // nothing of this call's inputs was overwritten
			}
		}
	}
}

// randomProgram is a chain of additions and activations that read values made long before.
func randomProgram(r *rand.Rand) *Program {
	p := NewProgram()
	values := []Buf{p.Input("x", tensor.F32, 3, 50)}
	for range 2 + r.IntN(30) {
		pick := func() Buf { return values[max(0, len(values)-1-r.IntN(6))] }
		if r.IntN(2) == 0 {
			values = append(values, p.Activate(GELU, pick()))
		} else {
			values = append(values, p.Add(pick(), pick()))
		}
	}
	p.Output(p.Activate(GELU, values[len(values)-1]))
	return p
}

// TestPlanReuses expects an MLP's arena to hold its largest moment and no more.
func TestPlanReuses(t *testing.T) {
	p, err := Lower(mlp(), Caps{Activations: []Activation{GELU}, Residual: true})
	if err != nil {
		t.Fatal(err)
	}
	// Rows of 8 are 128 bytes, padded to 256; of 32, 512. The stream, its normalised copy and the hidden rows live
	// together; both additions are in place.
	if got, want := MakePlan(p).Size, 256+256+512; got != want {
		t.Errorf("the arena is %d bytes, want %d", got, want)
	}
}
