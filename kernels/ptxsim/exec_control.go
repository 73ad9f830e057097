package ptxsim

import (
	"errors"
	"math"
	"math/bits"

	"vith/kernels/ptx"
)

var errUnknown = errors.New("is not known to the interpreter")

// builders decodes the instructions that are neither values nor approximations, by mnemonic.
var builders map[string]func(d *loader, i *inst, op *ptx.Op) error

func init() {
	builders = map[string]func(d *loader, i *inst, op *ptx.Op) error{
		"mov": buildMove, "selp": buildSelect, "setp": buildCompare, "div": buildDivide, "rem": buildDivide,
		"and": buildPredicate, "or": buildPredicate, "xor": buildPredicate, "not": buildPredicate,
		"lop3": buildLop3,

		"ld": buildLoad, "st": buildStore, "atom": buildAtomic, "red": buildAtomic,
		"cp.async": buildCpAsync, "cp.async.commit_group": buildCommitGroup,
		"cp.async.wait_group": buildWaitGroup, "cp.async.wait_all": buildWaitAll,

		"ldmatrix.sync.aligned": buildLdMatrix, "mma.sync.aligned": buildMMA,
		"shfl.sync": buildShuffle, "vote.sync": buildVote, "redux.sync": buildRedux, "activemask": buildActiveMask,
		"bar.sync": buildBarrier, "bar.warp.sync": buildWarpSync, "membar": buildFence, "fence.acq_rel": buildFence,

		"bra": buildBranch, "ret": buildExit, "exit": buildExit, "trap": buildTrap,
	}
}

func buildMove(_ *loader, i *inst, op *ptx.Op) error {
	switch {
	case len(i.pdst) > 0:
		i.run = func(w *warp, i *inst, active uint32) { w.setPred(i.pdst[0], w.pred[i.pargs[0]], active) }
	case op.Args[1].Kind == ptx.KindSpecial:
		i.run = func(w *warp, i *inst, active uint32) {
			w.special(i.special, &w.scratch)
			w.assign(i.dst[0], &w.scratch, active)
		}
	case len(i.dst) > 1: // unpack
		half := op.Types[0].Bits() / len(i.dst)
		i.run = func(w *warp, i *inst, active uint32) {
			x := w.reg[i.args[0]]
			for n, r := range i.dst {
				for l := range x {
					w.scratch[l] = x[l] >> (n * half) & (1<<half - 1)
				}
				w.assign(r, &w.scratch, active)
			}
		}
	case len(i.args) > 1: // pack
		half := op.Types[0].Bits() / len(i.args)
		i.run, i.value = runValue, func(d, a, b, _, _ *lanes) { long2(d, a, b, func(x, y uint64) uint64 { return x | y<<half }) }
	default:
		i.run, i.value = runValue, move
	}
	return nil
}

// assign sets register r to x in the lanes of active.
func (w *warp) assign(r int, x *lanes, active uint32) {
	for m := active; m != 0; m &= m - 1 {
		l := bits.TrailingZeros32(m)
		w.reg[r][l] = x[l]
	}
}

func buildSelect(_ *loader, i *inst, _ *ptx.Op) error {
	i.run = func(w *warp, i *inst, active uint32) {
		a, b, p := &w.reg[i.args[0]], &w.reg[i.args[1]], w.pred[i.pargs[0]]
		d := &w.reg[i.dst[0]]
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m)
			if p>>l&1 != 0 {
				d[l] = a[l]
			} else {
				d[l] = b[l]
			}
		}
	}
	return nil
}

// How two values relate, as bits of a set.
const (
	less = 1 << iota
	equal
	greater
	unordered // one is NaN
)

// accepts are the relations that make a comparison true.
var accepts = map[ptx.Cmp]uint32{
	ptx.EQ: equal, ptx.NE: less | greater, ptx.LT: less, ptx.LE: less | equal, ptx.GT: greater, ptx.GE: greater | equal,
	ptx.EQU: equal | unordered, ptx.NEU: less | greater | unordered, ptx.LTU: less | unordered,
	ptx.LEU: less | equal | unordered, ptx.GTU: greater | unordered, ptx.GEU: greater | equal | unordered,
	ptx.Num: less | equal | greater, ptx.NaN: unordered,
}

func relation[T uint64 | int32 | float32](x, y T) uint32 {
	switch {
	case x < y:
		return less
	case x == y:
		return equal
	case x > y:
		return greater
	}
	return unordered
}

func buildCompare(_ *loader, i *inst, op *ptx.Op) error {
	relate := relation[uint64]
	switch op.Types[0] {
	case ptx.TypeS32:
		relate = func(x, y uint64) uint32 { return relation(int32(x), int32(y)) }
	case ptx.TypeF32:
		relate = func(x, y uint64) uint32 {
			return relation(math.Float32frombits(uint32(x)), math.Float32frombits(uint32(y)))
		}
	}
	accept := accepts[op.Cmp]
	i.run = func(w *warp, i *inst, active uint32) {
		a, b := &w.reg[i.args[0]], &w.reg[i.args[1]]
		var result uint32
		for l := range a {
			if relate(a[l], b[l])&accept != 0 {
				result |= 1 << l
			}
		}
		w.setPred(i.pdst[0], result, active)
	}
	return nil
}

// buildDivide is division of integers. That by zero is machine-specific by the manual, so it is a fault.
func buildDivide(_ *loader, i *inst, op *ptx.Op) error {
	var divide func(x, y uint32) uint32
	switch op.Name {
	case "div.u32":
		divide = func(x, y uint32) uint32 { return x / y }
	case "div.s32":
		divide = func(x, y uint32) uint32 { return uint32(int32(x) / int32(y)) }
	case "rem.u32":
		divide = func(x, y uint32) uint32 { return x % y }
	case "rem.s32":
		divide = func(x, y uint32) uint32 { return uint32(int32(x) % int32(y)) }
	default:
		return errUnknown
	}
	i.run = func(w *warp, i *inst, active uint32) {
		d, a, b := &w.reg[i.dst[0]], &w.reg[i.args[0]], &w.reg[i.args[1]]
		for m := active; m != 0; m &= m - 1 {
			l := bits.TrailingZeros32(m)
			if b[l] == 0 {
				w.fail(l, Undefined, "division by zero")
			}
			d[l] = uint64(divide(uint32(a[l]), uint32(b[l])))
		}
	}
	return nil
}

// buildPredicate is logic on predicates, which are masks of lanes.
func buildPredicate(_ *loader, i *inst, op *ptx.Op) error {
	var logic func(a, b uint32) uint32
	switch op.Mnemonic {
	case "and":
		logic = func(a, b uint32) uint32 { return a & b }
	case "or":
		logic = func(a, b uint32) uint32 { return a | b }
	case "xor":
		logic = func(a, b uint32) uint32 { return a ^ b }
	default:
		logic = func(a, _ uint32) uint32 { return ^a }
	}
	if len(i.pdst) == 0 {
		return errUnknown
	}
	i.run = func(w *warp, i *inst, active uint32) {
		a := w.pred[i.pargs[0]]
		b := w.pred[i.pargs[len(i.pargs)-1]]
		w.setPred(i.pdst[0], logic(a, b), active)
	}
	return nil
}

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
