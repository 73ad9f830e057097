package emu

import (
	"fmt"
	"slices"
)

// A clock says how much of each stream's work, by number, is known to be done.
type clock []uint32

func (c clock) clone() clock { return slices.Clone(c) }

func (c clock) at(stream int) uint32 {
	if stream < len(c) {
		return c[stream]
	}
	return 0
}

func (c *clock) join(o clock) {
	for len(*c) < len(o) {
		*c = append(*c, 0)
	}
	for i, n := range o {
		(*c)[i] = max((*c)[i], n)
	}
}

func (c *clock) tick(stream int) {
	for len(*c) <= stream {
		*c = append(*c, 0)
	}
	(*c)[stream]++
}

// An access is to bytes [base, end) of device memory.
type access struct {
	base, end uint64
	write     bool
}

// races remembers accesses that later work might not be ordered behind.
type races struct {
	recent []recent
}

type recent struct {
	access
	stream int
	tick   uint32 // of the stream
	what   string
}

// check adds the accesses of the work that s runs now, unless one is in conflict with work that it is not ordered behind.
func (r *races) check(s *stream, what string, list []access) error {
	for _, a := range list {
		for _, o := range r.recent {
			if o.stream != s.number && (a.write || o.write) && a.base < o.end && o.base < a.end && s.clock.at(o.stream) < o.tick {
				return fmt.Errorf("emu: race: %s in stream %d and %s in stream %d touch bytes at %#x, and no event orders them",
					what, s.number, o.what, o.stream, max(a.base, o.base))
			}
		}
	}
	for _, a := range list {
		r.recent = append(r.recent, recent{a, s.number, s.clock.at(s.number), what})
	}
	return nil
}

// forget drops accesses that all work to come is ordered behind.
func (r *races) forget(host clock) {
	r.recent = slices.DeleteFunc(r.recent, func(o recent) bool { return host.at(o.stream) >= o.tick })
}
