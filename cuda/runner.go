package cuda

import (
	"errors"
	"fmt"
	"slices"

	"vith/kernels"
)

// A runner is a program resident on the device: a graph for each slot, of the calls and nothing else.
type runner struct {
	backend *Backend
	program *kernels.Program
	plan    kernels.Plan
	lives   []life
	steps   []step
	inputs  []port
	outputs []port
	need    reservation
	execs   [depth]Exec
	tickets chan *ticket // not in use
	closed  bool
}

var _ kernels.Runner = (*runner)(nil)

// A port is an input or output of the program, at an offset of a slot's memory.
type port struct {
	name         string
	id           int // of the buffer
	offset, size int // bytes
}

// A step is one call: a launch of a kernel, or a product.
type step struct {
	function *function
	geometry kernels.Geometry
	product  *product // or nil
}

// Load makes a lowered program resident, after the passes in flight. The first pass is run here.
func (b *Backend) Load(p *kernels.Program) (kernels.Runner, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	if err := b.Down(); err != nil {
		return nil, err
	}
	b.drain()
	defer b.refill()
	r := b.newRunner(p)
	err := b.main.do(func() error {
		err := r.load()
		if err != nil {
			err = join(err, r.release())
		}
		return err
	})
	if err != nil {
		return nil, b.failed(err)
	}
	b.runners = append(b.runners, r)
	return r, nil
}

// newRunner lays the program's buffers out.
func (b *Backend) newRunner(p *kernels.Program) *runner {
	r := &runner{backend: b, program: p, plan: b.makePlan(p), tickets: make(chan *ticket, depth)}
	r.lives = lives(p, r.plan)
	r.need.arena = int64(r.plan.Size)
	for id, info := range p.Bufs {
		var list *[]port
		var total *int64
		switch info.Role {
		case kernels.Input:
			list, total = &r.inputs, &r.need.in
		case kernels.Output:
			list, total = &r.outputs, &r.need.out
		default:
			continue
		}
		*list = append(*list, port{info.Name, id, int(*total), info.Bytes()})
		*total += int64(align(info.Bytes()))
	}
	for range depth {
		t := &ticket{runner: r, out: make([][]byte, 0, len(r.outputs))}
		t.begin, t.finish = newJob(t.queue), newJob(t.collect)
		t.wait = t.waitFor
		r.tickets <- t
	}
	return r
}

// load places the weights, reserves memory, chooses how products are computed, runs the program once and captures it.
func (r *runner) load() error {
	b := r.backend
	if err := r.resolve(); err != nil {
		return err
	}
	need := b.reserved().atLeast(r.need)
	if err := r.place(need); err != nil {
		return err
	}
	if err := b.reserve(need); err != nil {
		return err
	}
	if err := r.choose(); err != nil {
		return err
	}
	if err := r.place(need); err != nil { // what a launch in place of a product needs in another type
		return err
	}
	if err := r.rehearse(); err != nil {
		return err
	}
	return r.capture()
}

// place uploads the weights that are not there, unless they or the buffers do not fit.
func (r *runner) place(need reservation) error {
	weights, bytes := r.backend.missing(r.weights())
	if err := r.backend.fits(bytes, need); err != nil {
		return err
	}
	return r.backend.place(weights, bytes)
}

// resolve makes a step of every call.
func (r *runner) resolve() error {
	for i := range r.program.Calls {
		if p := r.productOf(i); p != nil {
			r.steps = append(r.steps, step{product: p})
			continue
		}
		s, err := r.launch(i)
		if err != nil {
			return err
		}
		r.steps = append(r.steps, s)
	}
	return nil
}

// launch is call i as a launch of the kernel's own text.
func (r *runner) launch(i int) (step, error) {
	c := &r.program.Calls[i]
	spec, err := r.program.Spec(i, r.backend.target)
	if err != nil {
		return step{}, err
	}
	g := c.Kernel.GPU.Launch(spec, c.Dims)
	f, err := r.backend.function(c.Kernel, spec, g.Shared)
	return step{function: f, geometry: g}, err
}

// weights are the weights as the steps need them.
func (r *runner) weights() (keys []weightKey) {
	for i, c := range r.program.Calls {
		for operand, b := range c.In {
			if b.ID == kernels.None || r.program.Bufs[b.ID].Role != kernels.Fixed {
				continue
			}
			k := weightKey{r.program.Bufs[b.ID].Weight, r.program.Bufs[b.ID].Type}
			if p := r.steps[i].product; p != nil && operand == inBias {
				k = p.bias
			}
			keys = append(keys, k)
		}
	}
	return keys
}

// base is the address of a buffer in a pass that has the slot.
func (r *runner) base(id int, s *slot) Ptr {
	info := r.program.Bufs[id]
	offset := func(list []port) Ptr {
		return Ptr(list[slices.IndexFunc(list, func(p port) bool { return p.id == id })].offset)
	}
	switch info.Role {
	case kernels.Fixed:
		return r.backend.weights[weightKey{info.Weight, info.Type}]
	case kernels.Input:
		return s.in.at + offset(r.inputs)
	case kernels.Output:
		return s.out.at + offset(r.outputs)
	}
	return r.backend.arena.at + Ptr(r.plan.Offset[id])
}

// view is the address of a view's first element.
func (r *runner) view(b kernels.Buf, s *slot) Ptr {
	info := r.program.Bufs[b.ID]
	return r.base(b.ID, s) + Ptr((b.Row*info.Pitch+b.Col)*info.Type.Size())
}

// issue queues every call of a pass.
func (r *runner) issue(s *slot) error { return r.issueEach(s, nil) }

// issueEach queues every call of a pass, and does something after each if after is not nil.
func (r *runner) issueEach(s *slot, after func(call int) error) error {
	b := r.backend
	for i, step := range r.steps {
		for _, id := range r.lives[i].begin {
			info := r.program.Bufs[id]
			if err := b.region(r.base(id, s), int64(info.Bytes()), info.Name, b.compute); err != nil {
				return err
			}
		}
		if err := r.issueStep(i, step, s); err != nil {
			return join(fmt.Errorf("call %d: %w", i, err), r.abandon(i, s))
		}
		if after != nil {
			if err := after(i); err != nil {
				return join(err, r.abandon(i, s))
			}
		}
		for _, id := range r.lives[i].end {
			if err := b.dead(r.base(id, s), b.compute); err != nil {
				return err
			}
		}
	}
	return nil
}

// abandon ends the regions that are alive at call i.
func (r *runner) abandon(i int, s *slot) error {
	alive := map[Ptr]bool{}
	for j, l := range r.lives[:i+1] {
		for _, id := range l.begin {
			alive[r.base(id, s)] = true
		}
		for _, id := range l.end {
			if j < i {
				delete(alive, r.base(id, s))
			}
		}
	}
	var errs []error
	for p := range alive {
		errs = append(errs, r.backend.dead(p, r.backend.compute))
	}
	return errors.Join(errs...)
}

func (r *runner) issueStep(i int, step step, s *slot) error {
	if step.product != nil {
		return step.product.issue(r, step.product.algorithm, s)
	}
	slots := r.program.Slots(i, func(id int) uint64 { return uint64(r.base(id, s)) })
	return r.backend.device.LaunchKernel(step.function.entry, step.geometry.Grid, step.geometry.Block, step.geometry.Shared, r.backend.compute, slots)
}

// rehearse runs the program once on zeros, call by call, so that what the driver makes at a first launch is there before
// the capture, and a fault shows in Load.
func (r *runner) rehearse() error {
	b, s := r.backend, &r.backend.all[0]
	if s.in.size > 0 {
		if err := b.device.MemsetD8Async(s.in.at, 0, s.in.size, b.compute); err != nil {
			return err
		}
	}
	err := r.issue(s)
	return join(err, b.device.StreamSynchronize(b.compute))
}

// capture makes the graphs anew.
func (r *runner) capture() error {
	if err := r.release(); err != nil {
		return err
	}
	if r.backend.options.NoGraphs {
		return nil
	}
	for i := range r.execs {
		if err := r.captureSlot(&r.backend.all[i]); err != nil {
			return err
		}
	}
	return r.backend.device.StreamSynchronize(r.backend.compute)
}

func (r *runner) captureSlot(s *slot) error {
	d, stream := r.backend.device, r.backend.compute
	if err := d.StreamBeginCapture(stream); err != nil {
		return err
	}
	issued := r.issue(s)
	g, err := d.StreamEndCapture(stream)
	if err != nil {
		return join(issued, err)
	}
	if issued == nil {
		r.execs[s.index], issued = d.GraphInstantiate(g)
	}
	if err := join(issued, d.GraphDestroy(g)); err != nil {
		return err
	}
	return d.GraphUpload(r.execs[s.index], stream)
}

// release destroys the graphs.
func (r *runner) release() error {
	var errs []error
	for i, e := range r.execs {
		if e != 0 {
			errs = append(errs, r.backend.device.GraphExecDestroy(e))
		}
		r.execs[i] = 0
	}
	return errors.Join(errs...)
}

// Close destroys the graphs, after the passes in flight. The weights and the arena stay.
func (r *runner) Close() error {
	b := r.backend
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || r.closed {
		return ErrClosed
	}
	b.drain()
	defer b.refill()
	r.closed = true
	i := slices.Index(b.runners, r)
	b.runners = slices.Delete(b.runners, i, i+1)
	err := b.main.do(r.release)
	if b.Down() != nil {
		return nil
	}
	return b.failed(err)
}
