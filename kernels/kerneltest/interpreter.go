package kerneltest

import (
	"fmt"
	"sync"

	"vith/kernels"
	"vith/kernels/ptx"
	"vith/kernels/ptxsim"
	"vith/kernels/tensor"
)

// An Interpreter runs the PTX of kernels on package ptxsim: a GPU that faults on everything that hardware leaves
// undefined. Every buffer but those in the arena is an allocation of its own.
type Interpreter struct {
	Target       ptx.Target
	Seed         uint64 // of schedules and of the errors of approximate instructions
	Accumulation ptxsim.Accumulation

	rewrite func(text string) string // plants a fault, in tests of the harness

	mu      sync.Mutex
	memory  *ptxsim.Memory
	weights map[*kernels.Weight]uint64
	texts   map[text]*ptxsim.Program
	stats   map[string]ptxsim.Stats
}

var _ kernels.Backend = (*Interpreter)(nil)

// A text is the key of a loaded module.
type text struct {
	kernel *kernels.Kernel
	spec   kernels.Spec
}

// NewInterpreter returns a GPU of the given target.
func NewInterpreter(t ptx.Target, seed uint64, a ptxsim.Accumulation) *Interpreter {
	return &Interpreter{
		Target: t, Seed: seed, Accumulation: a,
		memory: ptxsim.NewMemory(), weights: map[*kernels.Weight]uint64{}, texts: map[text]*ptxsim.Program{},
		stats: map[string]ptxsim.Stats{},
	}
}

// Name is the target's.
func (g *Interpreter) Name() string { return g.Target.String() }

// Caps are those of the project's own kernels on the target.
func (g *Interpreter) Caps() kernels.Caps {
	return kernels.Caps{
		Precisions:  kernels.Precisions(g.Target),
		Activations: []kernels.Activation{kernels.GELU, kernels.GELUTanh, kernels.QuickGELU},
		Residual:    true,
		EmbedNorm:   true,
	}
}

// Stats are the statistics of the last launch of a kernel, by name.
func (g *Interpreter) Stats(kernel string) ptxsim.Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stats[kernel]
}

// Memory counts nothing: the device is fictional.
func (g *Interpreter) Memory() kernels.Memory { return kernels.Memory{} }

// Close has nothing to free.
func (g *Interpreter) Close() error { return nil }

// Load assembles the text of every call.
func (g *Interpreter) Load(p *kernels.Program) (kernels.Runner, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := &launches{gpu: g, program: p, plan: kernels.MakePlan(p)}
	for i, c := range p.Calls {
		spec, err := p.Spec(i, g.Target)
		if err != nil {
			return nil, err
		}
		key := text{c.Kernel, spec}
		if g.texts[key] == nil {
			module, err := c.Kernel.Assemble(spec)
			if err == nil && g.rewrite != nil {
				module, err = ptx.Parse(g.rewrite(module.Text()))
			}
			if err != nil {
				return nil, err
			}
			if g.texts[key], err = ptxsim.Load(module); err != nil {
				return nil, err
			}
		}
		r.specs, r.texts = append(r.specs, spec), append(r.texts, g.texts[key])
	}
	for _, b := range p.Bufs {
		if b.Role != kernels.Fixed || g.weights[b.Weight] != 0 {
			continue
		}
		address, err := g.upload(b)
		if err != nil {
			return nil, err
		}
		g.weights[b.Weight] = address
	}
	return r, nil
}

// upload writes a weight in its type to the device.
func (g *Interpreter) upload(b kernels.BufInfo) (uint64, error) {
	values := make([]float32, b.Rows*b.Cols)
	if err := b.Weight.Fill(values, 0, b.Rows); err != nil {
		return 0, err
	}
	m := tensor.NewMatrix(b.Type, b.Rows, b.Cols)
	for i, x := range values {
		m.Set(i/b.Cols, i%b.Cols, float64(x))
	}
	address := g.memory.Alloc(b.Name, len(m.Data))
	return address, g.memory.Write(address, m.Data)
}

// launches are a program's calls, ready to be launched.
type launches struct {
	gpu     *Interpreter
	program *kernels.Program
	plan    kernels.Plan
	specs   []kernels.Spec
	texts   []*ptxsim.Program
}

func (r *launches) Depth() int   { return 1 }
func (r *launches) Close() error { return nil }

// Start runs every call and returns when all are done. A fault is the error.
func (r *launches) Start(in, out [][]byte) (kernels.Wait, error) {
	g := r.gpu
	g.mu.Lock()
	defer g.mu.Unlock()
	address := make([]uint64, len(r.program.Bufs))
	var arena uint64
	if r.plan.Size > 0 {
		arena = g.memory.Alloc("arena", r.plan.Size)
		defer g.memory.Free(arena)
	}
	var outputs []uint64
	for id, b := range r.program.Bufs {
		switch b.Role {
		case kernels.Fixed:
			address[id] = g.weights[b.Weight]
		case kernels.Scratch:
			address[id] = arena + uint64(r.plan.Offset[id])
		default:
			address[id] = g.memory.Alloc(b.Name, b.Bytes())
			defer g.memory.Free(address[id])
			if b.Role == kernels.Output {
				outputs = append(outputs, address[id])
				continue
			}
			if err := g.memory.Write(address[id], in[0]); err != nil {
				return nil, err
			}
			in = in[1:]
		}
	}
	for i, c := range r.program.Calls {
		geometry := c.Kernel.GPU.Launch(r.specs[i], c.Dims)
		stats, err := r.texts[i].Launch(g.memory, ptxsim.Launch{
			Kernel: c.Kernel.Entry(r.specs[i]), Grid: geometry.Grid, Block: geometry.Block, DynamicShared: geometry.Shared,
			Params: r.program.Slots(i, func(id int) uint64 { return address[id] }),
			Seed:   g.Seed, Accumulation: g.Accumulation,
		})
		if err != nil {
			return nil, fmt.Errorf("call %d: %w", i, err)
		}
		g.stats[c.Kernel.Name] = stats
	}
	for i, a := range outputs {
		if err := g.memory.Read(a, out[i]); err != nil {
			return nil, err
		}
	}
	return func() error { return nil }, nil
}
