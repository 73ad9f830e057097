package ptxsim

import (
	"math/bits"

	"vith/kernels/ptx"
)

// An asyncCopy is a cp.async that its thread has not waited for. The hardware may write the destination at any time
// between; the interpreter writes it at the wait, and lets nobody touch it before.
type asyncCopy struct {
	lane  int
	group int // number of commit_groups that the thread executed before
	dst   uint64
	bytes [16]byte
	n     int // bytes
}

func buildCpAsync(d *loader, i *inst, op *ptx.Op) error {
	i.width = int(i.imm[0])
	d.sharedGranule = min(d.sharedGranule, i.width)
	d.globalGranule = min(d.globalGranule, i.width)
	i.run = runCpAsync
	return nil
}

func runCpAsync(w *warp, i *inst, active uint32) {
	dst, src := &w.reg[i.addr[0].reg], &w.reg[i.addr[1].reg]
	w.stats.countBanks(dst, i.addr[0].offset, i.width, active)
	w.stats.countSectors(src, i.addr[1].offset, i.width, active)
	for m := active; m != 0; m &= m - 1 {
		l := bits.TrailingZeros32(m)
		c := asyncCopy{lane: l, group: w.committed[l], dst: dst[l] + i.addr[0].offset, n: i.width}
		n := i.width
		if len(i.args) > 2 {
			n = int(uint32(w.reg[i.args[2]][l]))
		}
		if n > i.width {
			w.fail(l, Undefined, "source size %d is more than the %d bytes to copy", n, i.width)
		}
		if n > 0 {
			copy(c.bytes[:], w.global(l, src[l]+i.addr[1].offset, n, i.width, toLoad))
		}
		w.sharedBytes(l, c.dst, c.n)
		for g := int(c.dst) / w.granule; g < (int(c.dst)+c.n)/w.granule; g++ {
			w.checkPending(l, g)
			w.checkWrite(l, g, func(int) bool { return false })
			w.pending[g] = uint16(w.id*32+l) + 1
		}
		w.copies = append(w.copies, c)
	}
}

func buildCommitGroup(_ *loader, i *inst, _ *ptx.Op) error {
	i.run = func(w *warp, _ *inst, active uint32) {
		for m := active; m != 0; m &= m - 1 {
			w.committed[bits.TrailingZeros32(m)]++
		}
	}
	return nil
}

func buildWaitGroup(_ *loader, i *inst, _ *ptx.Op) error {
	i.run = func(w *warp, i *inst, active uint32) {
		w.finishCopies(func(c *asyncCopy) bool {
			return active>>c.lane&1 != 0 && c.group < w.committed[c.lane]-int(i.imm[0])
		})
	}
	return nil
}

func buildWaitAll(_ *loader, i *inst, _ *ptx.Op) error {
	i.run = func(w *warp, _ *inst, active uint32) {
		w.finishCopies(func(c *asyncCopy) bool { return active>>c.lane&1 != 0 })
	}
	return nil
}

// finishCopies writes the destinations of the copies that are done.
func (w *warp) finishCopies(done func(*asyncCopy) bool) {
	left := w.copies[:0]
	for n := range w.copies {
		c := &w.copies[n]
		if !done(c) {
			left = append(left, *c)
			continue
		}
		copy(w.bytes[c.dst:], c.bytes[:c.n])
		for g := int(c.dst) / w.granule; g < (int(c.dst)+c.n)/w.granule; g++ {
			w.pending[g] = 0
			w.written[g] = true
			w.stores[g] = stamp{w.seen[w.id], uint16(w.id*32 + c.lane)}
		}
	}
	w.copies = left
}
