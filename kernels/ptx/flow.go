package ptx

import "math/bits"

// A block is a run of instructions that is entered at its first and left at its last.
type block struct {
	start, end int // Insts[start:end]
	next       []int
	in         regSet // registers defined on every path to the start; nil until a path is found
}

// A regSet is a set of registers, by number in the kernel's dense numbering.
type regSet []uint64

func (s regSet) add(n int)      { s[n/64] |= 1 << (n % 64) }
func (s regSet) has(n int) bool { return s[n/64]>>(n%64)&1 != 0 }

// maxFlowBits bounds the memory of checkFlow: registers times blocks.
const maxFlowBits = 1 << 28

// checkFlow checks that every instruction can be reached, that every path ends in ret, exit or trap, and that every
// register is defined on every path to each of its uses. A guarded instruction defines nothing.
//
// It is the forward analysis of definite assignment: a block starts with what all of its predecessors leave defined.
func (v *verifier) checkFlow() {
	k := v.kernel
	if len(k.Insts) == 0 {
		v.fail(nil, "the body is empty")
		return
	}
	blocks := k.blocks()
	var first [numRegClasses + 1]int // dense number of each class's register 0
	for c, n := range k.Regs {
		first[c+1] = first[c] + n
	}
	number := func(r Reg) int { return first[r.Class] + r.N }
	words := first[numRegClasses]/64 + 1
	if words*64 > maxFlowBits/len(blocks) {
		v.fail(nil, "too large to verify: %d registers, %d blocks", first[numRegClasses], len(blocks))
		return
	}

	blocks[0].in = make(regSet, words)
	out := make(regSet, words)
	for work := []int{0}; len(work) > 0; {
		b := &blocks[work[len(work)-1]]
		work = work[:len(work)-1]
		copy(out, b.in)
		for i := b.start; i < b.end; i++ {
			k.Insts[i].defines(func(r Reg) { out.add(number(r)) })
		}
		for _, n := range b.next {
			if blocks[n].meet(out) {
				work = append(work, n)
			}
		}
	}

	reported := make(regSet, words)
	for _, b := range blocks {
		if b.in == nil {
			v.fail(&k.Insts[b.start], "cannot be reached")
			continue
		}
		for i := b.start; i < b.end; i++ {
			inst := &k.Insts[i]
			inst.uses(func(r Reg) {
				if n := number(r); !b.in.has(n) && !reported.has(n) {
					reported.add(n)
					v.fail(inst, "%v is not defined on every path", r)
				}
			})
			inst.defines(func(r Reg) { b.in.add(number(r)) })
		}
		if last := &k.Insts[b.end-1]; b.end == len(k.Insts) && !last.ends() {
			v.fail(last, "control passes the end of the kernel")
		}
	}
}

// meet intersects what is defined at the start of b with the set at the end of a predecessor, and tells whether that
// changed it.
func (b *block) meet(out regSet) bool {
	if b.in == nil {
		b.in = append(regSet(nil), out...)
		return true
	}
	lost := 0
	for i := range out {
		lost += bits.OnesCount64(b.in[i] &^ out[i])
		b.in[i] &= out[i]
	}
	return lost > 0
}

// blocks cuts the body at labels and after branches and ends.
func (k *Kernel) blocks() []block {
	starts := make([]bool, len(k.Insts)+1)
	starts[0], starts[len(k.Insts)] = true, true
	at := map[string]int{}
	for _, l := range k.Labels {
		starts[l.At], at[l.Name] = true, l.At
	}
	for i := range k.Insts {
		if k.Insts[i].Op.Class == ClassControl {
			starts[i+1] = true
		}
	}
	index := make([]int, len(k.Insts)) // of the block that starts at an instruction
	var bs []block
	for i, s := range starts {
		if !s {
			continue
		}
		if i > 0 {
			bs[len(bs)-1].end = i
		}
		if i < len(k.Insts) {
			index[i] = len(bs)
			bs = append(bs, block{start: i})
		}
	}
	for n := range bs {
		last := &k.Insts[bs[n].end-1]
		if last.Op.isBranch() {
			bs[n].next = append(bs[n].next, index[at[last.Args[0].Symbol]])
		}
		if !last.ends() && n+1 < len(bs) {
			bs[n].next = append(bs[n].next, n+1)
		}
	}
	return bs
}

// uses calls f with each register that the instruction reads.
func (i *Inst) uses(f func(Reg)) {
	if i.Guard.Mode != Always {
		f(i.Guard.Reg)
	}
	for n, a := range i.Args {
		if i.Op.Args[n].Write {
			continue
		}
		switch {
		case a.Kind == KindReg, a.Kind == KindAddress && a.Symbol == "":
			f(a.Reg)
		case a.Kind == KindVector:
			for _, r := range a.Vec {
				f(r)
			}
		}
	}
}

// defines calls f with each register that the instruction writes in every thread.
func (i *Inst) defines(f func(Reg)) {
	if i.Guard.Mode != Always {
		return
	}
	for n, a := range i.Args {
		switch {
		case !i.Op.Args[n].Write:
		case a.Kind == KindVector:
			for _, r := range a.Vec {
				f(r)
			}
		default:
			f(a.Reg)
		}
	}
}
