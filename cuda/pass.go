package cuda

import (
	"fmt"

	"vith/kernels"
)

// A ticket is what Start hands out for a pass: it says how the pass went.
type ticket struct {
	runner *runner
	slot   *slot
	out    [][]byte
	begin  *job // on the main thread
	finish *job // on the waiter
	wait   kernels.Wait
}

// Depth is the number of slots, which the runners of a backend share: a Start of any of them waits for a free one.
func (r *runner) Depth() int { return depth }

// Start copies the input to page-locked memory and queues the pass. Its Wait must be called.
func (r *runner) Start(in, out [][]byte) (kernels.Wait, error) {
	b := r.backend
	if err := b.Down(); err != nil {
		return nil, err
	}
	if err := check(r.inputs, in, "input"); err != nil {
		return nil, fmt.Errorf("%s: %w", b.name, err)
	}
	if err := check(r.outputs, out, "output"); err != nil {
		return nil, fmt.Errorf("%s: %w", b.name, err)
	}
	var t *ticket
	select {
	case t = <-r.tickets:
	default:
		return nil, fmt.Errorf("%s: a program has more than %d passes in flight", b.name, depth)
	}
	s, ok := <-b.slots
	if !ok {
		r.tickets <- t
		return nil, ErrClosed
	}
	if r.closed {
		b.slots <- s
		r.tickets <- t
		return nil, ErrClosed
	}
	for i, p := range r.inputs {
		n := copy(s.hostIn[p.offset:], in[i])
		clear(s.hostIn[p.offset+n : p.offset+p.size])
	}
	t.slot, t.out = s, append(t.out[:0], out...)
	b.main.submit(t.begin)
	if err := t.begin.wait(); err != nil {
		clear(t.out)
		r.tickets <- t
		return nil, b.failed(err)
	}
	return t.wait, nil
}

// check compares the caller's memory with the program's.
func check(ports []port, data [][]byte, what string) error {
	if len(data) != len(ports) {
		return fmt.Errorf("%d %ss, the program has %d", len(data), what, len(ports))
	}
	for i, p := range ports {
		if len(data[i]) > p.size {
			return fmt.Errorf("%s %s has %d bytes, may have %d", what, p.name, len(data[i]), p.size)
		}
	}
	return nil
}

// queue gives the pass to the device, and to the waiter. If it cannot, it waits for what was given and frees the slot.
func (t *ticket) queue() error {
	b := t.runner.backend
	queued := false
	defer func() { // also where a call panics
		if !queued {
			b.slots <- t.slot
		}
	}()
	if err := t.runner.pass(t.slot); err != nil {
		for _, s := range [...]Stream{b.copyIn, b.compute, b.copyOut} {
			if e := b.device.StreamSynchronize(s); e != nil {
				err = b.giveUp(join(err, e))
			}
		}
		return err
	}
	queued = true
	b.waiter.submit(t.finish)
	return nil
}

// pass queues the copies and the calls of a pass.
func (r *runner) pass(s *slot) error {
	b, d := r.backend, r.backend.device
	if n := r.need.in; n > 0 {
		if err := d.MemcpyHtoDAsync(s.in.at, s.hostIn[:n], b.copyIn); err != nil {
			return err
		}
	}
	if err := d.EventRecord(s.copied, b.copyIn); err != nil {
		return err
	}
	if err := d.StreamWaitEvent(b.compute, s.copied); err != nil {
		return err
	}
	if err := r.compute(s); err != nil {
		return err
	}
	if err := d.EventRecord(s.computed, b.compute); err != nil {
		return err
	}
	if err := d.StreamWaitEvent(b.copyOut, s.computed); err != nil {
		return err
	}
	for _, p := range r.outputs {
		if err := d.MemcpyDtoHAsync(s.hostOut[p.offset:][:p.size], s.out.at+Ptr(p.offset), b.copyOut); err != nil {
			return err
		}
	}
	return d.EventRecord(s.done, b.copyOut)
}

func (r *runner) compute(s *slot) error {
	if r.backend.options.NoGraphs {
		return r.issue(s)
	}
	return r.backend.device.GraphLaunch(r.execs[s.index], r.backend.compute)
}

// collect waits for the pass, hands its output over and frees the slot.
func (t *ticket) collect() error {
	b, s := t.runner.backend, t.slot
	defer func() {
		clear(t.out)
		b.slots <- s
	}()
	if err := b.device.EventSynchronize(s.done); err != nil {
		return b.giveUp(err) // what the slot holds may still be in use
	}
	for i, p := range t.runner.outputs {
		copy(t.out[i], s.hostOut[p.offset:])
	}
	return nil
}

// waitFor is the pass's Wait.
func (t *ticket) waitFor() error {
	err := t.finish.wait()
	t.runner.tickets <- t
	return t.runner.backend.failed(err)
}
