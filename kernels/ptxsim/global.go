package ptxsim

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// An access is what a thread does to memory.
type access uint8

const (
	toLoad   access = iota
	toLoadNC        // of memory that nobody writes during the launch
	toStore
	toUpdate
)

const pageSize = 4096 // bytes

// A view is an allocation as one launch sees it: which block touched what.
type view struct {
	*allocation
	once  sync.Once
	pages []atomic.Pointer[page]
}

// A page is what a launch knows about 4 KB of an allocation. Blocks mark each granule before they touch it and then look
// at the others' marks, so of two blocks in conflict at least one sees the other, and no byte is touched by both.
type page struct {
	writer []atomic.Uint32 // by granule: 0, the block that wrote it, or a mark
	reader []atomic.Uint32

	mu    sync.Mutex
	saved atomic.Bool
	data  []byte // as before the launch, once saved
	init  []uint32
}

// Marks of blocks are their numbers plus one.
const (
	manyBlocks  = 1<<32 - 1 // read by several blocks, or updated atomically
	nonCoherent = 1<<32 - 2 // read by ld.global.nc
)

func (v *view) page(n, granule int) *page {
	v.once.Do(func() { v.pages = make([]atomic.Pointer[page], (len(v.allocation.data)+pageSize-1)/pageSize) })
	p := v.pages[n].Load()
	if p == nil {
		p = &page{writer: make([]atomic.Uint32, pageSize/granule), reader: make([]atomic.Uint32, pageSize/granule)}
		if !v.pages[n].CompareAndSwap(nil, p) {
			p = v.pages[n].Load()
		}
	}
	return p
}

// save copies the page before its first write.
func (v *view) save(p *page, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.saved.Load() {
		return
	}
	end := min((n+1)*pageSize, len(v.allocation.data))
	p.data = append([]byte(nil), v.allocation.data[n*pageSize:end]...)
	p.init = append([]uint32(nil), v.allocation.init[n*pageSize/32:(end+31)/32]...)
	p.saved.Store(true)
}

// undo restores all memory that the launch wrote.
func (g *grid) undo() {
	for i := range g.views {
		v := &g.views[i]
		for n := range v.pages {
			if p := v.pages[n].Load(); p != nil && p.saved.Load() {
				copy(v.allocation.data[n*pageSize:], p.data)
				copy(v.allocation.init[n*pageSize/32:], p.init)
			}
		}
	}
}

// global returns the n bytes at addr for an access that must be aligned to width, or faults.
func (w *warp) global(lane int, addr uint64, n, width int, how access) []byte {
	if addr%uint64(width) != 0 {
		w.fail(lane, Misaligned, "address %#x is not a multiple of %d%s", addr, width, w.mem.nearest(addr))
	}
	v := w.view(addr, n)
	if v == nil {
		w.fail(lane, OutOfBounds, "%d bytes at %#x%s", n, addr, w.mem.nearest(addr))
	}
	off := int(addr - v.base)
	if how != toStore && !v.initialised(off, n) {
		w.fail(lane, Uninitialised, "%d bytes at byte %d of %v were not all written", n, off, v)
	}
	p := v.page(off/pageSize, w.k.globalGranule)
	first := off % pageSize / w.k.globalGranule
	for g := first; g <= (off%pageSize+n-1)/w.k.globalGranule; g++ {
		if other, did := p.touch(g, w.number+1, how); other != 0 {
			w.fail(lane, Race, "byte %d of %v: %s %s it in the same launch", off, v, w.blockOf(other), did)
		}
	}
	if how >= toStore {
		if !p.saved.Load() {
			v.save(p, off/pageSize)
		}
		v.initialise(off, n)
	}
	return v.allocation.data[off : off+n]
}

// touch marks a granule for block me. If that is in conflict with another access of the launch, it returns the mark of
// who did that, and what.
func (p *page) touch(g int, me uint32, how access) (other uint32, did string) {
	wrote, read := &p.writer[g], &p.reader[g]
	switch how {
	case toLoad, toLoadNC:
		for {
			old := read.Load()
			mark := me
			switch {
			case how == toLoadNC || old == nonCoherent:
				mark = nonCoherent
			case old != 0 && old != me:
				mark = manyBlocks
			}
			if old == mark || read.CompareAndSwap(old, mark) {
				break
			}
		}
		if x := wrote.Load(); x != 0 && (x != me || how == toLoadNC) {
			return x, "wrote"
		}
		return 0, ""
	case toStore:
		if !wrote.CompareAndSwap(0, me) && wrote.Load() != me {
			return wrote.Load(), "wrote"
		}
	case toUpdate:
		if x := wrote.Load(); x != manyBlocks && x != me && !wrote.CompareAndSwap(0, manyBlocks) && wrote.Load() != manyBlocks {
			return wrote.Load(), "wrote"
		}
	}
	if x := read.Load(); x != 0 && x != me {
		return x, "read"
	}
	return 0, ""
}

// blockOf says in words whose mark it is.
func (g *grid) blockOf(mark uint32) string {
	switch mark {
	case manyBlocks:
		return "another block"
	case nonCoherent:
		return "a non-coherent load"
	}
	return fmt.Sprintf("block %v", position(int(mark-1), g.Grid))
}

// view returns the view of the allocation that holds n bytes at addr, or nil.
func (w *warp) view(addr uint64, n int) *view {
	holds := func(v *view) bool {
		off := addr - v.base
		size := uint64(len(v.allocation.data))
		return off < size && uint64(n) <= size-off
	}
	if w.lastView != nil && holds(w.lastView) {
		return w.lastView
	}
	i := w.mem.after(addr) - 1
	if i < 0 || !holds(&w.views[i]) {
		return nil
	}
	w.lastView = &w.views[i]
	return w.lastView
}
