package vit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"vith/kernels"
	"vith/vit/tower"
)

// A Pool is engines of one tower on several devices behind one queue. Work goes to the device that has the least, so each
// does as much as it can. A device that fails for good gets no more. Its methods may be called concurrently.
type Pool struct {
	members  []*member
	maxBatch int
	depth    int
	lost     func(engine int, why error)
	down     chan struct{} // closed when no device is left

	mu      sync.Mutex
	waiting []*waiter // the longest first
	turn    int       // counts calls
}

// A member is a device of a pool.
type member struct {
	index  int
	engine *Engine
	load   meter

	// Guarded by the pool's mu.
	busy int   // calls of Embed
	turn int   // of its last call
	err  error // what ended the device
}

// A waiter is a call that no device was free for.
type waiter struct {
	not   *member
	found chan *member // of capacity 1; nil says that there will be none
}

// NewPool takes one or more engines of one tower with the same outputs, which the pool then owns. lost, if not nil, is
// told of each that fails for good.
func NewPool(engines []*Engine, lost func(engine int, why error)) *Pool {
	p := &Pool{lost: lost, down: make(chan struct{})}
	for i, e := range engines {
		p.members = append(p.members, &member{index: i, engine: e})
		p.maxBatch = max(p.maxBatch, e.MaxBatch())
		p.depth += e.Depth()
	}
	return p
}

// Config is the tower's.
func (p *Pool) Config() tower.Config { return p.members[0].engine.Config() }

// InBytes is the size of a prepared image.
func (p *Pool) InBytes() int { return p.members[0].engine.InBytes() }

// MaxBatch is the number of images in the largest pass of any engine.
func (p *Pool) MaxBatch() int { return p.maxBatch }

// Depth is the number of passes that can be in flight on all devices.
func (p *Pool) Depth() int { return p.depth }

// Engines are those of NewPool, in their order.
func (p *Pool) Engines() []*Engine {
	var list []*Engine
	for _, m := range p.members {
		list = append(list, m.engine)
	}
	return list
}

// Load is for which share of the last second an engine had work, 0 to 1.
func (p *Pool) Load(engine int) float64 { return p.members[engine].load.lastSecond() }

// Err is what ended an engine's device, or nil.
func (p *Pool) Err(engine int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.members[engine].err
}

// Down is closed when no device is left. From then on Embed fails.
func (p *Pool) Down() <-chan struct{} { return p.down }

// Embed runs n prepared images as Engine.Embed does. Images beyond MaxBatch are split over the devices. Those that a device
// fails with are tried once more, on another.
func (p *Pool) Embed(ctx context.Context, output Output, n int, in []byte, out []float32) error {
	if n <= p.maxBatch || len(in) != n*p.InBytes() || len(out)%n != 0 { // the engine says what is wrong
		return p.embed(ctx, output, n, in, out)
	}
	pixels, values := p.InBytes(), len(out)/n
	parts, ctx := errgroup.WithContext(ctx)
	parts.SetLimit(p.depth)
	for from := 0; from < n; from += p.maxBatch {
		to := min(from+p.maxBatch, n)
		parts.Go(func() error {
			return p.embed(ctx, output, to-from, in[from*pixels:to*pixels], out[from*values:to*values])
		})
	}
	return parts.Wait()
}

// embed runs images on one device, and on another if it fails.
func (p *Pool) embed(ctx context.Context, output Output, n int, in []byte, out []float32) error {
	m, err := p.take(ctx, nil)
	if err != nil {
		return err
	}
	if err = p.run(ctx, m, output, n, in, out); err == nil || ctx.Err() != nil {
		return err
	}
	other, none := p.take(ctx, m)
	if none != nil {
		return err
	}
	return p.run(ctx, other, output, n, in, out)
}

// run runs images on a device that was taken, and gives it back.
func (p *Pool) run(ctx context.Context, m *member, output Output, n int, in []byte, out []float32) (err error) {
	m.load.begin()
	defer func() { // also where the engine panics
		m.load.end()
		p.give(m, err)
	}()
	return m.engine.Embed(ctx, output, n, in, out)
}

// errNone is the error of a call that no device is left for.
var errNone = fmt.Errorf("vit: no device is left: %w", kernels.ErrDown)

// take returns the free device with the least work, other than not; of several the one that had none for longest, so that
// all are seen to work. It waits for one, if there is any.
func (p *Pool) take(ctx context.Context, not *member) (*member, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	if !p.any(not) {
		p.mu.Unlock()
		return nil, errNone
	}
	var least *member
	for _, m := range p.members {
		if m == not || m.err != nil || m.busy == m.engine.Depth() {
			continue
		}
		if least == nil || cmp.Or(cmp.Compare(m.busy, least.busy), cmp.Compare(m.turn, least.turn)) < 0 {
			least = m
		}
	}
	if least != nil {
		p.begin(least)
		p.mu.Unlock()
		return least, nil
	}
	w := &waiter{not, make(chan *member, 1)}
	p.waiting = append(p.waiting, w)
	p.mu.Unlock()

	select {
	case m := <-w.found:
		if m == nil {
			return nil, errNone
		}
		return m, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	if i := slices.Index(p.waiting, w); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.mu.Unlock()
	select {
	case m := <-w.found: // in the same moment
		if m != nil {
			p.give(m, nil)
		}
	default:
	}
	return nil, ctx.Err()
}

// begin counts a call on a device. The caller holds mu.
func (p *Pool) begin(m *member) {
	m.busy++
	p.turn++
	m.turn = p.turn
}

// any reports whether a device is left other than not. The caller holds mu.
func (p *Pool) any(not *member) bool {
	return slices.ContainsFunc(p.members, func(m *member) bool { return m != not && m.err == nil })
}

// give ends a call on a device, which failed with err if that is not nil, and gives the device to who waits for it.
func (p *Pool) give(m *member, err error) {
	p.mu.Lock()
	m.busy--
	lost := m.err == nil && errors.Is(err, kernels.ErrDown)
	if lost {
		m.err = err
		p.waiting = slices.DeleteFunc(p.waiting, func(w *waiter) bool {
			none := !p.any(w.not)
			if none {
				w.found <- nil
			}
			return none
		})
	}
	if m.err == nil {
		if i := slices.IndexFunc(p.waiting, func(w *waiter) bool { return w.not != m }); i >= 0 {
			p.begin(m)
			p.waiting[i].found <- m
			p.waiting = slices.Delete(p.waiting, i, i+1)
		}
	}
	none := !p.any(nil)
	p.mu.Unlock()
	if !lost {
		return
	}
	if p.lost != nil {
		p.lost(m.index, err)
	}
	if none {
		close(p.down)
	}
}

// Close closes the engines, after their passes in flight. Embed may not be called any more.
func (p *Pool) Close() error {
	var errs []error
	for _, m := range p.members {
		errs = append(errs, m.engine.Close())
	}
	return errors.Join(errs...)
}
