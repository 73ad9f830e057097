package ptxsim

import (
	"math/bits"

	"vith/kernels/ptx"
)

// buildFence does nothing: fences order a thread's own accesses, and the interpreter keeps the order of the text. They do
// not order two threads, which takes a barrier.
func buildFence(_ *loader, i *inst, _ *ptx.Op) error {
	i.run = func(*warp, *inst, uint32) {}
	return nil
}

func buildBranch(_ *loader, i *inst, _ *ptx.Op) error {
	i.step = func(w *warp, g *group, i *inst, active uint32) bool {
		switch active {
		case g.mask:
			g.pc = i.target
		case 0:
			g.pc++
		default:
			g.mask &^= active
			g.pc++
			w.groups = append(w.groups, group{pc: i.target, mask: active})
		}
		return true
	}
	return nil
}

func buildExit(_ *loader, i *inst, _ *ptx.Op) error {
	i.step = func(w *warp, g *group, i *inst, active uint32) bool {
		for n := range w.copies {
			if c := &w.copies[n]; active>>c.lane&1 != 0 {
				w.fail(c.lane, PendingCopy, "the thread exits without waiting for its copy to shared address %#x", c.dst)
			}
		}
		w.live &^= active
		g.mask &^= active
		g.pc++
		left := w.groups[:0]
		for _, g := range w.groups {
			if g.mask != 0 {
				g.blocked = false // its membermask may name threads that are gone now
				left = append(left, g)
			}
		}
		w.groups = left
		return true
	}
	return nil
}

func buildTrap(_ *loader, i *inst, _ *ptx.Op) error {
	i.run = func(w *warp, _ *inst, active uint32) {
		w.fail(bits.TrailingZeros32(active), Trapped, "reached")
	}
	return nil
}

// buildBarrier is bar.sync, which all threads of a warp must execute together, and all of the block, or as many as the
// second operand says. Threads that have exited can not.
func buildBarrier(_ *loader, i *inst, _ *ptx.Op) error {
	i.step = func(w *warp, g *group, i *inst, active uint32) bool {
		if active == 0 {
			g.pc++
			return true
		}
		lane := bits.TrailingZeros32(active)
		if gone := w.exist &^ w.live; gone != 0 {
			w.fail(lane, Divergence, "lanes %#08x of the warp have exited and never reach the barrier", gone)
		}
		if active != g.mask {
			w.fail(lane, Divergence, "the guard keeps lanes %#08x from the barrier", g.mask&^active)
		}
		if g.mask != w.live {
			g.blocked = true
			return false
		}
		w.waitThreads = w.Block[0] * w.Block[1] * w.Block[2]
		if len(i.imm) > 1 {
			w.waitThreads = int(i.imm[1])
			if w.waitThreads%32 != 0 || w.waitThreads > 32*len(w.warps) {
				w.fail(lane, Undefined, "a barrier of %d threads: it must be a multiple of 32 and at most the block's %d", w.waitThreads, 32*len(w.warps))
			}
		}
		w.waits = i
		g.pc++
		return true
	}
	return nil
}
