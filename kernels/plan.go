package kernels

import (
	"cmp"
	"slices"
)

// A Plan places the scratch buffers of a program in one arena. Buffers share storage where their lifetimes do not
// overlap, and an output takes the storage of an input that dies in its call where the kernel allows it.
type Plan struct {
	Offset []int // of each buffer in the arena, bytes, a multiple of Align; -1 for buffers that are not scratch
	Size   int   // of the arena, bytes
}

// Align is the alignment of every buffer in an arena: what CUDA's allocator gives, and a multiple of a cache line.
const Align = 256

// block is storage for one scratch buffer, or for several that succeed each other in place.
type block struct {
	bufs        []int
	size        int
	first, last int // calls between which it is live, inclusive
	offset      int
}

// MakePlan plans a lowered program's arena, largest blocks first, each at the lowest offset where it fits.
func MakePlan(p *Program) Plan {
	blocks := p.blocks()
	slices.SortStableFunc(blocks, func(a, b *block) int { return cmp.Compare(b.size, a.size) })
	plan := Plan{Offset: make([]int, len(p.Bufs))}
	for i := range plan.Offset {
		plan.Offset[i] = -1
	}
	var placed []*block // by offset
	for _, b := range blocks {
		b.offset = 0
		for _, o := range placed {
			if o.last < b.first || b.last < o.first {
				continue
			}
			if b.offset+b.size <= o.offset {
				break
			}
			b.offset = max(b.offset, o.offset+o.size)
		}
		at, _ := slices.BinarySearchFunc(placed, b, func(x, y *block) int { return cmp.Compare(x.offset, y.offset) })
		placed = slices.Insert(placed, at, b)
		plan.Size = max(plan.Size, b.offset+b.size)
		for _, id := range b.bufs {
			plan.Offset[id] = b.offset
		}
	}
	return plan
}

// blocks groups the scratch buffers by the storage they share in place, with lifetimes.
func (p *Program) blocks() []*block {
	last := make([]int, len(p.Bufs)) // the last call that reads each buffer
	for i, c := range p.Calls {
		for _, b := range c.In {
			if b.ID != None {
				last[b.ID] = i
			}
		}
	}
	of := make([]*block, len(p.Bufs))
	var blocks []*block
	for i, c := range p.Calls {
		for o, b := range c.Out {
			info := p.Bufs[b.ID]
			if info.Role != Scratch {
				continue
			}
			end := max(last[b.ID], i)
			if host := p.inPlace(c, o, i, last, of); host != nil {
				host.bufs = append(host.bufs, b.ID)
				host.last = end
				of[b.ID] = host
				continue
			}
			size := (info.Bytes() + Align - 1) / Align * Align
			of[b.ID] = &block{bufs: []int{b.ID}, size: size, first: i, last: end}
			blocks = append(blocks, of[b.ID])
		}
	}
	return blocks
}

// inPlace is the block of an input of call i that output o may be computed in: a whole scratch buffer of the same
// geometry, read for the last time by this call and by no other operand of it.
func (p *Program) inPlace(c Call, o, i int, last []int, of []*block) *block {
	out := p.Bufs[c.Out[o].ID]
	for _, a := range c.Kernel.InPlace {
		if a.Out != o || c.In[a.In].ID == None {
			continue
		}
		b := c.In[a.In]
		in := p.Bufs[b.ID]
		readers := 0
		for _, other := range c.In {
			if other.ID == b.ID {
				readers++
			}
		}
		if in.Role == Scratch && last[b.ID] == i && readers == 1 && b == whole(b.ID, in) &&
			in.Type == out.Type && in.Rows == out.Rows && in.Pitch == out.Pitch && of[b.ID].last == i {
			return of[b.ID]
		}
	}
	return nil
}
