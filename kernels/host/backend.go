// Package host runs programs on the CPU, in fp32 and in bf16: weights packed once at load into the panels that the GEMM tiles of
// package simd read, every call split into tasks over a fixed set of threads, and nothing allocated in a pass.
//
// A value never depends on the batch or the number of threads: each element is summed in one fixed order, whichever
// tile or thread computes it. It does depend on the instruction set, in the last bits.
//
// In bf16, weights and activations are bfloat16 in memory, which halves the weights; sums, biases, normalisation,
// activation functions, attention's scores and the residual stream are fp32. AMX and AVX512-BF16 multiply bfloat16 itself.
// AVX512-BF16 does so, on the one CPU that was measured, a Xeon with AMX, more slowly than fp32: where the system does not let
// AMX be used, there it is not chosen. Elsewhere weights are widened in registers, and bf16 saves memory only.
//
// By AMX, a single image of ViT-H-14 has these roofs, reckoned and not measured: its weights, 1.26 GB, are read once, which
// takes 63 ms at 20 GB/s; the products with them, 324 GFLOP, take as long on two cores at 2.5 GHz. Attention and all that goes
// by rows is in fp32, by AVX-512.
//
// # Threads
//
// A step of a pass is one call, and all threads work on it: its tasks are handed out one by one, and the next step begins
// when all are done. Tasks are as large as the caches like, and smaller where the threads are more than the tasks would
// occupy. TestBalance counts, for ViT-H-14 and up to 64 threads, that at least 90 % of the threads' time is filled, in
// batches of 8 and for single images, were the tasks of a step equal, or in attention as long as their tiles: reasoned, and not
// measured on more than two cores. Not in the counts are blocks of gemm at an edge; what smaller tasks do again,
// packing a head's keys and values or widening a row of bfloat16; the time to wake threads; the row-wise steps of a single
// image, for which 33 threads are enough; and memory: a pass reads every weight once for each block
// of rows, so that it takes no less time than that. The panels of weights come while earlier ones are multiplied: every tile
// fetches a part of the next.
//
// The threads are GOMAXPROCS, which follows the CPU quota of a container, and they sleep between steps: two programs on
// one machine share it as the system likes.
package host

import (
	"cmp"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"vith/kernels"
	"vith/kernels/host/simd"
	"vith/kernels/tensor"
)

// Options choose how a Backend uses the machine.
type Options struct {
	Threads int    // 0: GOMAXPROCS, which follows the container's CPU quota
	Tier    string // the instruction set, as simd names it; "": the best there is
}

// A Backend is the CPU. It runs one pass at a time, on all its threads.
type Backend struct {
	tier *simd.Tier
	pool *pool

	held atomic.Pointer[kernels.Memory] // what Memory answers, during a pass too

	mu      sync.Mutex // held by a pass, and by Load
	arena   region
	weights map[weightKey]unsafe.Pointer
	regions []region    // that hold weights
	scratch [][]float32 // of each worker
	cache   *cache      // nil: none
}

var _ kernels.Backend = (*Backend)(nil)

// New returns the CPU as a backend. It fails if the CPU lacks the tier.
func New(o Options) (*Backend, error) {
	tier, err := simd.Select(o.Tier)
	if err != nil {
		return nil, err
	}
	threads := cmp.Or(o.Threads, runtime.GOMAXPROCS(0))
	if threads < 1 {
		return nil, fmt.Errorf("host: %d threads, must be at least 1", threads)
	}
	b := &Backend{
		tier:    tier,
		pool:    newPool(threads),
		weights: map[weightKey]unsafe.Pointer{},
		scratch: make([][]float32, threads),
	}
	b.count()
	return b, nil
}

// Name is "cpu".
func (b *Backend) Name() string { return "cpu" }

// Tier is the name of the instruction set in use.
func (b *Backend) Tier() string { return b.tier.Name }

// Threads is the number of threads that a pass runs on.
func (b *Backend) Threads() int { return b.pool.threads }

// Caps fuse everything into gemm, and keep rows of scratch buffers a cache line more apart than their length: rows a
// multiple of 4 KiB apart would fall into one set of the first-level cache.
func (b *Backend) Caps() kernels.Caps {
	return kernels.Caps{
		Precisions:  []kernels.Precision{kernels.FP32, {Activation: tensor.BF16, Stream: tensor.F32}},
		Activations: []kernels.Activation{kernels.GELU, kernels.GELUTanh, kernels.QuickGELU},
		Residual:    true,
		Pitch: func(cols, size int) int {
			line := 64 / size
			return (cols+line-1)/line*line + line
		},
	}
}

// Load packs the weights that no earlier program had, and grows the arena, which all programs share, to the largest.
func (b *Backend) Load(p *kernels.Program) (kernels.Runner, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.count()
	c, err := b.compile(p)
	if err != nil {
		return nil, err
	}
	r, plan := c.runner, kernels.MakePlan(p)
	r.offsets = plan.Offset
	if err := b.loadWeights(c.requests); err != nil {
		return nil, err
	}
	for i, info := range p.Bufs {
		switch info.Role {
		case kernels.Input:
			r.inputs = append(r.inputs, slot{i, info.Bytes(), info.Name})
		case kernels.Output:
			r.outputs = append(r.outputs, slot{i, info.Bytes(), info.Name})
		}
	}
	if plan.Size > len(b.arena) {
		arena, err := reserve(plan.Size)
		if err != nil {
			return nil, fmt.Errorf("host: reserve an arena of %d bytes: %w: %w", plan.Size, kernels.ErrOutOfMemory, err)
		}
		b.arena.release()
		b.arena = arena
	}
	for i := range b.scratch {
		if len(b.scratch[i]) < c.scratch {
			b.scratch[i] = make([]float32, c.scratch)
		}
	}
	return r, nil
}

// compile turns every call of a program into a step.
func (b *Backend) compile(p *kernels.Program) (*compiler, error) {
	c := &compiler{backend: b, program: p, runner: &runner{backend: b, bases: make([]unsafe.Pointer, len(p.Bufs))}}
	for i := range p.Calls {
		if err := c.call(&p.Calls[i]); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Memory counts what the backend reserved. Total and Free are the machine's affair and stay 0.
func (b *Backend) Memory() kernels.Memory { return *b.held.Load() }

// count tells Memory what is reserved now.
func (b *Backend) count() {
	m := kernels.Memory{Arena: int64(len(b.arena))}
	for _, r := range b.regions {
		m.Weights += int64(len(r))
	}
	for _, s := range b.scratch {
		m.Workspace += int64(4 * len(s))
	}
	b.held.Store(&m)
}

// Close ends the threads and gives the memory back.
func (b *Backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pool.close()
	b.arena.release()
	for _, r := range b.regions {
		r.release()
	}
	b.arena, b.regions, b.weights = nil, nil, nil
	b.count()
	return nil
}

// A runner is a program compiled to steps over resolved operands.
type runner struct {
	backend         *Backend
	steps           []step
	bases           []unsafe.Pointer // of each buffer, valid during a pass
	offsets         []int            // of scratch buffers in the arena
	inputs, outputs []slot
}

// A slot is a buffer that the caller hands over.
type slot struct {
	id, size int
	name     string
}

// A step is one call, split into tasks that any worker may run in any order.
type step struct {
	tasks int
	run   func(task, worker int)
}

// Start runs the whole pass and returns when it is done: the Wait has nothing left to wait for.
func (r *runner) Start(in, out [][]byte) (kernels.Wait, error) {
	b := r.backend
	b.mu.Lock()
	defer b.mu.Unlock()
	defer r.unbind()
	if err := r.bind(r.inputs, in, "input"); err != nil {
		return nil, err
	}
	if err := r.bind(r.outputs, out, "output"); err != nil {
		return nil, err
	}
	for id, o := range r.offsets {
		if o >= 0 {
			r.bases[id] = unsafe.Pointer(&b.arena[o])
		}
	}
	for i := range r.steps {
		b.pool.run(&r.steps[i])
	}
	return done, nil
}

func done() error { return nil }

func (r *runner) bind(slots []slot, data [][]byte, what string) error {
	if len(data) != len(slots) {
		return fmt.Errorf("host: %d %ss, the program has %d", len(data), what, len(slots))
	}
	for i, s := range slots {
		if len(data[i]) != s.size {
			return fmt.Errorf("host: %s %s has %d bytes, must have %d", what, s.name, len(data[i]), s.size)
		}
		r.bases[s.id] = unsafe.Pointer(unsafe.SliceData(data[i]))
	}
	return nil
}

// unbind forgets the caller's memory.
func (r *runner) unbind() {
	for _, list := range [...][]slot{r.inputs, r.outputs} {
		for _, s := range list {
			r.bases[s.id] = nil
		}
	}
}

// Depth is 1: a pass uses every thread.
func (r *runner) Depth() int { return 1 }

// Close has nothing to free: weights and arena belong to the backend.
func (r *runner) Close() error { return nil }

// implementations replace the kernels' float64 definitions by name.
var implementations = map[string]struct {
	compile func(*compiler, *kernels.Call) step
	bf16    bool // takes bfloat16 as its first input; elsewhere no tower has it
}{
	"gemm":       {compileGEMM, true},
	"attention":  {compileAttention, true},
	"layernorm":  {compileLayerNorm, false},
	"gelu":       {compileActivation, false},
	"gelu_tanh":  {compileActivation, false},
	"quick_gelu": {compileActivation, false},
	"patches":    {compilePatches, true},
	"embed":      {compileEmbed, false},
}

// A compiler turns calls into steps and gathers what they need.
type compiler struct {
	backend  *Backend
	program  *kernels.Program
	runner   *runner
	requests []request // weights to place
	scratch  int       // floats a worker needs
}

func (c *compiler) call(call *kernels.Call) error {
	if err := call.Kernel.Check(call.Dims); err != nil {
		return err
	}
	for _, t := range []tensor.DType{call.Precision.Activation, call.Precision.Stream} {
		if t != tensor.F32 && t != tensor.BF16 {
			return fmt.Errorf("host: %s in %v: the CPU computes in %v and %v", call.Kernel.Name, call.Precision, tensor.F32, tensor.BF16)
		}
	}
	f := compileDefinition
	if i, ok := implementations[call.Kernel.Name]; ok && (i.bf16 || c.program.Bufs[call.In[0].ID].Type != tensor.BF16) {
		f = i.compile
	}
	c.runner.steps = append(c.runner.steps, f(c, call))
	return nil
}

// need asks for n floats of scratch for each worker and returns where a step finds them.
func (c *compiler) need(n int) func(worker int) []float32 {
	c.scratch = max(c.scratch, n)
	b := c.backend
	return func(worker int) []float32 { return b.scratch[worker][:n] }
}

// span divides n into parts as equal as possible and returns the bounds of part i.
func span(n, parts, i int) (lo, hi int) { return i * n / parts, (i + 1) * n / parts }
