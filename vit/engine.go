package vit

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"vith/kernels"
	"vith/kernels/tensor"
	"vith/vit/tower"
)

// Options choose what an Engine serves.
type Options struct {
	MaxBatch  int               // images in one pass; 0: 8
	Outputs   []Output          // nil: all that the tower has
	Normalize bool              // scale pooled and projected vectors to unit length
	Precision kernels.Precision // zero: fp32
	TanhGELU  bool              // compute gelu in its tanh form, which some libraries have; not quick_gelu
	// Progress, if not nil, is told how many bytes of the weights' float32 values have been read. It may be called
	// concurrently.
	Progress func(done, total int64)
}

// An Engine turns prepared images into embeddings on one backend. It keeps a program resident for each output and batch
// bucket: 1, 2, 4, … up to MaxBatch. Its methods may be called concurrently.
type Engine struct {
	config  tower.Config
	backend kernels.Backend
	buckets []int // ascending
	outputs map[Output]resident
	passes  chan *pass // not in flight
}

// maxDepth is the most passes that are kept in flight, whatever the backend could take.
const maxDepth = 4

// A resident is an output whose programs are loaded.
type resident struct {
	values  int              // of one image's embedding
	runners []kernels.Runner // of each bucket
}

// A pass is one run of a program, and the slices that it is started with.
type pass struct {
	in, out [1][]byte
	wait    kernels.Wait
}

// NewEngine loads the tower onto the backend, which the engine then owns; after an error it is still the caller's. Errors
// of the source pass through.
func NewEngine(c tower.Config, s Source, b kernels.Backend, o Options) (*Engine, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("vit: %w", err)
	}
	if o.MaxBatch == 0 {
		o.MaxBatch = 8
	}
	if o.MaxBatch < 0 {
		return nil, fmt.Errorf("vit: a batch of %d images", o.MaxBatch)
	}
	if o.Outputs == nil {
		o.Outputs = Outputs(c)
	}
	e := &Engine{config: c, backend: b, outputs: map[Output]resident{}}
	for n := 1; n < o.MaxBatch; n *= 2 {
		e.buckets = append(e.buckets, n)
	}
	e.buckets = append(e.buckets, o.MaxBatch)

	var total, done atomic.Int64
	w := newWeights(c, o.Precision, s, func(bytes int) {
		if o.Progress != nil {
			o.Progress(done.Add(int64(bytes)), total.Load())
		}
	})
	m := newModel(c, o, w)
	programs := map[Output][]*kernels.Program{}
	for _, output := range o.Outputs {
		if _, err := output.Shape(c); err != nil {
			return nil, err
		}
		if o.Normalize && output == Penultimate {
			return nil, fmt.Errorf("vit: output %s is a matrix of tokens and is not normalised", output)
		}
		for _, n := range e.buckets {
			p, err := kernels.Lower(m.program(n, output, o.Normalize), b.Caps())
			if err != nil {
				return nil, err
			}
			programs[output] = append(programs[output], p)
		}
	}
	total.Store(w.bytes())
	depth := maxDepth
	for _, output := range o.Outputs {
		shape, _ := output.Shape(c)
		list := resident{values: 1}
		for _, d := range shape {
			list.values *= d
		}
		list.runners = make([]kernels.Runner, len(programs[output]))
		for i, p := range slices.Backward(programs[output]) { // the largest first: the arena grows once
			r, err := b.Load(p)
			if err != nil {
				return nil, err
			}
			list.runners[i] = r
			depth = min(depth, r.Depth())
		}
		e.outputs[output] = list
	}
	e.passes = make(chan *pass, depth)
	for range depth {
		e.passes <- new(pass)
	}
	return e, nil
}

// Config is the tower's.
func (e *Engine) Config() tower.Config { return e.config }

// Backend is what the engine runs on.
func (e *Engine) Backend() kernels.Backend { return e.backend }

// MaxBatch is the number of images in the largest pass.
func (e *Engine) MaxBatch() int { return e.buckets[len(e.buckets)-1] }

// Depth is the number of passes that can be in flight: callers of Embed beyond it wait.
func (e *Engine) Depth() int { return cap(e.passes) }

// InBytes is the size of a prepared image: Image x Image pixels of three samples.
func (e *Engine) InBytes() int { return 3 * e.config.Image * e.config.Image }

// Embed runs n prepared images, which lie one after the other in in, and writes their embeddings to out in the same
// order. n may exceed MaxBatch; it is split over the buckets without padding, and as many passes are in flight as the
// backend can overlap. Neither slice is kept. The context is checked between passes; out is complete only if the error is
// nil. Nothing is allocated.
func (e *Engine) Embed(ctx context.Context, output Output, n int, in []byte, out []float32) error {
	loaded, ok := e.outputs[output]
	if !ok {
		return fmt.Errorf("vit: output %q is not loaded", output)
	}
	if n < 1 || len(in) != n*e.InBytes() || len(out) != n*loaded.values {
		return fmt.Errorf("vit: %d images in %d bytes to %d values, want %d bytes and %d values an image", n, len(in), len(out), e.InBytes(), loaded.values)
	}
	var (
		flying [maxDepth]*pass // this call's passes in flight, the oldest at index done%maxDepth
		begun  int
		done   int
		err    error
	)
	for n > 0 && err == nil {
		var p *pass
		if p, err = e.take(ctx, begun > done); p == nil && err == nil {
			p = flying[done%maxDepth]
			done++
			if err = e.finish(p); err != nil {
				e.give(p)
			}
		}
		if err != nil {
			break
		}
		i, exact := slices.BinarySearch(e.buckets, n)
		if !exact {
			i--
		}
		batch := e.buckets[i]
		p.in[0], p.out[0] = in[:batch*e.InBytes()], tensor.Bytes(out[:batch*loaded.values])
		if p.wait, err = loaded.runners[i].Start(p.in[:], p.out[:]); err != nil {
			err = fmt.Errorf("vit: %d images on %s: %w", batch, e.backend.Name(), err)
			e.give(p)
			break
		}
		flying[begun%maxDepth] = p
		begun++
		n, in, out = n-batch, in[batch*e.InBytes():], out[batch*loaded.values:]
	}
	for ; done < begun; done++ {
		p := flying[done%maxDepth]
		if failed := e.finish(p); err == nil {
			err = failed
		}
		e.give(p)
	}
	return err
}

// take returns a pass that is not in flight. If there is none it waits for one, unless the caller has passes in flight
// that it can wait for instead: then it returns nil.
func (e *Engine) take(ctx context.Context, busy bool) (*pass, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if busy {
		select {
		case p := <-e.passes:
			return p, nil
		default:
			return nil, nil
		}
	}
	select {
	case p := <-e.passes:
		return p, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// finish waits for a pass to end.
func (e *Engine) finish(p *pass) error {
	if err := p.wait(); err != nil {
		return fmt.Errorf("vit: a pass on %s: %w", e.backend.Name(), err)
	}
	return nil
}

// give returns a pass that is not in flight any more.
func (e *Engine) give(p *pass) {
	*p = pass{}
	e.passes <- p
}

// Close waits for the passes in flight and frees the backend. Embed may not be called any more.
func (e *Engine) Close() error {
	for range cap(e.passes) {
		<-e.passes
	}
	return e.backend.Close()
}
