package ptxsim

import (
	"math"
	"math/bits"

	"vith/kernels/ptx"
)

// members calls do for each set of lanes that execute i together: those with the same membermask, its last operand.
// stepMembers has checked that they are all there.
func (w *warp) members(i *inst, active uint32, do func(part uint32)) {
	masks := &w.reg[i.args[len(i.args)-1]]
	for rest := active; rest != 0; {
		part := withMask(masks, active, uint32(masks[bits.TrailingZeros32(rest)]))
		do(part)
		rest &^= part
	}
}

func buildShuffle(_ *loader, i *inst, op *ptx.Op) error {
	i.step = stepMembers
	mode := op.Mods & (ptx.ModIdx | ptx.ModUp | ptx.ModDown | ptx.ModBfly)
	i.run = func(w *warp, i *inst, active uint32) {
		w.members(i, active, func(part uint32) { w.shuffle(i, part, mode) })
	}
	return nil
}

// shuffle gives each lane the source of another. The operand c holds a segment mask in bits 8 to 12, which splits the
// warp, and a bound in bits 0 to 4; beyond the bound of its segment, a lane keeps its own value.
func (w *warp) shuffle(i *inst, part uint32, mode ptx.Mods) {
	a, b, c := w.reg[i.args[0]], &w.reg[i.args[1]], &w.reg[i.args[2]]
	for m := part; m != 0; m &= m - 1 {
		l := bits.TrailingZeros32(m)
		segment, bound := int(c[l]>>8&31), int(c[l]&31)
		first := l & segment
		last := first | bound&^segment
		step := int(b[l] & 31)
		var from int
		var inside bool
		switch mode {
		case ptx.ModUp:
			from = l - step
			inside = from >= last // the bound of .up is the segment's first lane
		case ptx.ModDown:
			from = l + step
			inside = from <= last
		case ptx.ModBfly:
			from = l ^ step
			inside = from <= last
		default:
			from = first | step&^segment
			inside = from <= last
		}
		if !inside {
			from = l
		}
		if part>>from&1 == 0 {
			w.fail(l, InactiveLane, "lane %d reads from lane %d, which is not among the lanes %#08x that take part", l, from, part)
		}
		w.reg[i.dst[0]][l] = a[from]
	}
}

func buildVote(_ *loader, i *inst, op *ptx.Op) error {
	i.step = stepMembers
	i.run = func(w *warp, i *inst, active uint32) {
		p := w.pred[i.pargs[0]]
		w.members(i, active, func(part uint32) {
			yes := p & part
			switch {
			case op.Mods.Has(ptx.ModBallot):
				w.broadcast(i.dst[0], part, uint64(yes))
			case op.Mods.Has(ptx.ModAny) && yes != 0 || yes == part:
				w.setPred(i.pdst[0], part, part)
			default:
				w.setPred(i.pdst[0], 0, part)
			}
		})
	}
	return nil
}

// broadcast sets a register in the lanes of part.
func (w *warp) broadcast(r int, part uint32, x uint64) {
	for m := part; m != 0; m &= m - 1 {
		w.reg[r][bits.TrailingZeros32(m)] = x
	}
}

func buildRedux(_ *loader, i *inst, op *ptx.Op) error {
	i.step = stepMembers
	signed := op.Types[0] == ptx.TypeS32
	i.run = func(w *warp, i *inst, active uint32) {
		x := w.reg[i.args[0]]
		w.members(i, active, func(part uint32) {
			var sum, most, least = int64(0), int64(math.MinInt64), int64(math.MaxInt64)
			for m := part; m != 0; m &= m - 1 {
				y := int64(x[bits.TrailingZeros32(m)])
				if signed {
					y = int64(int32(y))
				}
				sum, most, least = sum+y, max(most, y), min(least, y)
			}
			switch {
			case op.Mods.Has(ptx.ModMin):
				sum = least
			case op.Mods.Has(ptx.ModMax):
				sum = most
			}
			w.broadcast(i.dst[0], part, uint64(uint32(sum)))
		})
	}
	return nil
}

// buildActiveMask gives the lanes that happen to execute together. Nothing but a .sync instruction makes that more than
// the lane itself.
func buildActiveMask(_ *loader, i *inst, _ *ptx.Op) error {
	i.run = func(w *warp, i *inst, active uint32) { w.broadcast(i.dst[0], active, uint64(active)) }
	return nil
}

// buildWarpSync orders memory among the threads of a warp. Where the mask leaves threads out that live, it orders
// nothing here, which is stricter than the manual.
func buildWarpSync(_ *loader, i *inst, _ *ptx.Op) error {
	i.step = stepMembers
	i.run = func(w *warp, i *inst, active uint32) {
		w.members(i, active, func(part uint32) {
			if part == w.live {
				w.seen[w.id]++
			}
		})
	}
	return nil
}
