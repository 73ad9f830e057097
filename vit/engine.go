package vit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

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
	// GELU, if not nil, chooses TanhGELU by measurement, in 16-bit types.
	GELU *GELUChoice
	// Pad, on a backend whose passes may be short, fills a batch up with images of zeros where that takes less time than
	// several smaller passes. For that each bucket's pass is timed at load.
	Pad bool
	// OneBucket, on such a backend, fills every batch up to MaxBatch images. So an image has the same bits in all of them.
	OneBucket bool
	// Shrunk, if not nil, is told when the backend has no memory for MaxBatch images, and that so many are tried now.
	Shrunk func(batch int, why error)
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
	first   []int // by the number of images, up to MaxBatch: the bucket to begin with
	outputs map[Output]resident
	passes  chan *pass // not in flight

	activation kernels.Activation
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
// of the source pass through. Where MaxBatch images do not fit, half as many are tried; not with OneBucket, where that
// would change bits.
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
	for _, output := range o.Outputs {
		if _, err := output.Shape(c); err != nil {
			return nil, err
		}
		if o.Normalize && output == Penultimate {
			return nil, fmt.Errorf("vit: output %s is a matrix of tokens and is not normalised", output)
		}
	}
	e := &Engine{config: c, backend: b}
	l := newLoading(c, o, s, b.Caps())
	for {
		err := e.load(l, o)
		if err == nil {
			return e, nil
		}
		if !errors.Is(err, kernels.ErrOutOfMemory) || o.MaxBatch == 1 || o.OneBucket {
			return nil, err
		}
		o.MaxBatch /= 2
		if o.Shrunk != nil {
			o.Shrunk(o.MaxBatch, err)
		}
	}
}

// load makes the programs of all outputs and buckets up to o.MaxBatch resident, or none of them.
func (e *Engine) load(l *loading, o Options) (err error) {
	if o.GELU != nil && o.Precision.Activation.Size() == 2 {
		if err := o.GELU.choose(l, e.backend, min(o.MaxBatch, 32), o.Outputs[0]); err != nil {
			return err
		}
	}
	e.activation = l.model.activation
	short := e.backend.Caps().Short
	e.buckets = nil
	for n := 1; n < o.MaxBatch && !(o.OneBucket && short); n *= 2 {
		e.buckets = append(e.buckets, n)
	}
	e.buckets = append(e.buckets, o.MaxBatch)
	e.outputs = map[Output]resident{}
	defer func() {
		if err == nil {
			return
		}
		for _, list := range e.outputs {
			for _, r := range list.runners {
				if r != nil {
					err = errors.Join(err, r.Close())
				}
			}
		}
	}()
	depth := maxDepth
	for _, output := range o.Outputs {
		shape, _ := output.Shape(e.config)
		list := resident{values: 1, runners: make([]kernels.Runner, len(e.buckets))}
		for _, d := range shape {
			list.values *= d
		}
		e.outputs[output] = list
		for i, n := range slices.Backward(e.buckets) { // the largest first: the arena grows once
			p, err := l.program(n, output)
			if err != nil {
				return err
			}
			if list.runners[i], err = e.backend.Load(p); err != nil {
				return err
			}
			depth = min(depth, list.runners[i].Depth())
		}
	}
	e.passes = make(chan *pass, depth)
	for range depth {
		e.passes <- new(pass)
	}
	var costs []time.Duration
	if o.Pad && short && len(e.buckets) > 1 {
		if costs, err = e.time(o.Outputs[0]); err != nil {
			return err
		}
	}
	e.first = firstBuckets(e.buckets, costs)
	return nil
}

// A loading lowers the programs of one tower for one backend, and tells how much of their weights was read.
type loading struct {
	model     *model
	caps      kernels.Caps
	normalize bool
	total     atomic.Int64
}

func newLoading(c tower.Config, o Options, s Source, caps kernels.Caps) *loading {
	l := &loading{caps: caps, normalize: o.Normalize}
	var done atomic.Int64
	w := newWeights(c, o.Precision, s, func(bytes int) {
		if o.Progress != nil {
			o.Progress(done.Add(int64(bytes)), l.total.Load())
		}
	})
	l.model = newModel(c, o, w)
	for _, output := range o.Outputs {
		l.model.program(1, output, o.Normalize)
	}
	l.total.Store(w.bytes())
	return l
}

func (l *loading) program(batch int, o Output) (*kernels.Program, error) {
	return kernels.Lower(l.model.program(batch, o, l.normalize), l.caps)
}

// time measures a pass of each bucket: the shorter of two, and never longer than that of a larger bucket.
func (e *Engine) time(o Output) ([]time.Duration, error) {
	loaded := e.outputs[o]
	in, out := make([]byte, e.InBytes()), make([]float32, loaded.values)
	costs := make([]time.Duration, len(e.buckets))
	for i, r := range slices.Backward(loaded.runners) {
		for repeat := range 2 {
			began := time.Now()
			wait, err := r.Start([][]byte{in}, [][]byte{tensor.Bytes(out)})
			if err == nil {
				err = wait()
			}
			if err != nil {
				return nil, fmt.Errorf("vit: time a pass of %d images: %w", e.buckets[i], err)
			}
			if took := time.Since(began); repeat == 0 || took < costs[i] {
				costs[i] = took
			}
		}
		if i+1 < len(costs) {
			costs[i] = min(costs[i], costs[i+1])
		}
	}
	return costs, nil
}

// firstBuckets tells for every number of images up to the largest bucket which bucket's pass comes first: the largest in
// the cheapest sum of passes. Without costs no place of a pass may stay empty, if the smallest bucket is 1.
func firstBuckets(buckets []int, costs []time.Duration) []int {
	most := buckets[len(buckets)-1]
	first := make([]int, most+1)
	cheapest := make([]time.Duration, most+1)
	for n := 1; n <= most; n++ {
		if costs == nil {
			i, exact := slices.BinarySearch(buckets, n)
			if !exact && i > 0 {
				i--
			}
			first[n] = i
			continue
		}
		for i, b := range buckets {
			if cost := costs[i] + cheapest[max(0, n-b)]; i == 0 || cost <= cheapest[n] {
				first[n], cheapest[n] = i, cost
			}
			if b >= n {
				break
			}
		}
	}
	return first
}

// Config is the tower's.
func (e *Engine) Config() tower.Config { return e.config }

// Backend is what the engine runs on.
func (e *Engine) Backend() kernels.Backend { return e.backend }

// GELU names the form of the activation that the engine computes: exact or tanh, or quick_gelu where the tower has that.
func (e *Engine) GELU() string {
	switch e.activation {
	case kernels.GELU:
		return "exact"
	case kernels.GELUTanh:
		return "tanh"
	}
	return e.activation.String()
}

// MaxBatch is the number of images in the largest pass.
func (e *Engine) MaxBatch() int { return e.buckets[len(e.buckets)-1] }

// Depth is the number of passes that can be in flight: callers of Embed beyond it wait.
func (e *Engine) Depth() int { return cap(e.passes) }

// InBytes is the size of a prepared image: Image x Image pixels of three samples.
func (e *Engine) InBytes() int { return 3 * e.config.Image * e.config.Image }

// Embed runs n prepared images, which lie one after the other in in, and writes their embeddings to out in the same
// order. n may exceed MaxBatch; it is split over the buckets, and as many passes are in flight as the backend can overlap.
// Neither slice is kept. The context is checked between passes; out is complete only if the error is
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
		i := e.first[min(n, e.MaxBatch())]
		batch := min(n, e.buckets[i])
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
