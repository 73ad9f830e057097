package ptxsim

import (
	"math"
	"math/bits"

	"vith/kernels/ptx"
)

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

// special is the value of a special register in each lane.
func (w *warp) special(s ptx.Special, d *lanes) {
	for l := range d {
		d[l] = uint64(w.specialOf(s, w.id*32+l))
	}
}

func (w *warp) specialOf(s ptx.Special, thread int) int {
	switch s {
	case ptx.TidX, ptx.TidY, ptx.TidZ:
		return position(thread, w.Block)[s-ptx.TidX]
	case ptx.NTidX, ptx.NTidY, ptx.NTidZ:
		return w.Block[s-ptx.NTidX]
	case ptx.CTAIdX, ptx.CTAIdY, ptx.CTAIdZ:
		return w.at[s-ptx.CTAIdX]
	case ptx.NCTAIdX, ptx.NCTAIdY, ptx.NCTAIdZ:
		return w.Grid[s-ptx.NCTAIdX]
	case ptx.LaneID:
		return thread % 32
	}
	return (w.id + w.firstWarp) % warpsPerSM
}
