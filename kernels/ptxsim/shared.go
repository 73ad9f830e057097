package ptxsim

import (
	"fmt"
	"slices"
)

// A sharedMemory is the shared memory of a block, with what it takes to find races.
//
// Every warp has a clock, which ticks when the warp meets others at bar.sync, or its own threads at bar.warp.sync; when
// warps meet, each learns the clocks of all. An access at clock c of warp u is ordered before what warp w does now if
// seen[u] of w is greater than c: these are the vector clocks of Flanagan and Freund 2009, FastTrack,
// doi:10.1145/1542476.1542490, with warps as threads, and the lanes of a warp told apart until the warp's clock ticks.
//
// State is kept by granules: the least width of the kernel's accesses, so that each access covers whole ones.
type sharedMemory struct {
	arrays  []array
	bytes   []byte // from address 0 on
	granule int    // bytes

	written []bool
	pending []uint16  // thread + 1 whose cp.async will write it, 0 if none
	stores  []stamp   // the last by an ordinary store
	reads   []reading // by granule and warp
	atomics []reading // likewise; only in kernels that have them
}

// A stamp is when and by which thread of the block something was done. The zero stamp is ordered before everything.
type stamp struct {
	clock  uint32
	thread uint16
}

// A reading is the last of a warp's accesses of a kind to a granule.
type reading struct {
	clock uint32
	lane  uint8 // manyLanes if several lanes did it at that clock
}

const manyLanes = 32

func (s *sharedMemory) allocate(k *kernel, dynamic, warps int) {
	s.arrays = slices.Clone(k.arrays)
	if k.dynamic >= 0 {
		s.arrays[k.dynamic].size = dynamic
		s.arrays[k.dynamic].name = "dynamic"
	}
	end := 0
	for _, a := range s.arrays {
		end = max(end, a.base+a.size)
	}
	s.granule = k.sharedGranule
	n := (end + s.granule - 1) / s.granule
	s.bytes = make([]byte, n*s.granule)
	s.written = make([]bool, n)
	s.pending = make([]uint16, n)
	s.stores = make([]stamp, n)
	s.reads = make([]reading, n*warps)
	if k.sharedAtomics {
		s.atomics = make([]reading, n*warps)
	}
}

func (s *sharedMemory) reset() {
	clear(s.written)
	clear(s.pending)
	clear(s.stores)
	clear(s.reads)
	clear(s.atomics)
}

// sharedBytes returns the n bytes at addr for an access, or faults. It does not look for races.
func (w *warp) sharedBytes(lane int, addr uint64, n int) []byte {
	if addr%uint64(n) != 0 {
		w.fail(lane, Misaligned, "shared address %#x is not a multiple of %d", addr, n)
	}
	for _, a := range w.arrays {
		if off := addr - uint64(a.base); off < uint64(a.size) && uint64(n) <= uint64(a.size)-off {
			return w.bytes[addr : addr+uint64(n)]
		}
	}
	w.fail(lane, OutOfBounds, "%d bytes at shared address %#x%s", n, addr, w.nearestArray(int64(addr)))
	return nil
}

// nearestArray says in words where addr lies.
func (w *warp) nearestArray(addr int64) string {
	if len(w.arrays) == 0 {
		return ": the kernel has no shared memory"
	}
	distance := func(a array) int64 { return max(int64(a.base)-addr, addr-int64(a.base+a.size), 0) }
	a := slices.MinFunc(w.arrays, func(a, b array) int { return int(distance(a) - distance(b)) })
	return fmt.Sprintf(", byte %d of array %q of %d bytes", addr-int64(a.base), a.name, a.size)
}

// readShared returns the n bytes at addr after checking that they were written and that no unordered write touched them.
func (w *warp) readShared(lane int, addr uint64, n int) []byte {
	p := w.sharedBytes(lane, addr, n)
	me := uint16(w.id*32 + lane)
	clock := w.seen[w.id]
	for g := int(addr) / w.granule; g < (int(addr)+n)/w.granule; g++ {
		w.checkPending(lane, g)
		if !w.written[g] {
			w.fail(lane, Uninitialised, "%d bytes at shared address %#x were not all written%s", n, addr, w.nearestArray(int64(addr)))
		}
		if st := w.stores[g]; !w.orderedAfter(st, me) {
			w.race(lane, g, "wrote", w.threadName(int(st.thread)))
		}
		if w.atomics != nil {
			w.checkReadings(w.atomics, lane, g, "updated")
		}
		w.note(&w.reads[g*len(w.warps)+w.id], clock, lane)
	}
	return p
}

// writeShared returns the n bytes at addr for writing, after checking that no unordered access touched them. Lanes that
// write the same to the same place in one instruction are not in conflict: agree tells whether the instruction makes
// that lane do so.
func (w *warp) writeShared(lane int, addr uint64, n int, agree func(other int) bool) []byte {
	p := w.sharedBytes(lane, addr, n)
	for g := int(addr) / w.granule; g < (int(addr)+n)/w.granule; g++ {
		w.checkPending(lane, g)
		w.checkWrite(lane, g, agree)
		w.stores[g] = stamp{w.seen[w.id], uint16(w.id*32 + lane)}
		w.written[g] = true
	}
	return p
}

// checkWrite faults if an unordered access touched granule g.
func (w *warp) checkWrite(lane, g int, agree func(other int) bool) {
	if st := w.stores[g]; !w.orderedAfter(st, uint16(w.id*32+lane)) {
		if int(st.thread/32) != w.id || !agree(int(st.thread%32)) {
			w.race(lane, g, "wrote", w.threadName(int(st.thread)))
		}
	}
	w.checkReadings(w.reads, lane, g, "read")
	if w.atomics != nil {
		w.checkReadings(w.atomics, lane, g, "updated")
	}
}

// updateShared returns the 4 bytes at addr for an atomic update, which may be in conflict with ordinary accesses only.
func (w *warp) updateShared(lane int, addr uint64) []byte {
	p := w.sharedBytes(lane, addr, 4)
	for g := int(addr) / w.granule; g < (int(addr)+4)/w.granule; g++ {
		w.checkPending(lane, g)
		if !w.written[g] {
			w.fail(lane, Uninitialised, "4 bytes at shared address %#x were not all written%s", addr, w.nearestArray(int64(addr)))
		}
		if st := w.stores[g]; !w.orderedAfter(st, uint16(w.id*32+lane)) {
			w.race(lane, g, "wrote", w.threadName(int(st.thread)))
		}
		w.checkReadings(w.reads, lane, g, "read")
		w.note(&w.atomics[g*len(w.warps)+w.id], w.seen[w.id], lane)
	}
	return p
}

func (w *warp) checkPending(lane, g int) {
	if t := w.pending[g]; t != 0 {
		w.fail(lane, PendingCopy, "shared address %#x%s is the destination of a cp.async of thread %v that was not waited for",
			g*w.granule, w.nearestArray(int64(g*w.granule)), position(int(t)-1, w.Block))
	}
}

// orderedAfter tells whether what st stands for comes before anything that this thread does now.
func (w *warp) orderedAfter(st stamp, me uint16) bool {
	return st.clock < w.seen[st.thread/32] || st.thread == me
}

// checkReadings faults if another thread's reading of granule g is not ordered before this one's access.
func (w *warp) checkReadings(all []reading, lane, g int, did string) {
	for u, r := range all[g*len(w.warps) : (g+1)*len(w.warps)] {
		if r.clock < w.seen[u] || u == w.id && int(r.lane) == lane {
			continue
		}
		who := fmt.Sprintf("several threads of warp %d", u)
		if r.lane != manyLanes {
			who = w.threadName(u*32 + int(r.lane))
		}
		w.race(lane, g, did, who)
	}
}

func (w *warp) note(r *reading, clock uint32, lane int) {
	if r.clock == clock && int(r.lane) != lane {
		r.lane = manyLanes
		return
	}
	*r = reading{clock, uint8(lane)}
}

func (w *warp) threadName(thread int) string {
	return fmt.Sprintf("thread %v", position(thread, w.Block))
}

func (w *warp) race(lane, g int, did, who string) {
	w.fail(lane, Race, "shared address %#x%s: %s %s it, and no barrier orders the two", g*w.granule,
		w.nearestArray(int64(g*w.granule)), who, did)
}
