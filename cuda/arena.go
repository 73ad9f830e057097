package cuda

import (
	"errors"

	"vith/kernels"
)

// A reservation is the memory that passes need, in bytes: scratch buffers, and each slot's inputs and outputs.
type reservation struct {
	arena, in, out int64
}

func (r reservation) total() int64 { return r.arena + depth*(r.in+r.out) }

func (r reservation) atLeast(o reservation) reservation {
	return reservation{max(r.arena, o.arena), max(r.in, o.in), max(r.out, o.out)}
}

// reserved is what there is.
func (b *Backend) reserved() reservation {
	return reservation{b.arena.size, b.all[0].in.size, b.all[0].out.size}
}

// reserve grows the buffers of all programs. Their addresses change, so every runner captures its graphs again. If that
// fails the old sizes are restored, or the device is down.
func (b *Backend) reserve(r reservation) error {
	old := b.reserved()
	if old == r {
		return nil
	}
	err := b.move(r)
	if err == nil {
		return nil
	}
	if restored := b.move(old); restored != nil {
		return b.giveUp(join(err, restored))
	}
	return err
}

// move replaces the buffers and captures all graphs on the new ones.
func (b *Backend) move(r reservation) error {
	if err := b.releaseBuffers(); err != nil {
		return err
	}
	if err := b.allocBuffers(r); err != nil {
		return err
	}
	for _, r := range b.runners {
		if err := r.capture(); err != nil {
			return err
		}
	}
	return nil
}

func (b *Backend) allocBuffers(r reservation) (err error) {
	if b.arena, err = b.alloc(r.arena); err != nil {
		return err
	}
	for i := range b.all {
		s := &b.all[i]
		if s.in, err = b.alloc(r.in); err != nil {
			return err
		}
		if s.out, err = b.alloc(r.out); err != nil {
			return err
		}
		if s.hostIn, err = b.device.MemHostAlloc(int(max(1, r.in))); err != nil {
			return err
		}
		if s.hostOut, err = b.device.MemHostAlloc(int(max(1, r.out))); err != nil {
			return err
		}
	}
	return nil
}

// releaseBuffers frees what allocBuffers made, all of it or a part.
func (b *Backend) releaseBuffers() error {
	var errs []error
	for i := range b.all {
		s := &b.all[i]
		for _, h := range [...][]byte{s.hostIn, s.hostOut} {
			if h != nil {
				errs = append(errs, b.device.MemFreeHost(h))
			}
		}
		errs = append(errs, b.free(s.in), b.free(s.out))
		s.in, s.out, s.hostIn, s.hostOut = memory{}, memory{}, nil, nil
	}
	errs = append(errs, b.free(b.arena))
	b.arena = memory{}
	return errors.Join(errs...)
}

// makePlan places scratch buffers. Without reuse they lie one after the other with bytes between that nothing may touch.
func (b *Backend) makePlan(p *kernels.Program) kernels.Plan {
	if !b.options.NoReuse {
		return kernels.MakePlan(p)
	}
	plan := kernels.Plan{Offset: make([]int, len(p.Bufs))}
	for i, info := range p.Bufs {
		plan.Offset[i] = -1
		if info.Role == kernels.Scratch {
			plan.Offset[i] = plan.Size
			plan.Size += align(info.Bytes()) + kernels.Align
		}
	}
	return plan
}

// A life says which regions of the arena a call begins and ends.
type life struct {
	begin []int // buffers that it writes, but for those that take the storage of an operand
	end   []int // buffers whose storage nothing reads after it
}

// lives are the lives of each call's scratch buffers under a plan.
func lives(p *kernels.Program, plan kernels.Plan) []life {
	last := make([]int, len(p.Bufs)) // the last call that touches each buffer
	for i, c := range p.Calls {
		for _, list := range [...][]kernels.Buf{c.In, c.Out} {
			for _, b := range list {
				if b.ID != kernels.None {
					last[b.ID] = i
				}
			}
		}
	}
	list := make([]life, len(p.Calls))
	for i, c := range p.Calls {
		shared := map[int]bool{} // offsets of operands that outputs take
		for _, out := range c.Out {
			if plan.Offset[out.ID] < 0 {
				continue
			}
			begins := true
			for _, in := range c.In {
				if in.ID != kernels.None && plan.Offset[in.ID] == plan.Offset[out.ID] {
					begins = false
					shared[plan.Offset[in.ID]] = true
				}
			}
			if begins {
				list[i].begin = append(list[i].begin, out.ID)
			}
			if last[out.ID] == i {
				list[i].end = append(list[i].end, out.ID)
			}
		}
		seen := map[int]bool{}
		for _, in := range c.In {
			if in.ID == kernels.None || plan.Offset[in.ID] < 0 || last[in.ID] != i || seen[in.ID] || shared[plan.Offset[in.ID]] {
				continue
			}
			seen[in.ID] = true
			list[i].end = append(list[i].end, in.ID)
		}
	}
	return list
}
