package ptxsim

import (
	"fmt"
	"math/bits"

	"vith/kernels/ptx"
)

// lanes is a register of a warp: a value for each thread, zero above the register's own width.
type lanes [32]uint64

const allLanes = 1<<32 - 1

// A group is threads of a warp that execute together. A warp starts as one group; a branch that not all of them take
// divides it, and groups that come to the same instruction are one again.
type group struct {
	pc      int
	mask    uint32
	blocked bool // at a .sync instruction, for threads of other groups
}

// A warp is 32 threads.
type warp struct {
	*block
	id     int
	exist  uint32 // less than all in the last warp of a ragged block
	live   uint32 // has not exited
	groups []group
	issued int
	cur    *inst // for faults

	reg     []lanes
	init    []uint32 // lanes where the register has a value
	pred    []uint32 // lanes where the predicate is true
	predSet []uint32 // lanes where it has a value

	waits       *inst // the bar.sync at which the warp waits, or nil
	waitThreads int   // that it waits for

	// seen[u] is how much of warp u's past is ordered before this warp's next instruction: all that u did while
	// its clock, seen[u] of u itself, was less.
	seen []uint32

	copies    []asyncCopy
	committed [32]int // groups of cp.async, by lane
	scratch   lanes
}

func newWarp(b *block, id, threads int) *warp {
	w := &warp{
		block: b, id: id, exist: allLanes >> (32 - threads),
		reg: make([]lanes, b.k.registers), init: make([]uint32, b.k.registers),
		pred: make([]uint32, b.k.predicates), predSet: make([]uint32, b.k.predicates),
		seen: make([]uint32, (b.Block[0]*b.Block[1]*b.Block[2]+31)/32),
	}
	first := b.k.registers - len(b.k.constants)
	for n, x := range b.k.constants {
		for l := range 32 {
			w.reg[first+n][l] = x
		}
		w.init[first+n] = allLanes
	}
	return w
}

func (w *warp) reset() {
	w.live = w.exist
	w.groups = append(w.groups[:0], group{mask: w.exist})
	w.issued = 0
	w.waits = nil
	clear(w.init[:w.k.registers-len(w.k.constants)])
	clear(w.predSet)
	for u := range w.seen {
		w.seen[u] = 1
	}
	w.copies = w.copies[:0]
	w.committed = [32]int{}
}

// run issues up to turn instructions, until the warp exits or waits at a barrier.
func (w *warp) run(turn int) {
	for ; turn > 0 && w.live != 0 && w.waits == nil; turn-- {
		w.issue(w.nextGroup())
	}
}

// nextGroup picks the group that is furthest behind in the text, joined by all others that are there. So what a branch
// divided comes together where the text of its two sides ends.
func (w *warp) nextGroup() *group {
	if len(w.groups) == 1 && !w.groups[0].blocked {
		return &w.groups[0]
	}
	least := -1
	for n, g := range w.groups {
		if !g.blocked && (least < 0 || g.pc < w.groups[least].pc) {
			least = n
		}
	}
	if least < 0 {
		w.neverMeet()
	}
	at := w.groups[least].pc
	joined := group{pc: at}
	others := w.groups[:0]
	for _, g := range w.groups {
		if g.pc == at {
			joined.mask |= g.mask
		} else {
			others = append(others, g)
		}
	}
	w.groups = append(others, joined)
	return &w.groups[len(w.groups)-1]
}

// neverMeet faults because each group waits for threads of another.
func (w *warp) neverMeet() {
	g := w.groups[0]
	w.cur = &w.k.code[g.pc]
	if len(w.groups) > 1 {
		other := w.groups[1]
		w.fail(bits.TrailingZeros32(g.mask), Divergence, "lanes %#08x wait here for lanes %#08x, which wait at line %d",
			g.mask, other.mask, w.k.code[other.pc].src.Line)
	}
	w.fail(bits.TrailingZeros32(g.mask), Divergence, "lanes %#08x wait here for lanes %#08x, which have exited", g.mask, w.exist&^w.live)
}

func (w *warp) issue(g *group) {
	i := &w.k.code[g.pc]
	w.cur = i
	w.issued++
	if w.issued > w.budget() {
		w.fail(bits.TrailingZeros32(g.mask), OutOfBudget, "the warp has issued %d instructions", w.budget())
	}
	active := g.mask
	if m := i.src.Guard.Mode; m != ptx.Always {
		p := i.src.Guard.Reg.N
		w.wantPred(p, g.mask)
		if m == ptx.If {
			active &= w.pred[p]
		} else {
			active &^= w.pred[p]
		}
	}
	for _, r := range i.args {
		if missing := active &^ w.init[r]; missing != 0 {
			w.fail(bits.TrailingZeros32(missing), Uninitialised, "register %v", w.k.regName(r))
		}
	}
	for _, p := range i.pargs {
		w.wantPred(p, active)
	}
	if i.step(w, g, i, active) {
		w.stats.Instructions[i.src.Op.Class]++
	}
}

func (w *warp) budget() int {
	if w.Budget > 0 {
		return w.Budget
	}
	return DefaultBudget
}

func (w *warp) wantPred(p int, active uint32) {
	if missing := active &^ w.predSet[p]; missing != 0 {
		w.fail(bits.TrailingZeros32(missing), Uninitialised, "predicate %v", ptx.Reg{Class: ptx.RegPred, N: p})
	}
}

// regName is the declared name of a value register.
func (k *kernel) regName(n int) ptx.Reg {
	for c, count := range k.src.Regs {
		if c := ptx.RegClass(c); c != ptx.RegPred {
			if n < count {
				return ptx.Reg{Class: c, N: n}
			}
			n -= count
		}
	}
	return ptx.Reg{}
}

// define marks what i wrote.
func (w *warp) define(i *inst, active uint32) {
	for _, r := range i.dst {
		w.init[r] |= active
	}
	for _, p := range i.pdst {
		w.predSet[p] |= active
	}
}

func (w *warp) setPred(p int, value, active uint32) {
	w.pred[p] = w.pred[p]&^active | value&active
}

// stepOver is the step of an instruction that each thread executes for itself.
func stepOver(w *warp, g *group, i *inst, active uint32) bool {
	if active != 0 {
		i.run(w, i, active)
		w.define(i, active)
	}
	g.pc++
	return true
}

// stepAligned is the step of an instruction that all 32 threads must execute together.
func stepAligned(w *warp, g *group, i *inst, active uint32) bool {
	if active != 0 && active != allLanes {
		if gone := allLanes &^ w.live; gone != 0 {
			w.fail(bits.TrailingZeros32(active), Divergence, "all threads of the warp must execute it; lanes %#08x have exited or never existed", gone)
		}
		if active != g.mask {
			w.fail(bits.TrailingZeros32(active), Divergence, "all threads of the warp must execute it; its guard is false in lanes %#08x", g.mask&^active)
		}
		g.blocked = true
		return false
	}
	return stepOver(w, g, i, active)
}

// stepMembers is the step of an instruction whose last operand, the membermask, names the threads that must execute it
// together.
func stepMembers(w *warp, g *group, i *inst, active uint32) bool {
	masks := &w.reg[i.args[len(i.args)-1]]
	for rest := active; rest != 0; {
		lane := bits.TrailingZeros32(rest)
		members := uint32(masks[lane])
		same := withMask(masks, active, members)
		if members&same != same {
			w.fail(bits.TrailingZeros32(same&^members), Divergence, "the thread is not in its own membermask %#08x", members)
		}
		if missing := members & w.live &^ same; missing&g.mask != 0 {
			w.fail(lane, Divergence, "membermask %#08x names lanes %#08x, which have another mask or a false guard", members, missing&g.mask)
		} else if missing != 0 {
			g.blocked = true
			return false
		}
		rest &^= same
	}
	return stepOver(w, g, i, active)
}

// withMask returns the lanes of active whose membermask is members.
func withMask(masks *lanes, active, members uint32) uint32 {
	var same uint32
	for m := active; m != 0; m &= m - 1 {
		if l := bits.TrailingZeros32(m); uint32(masks[l]) == members {
			same |= 1 << l
		}
	}
	return same
}

func (w *warp) firstLane() int { return bits.TrailingZeros32(w.live) }

// fail ends the launch; block.execute recovers the fault.
func (w *warp) fail(lane int, kind Kind, format string, args ...any) {
	s := w.cur.src
	panic(&Fault{
		Kind: kind, Kernel: w.k.src.Name, Block: w.at, Thread: position(w.id*32+lane, w.Block), Warp: w.id, Lane: lane,
		Line: s.Line, Source: s.Source, Inst: s.Text(), Detail: fmt.Sprintf(format, args...),
	})
}
