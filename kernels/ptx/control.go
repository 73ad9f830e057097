package ptx

import "fmt"

// Ret ends the thread's kernel. One at the end of the body is implied.
func (f *Func) Ret() { f.do("ret") }

// Exit ends the thread.
func (f *Func) Exit() { f.do("exit") }

// Trap aborts the launch.
func (f *Func) Trap() { f.do("trap") }

// If runs then in the threads where p is true. What then defines is not defined after it.
func (f *Func) If(p Pred, then func()) { f.IfElse(p, then, nil) }

// IfElse runs then in the threads where p is true and otherwise, which may be nil, in the others.
func (f *Func) IfElse(p Pred, then, otherwise func()) {
	f.structured("If")
	n := f.newLabels()
	end := n.name("endif")
	if otherwise == nil {
		f.Unless(p).bra(end)
		then()
		f.bind(end)
		return
	}
	f.Unless(p).bra(n.name("else"))
	then()
	joins := !f.ended()
	if joins {
		f.bra(end)
	}
	f.bind(n.name("else"))
	otherwise()
	if joins {
		f.bind(end)
	}
}

// For runs body for i from start up to but not including end, in steps of step. i is unsigned, and end+step must not
// overflow. Body may not write i.
func (f *Func) For(start, end, step B32, body func(i B32)) {
	f.structured("For")
	if isConst(start) && isConst(end) && start.b32.imm >= end.b32.imm {
		return
	}
	n := f.newLabels()
	i := f.MovB32(start)
	turns := isConst(start) && isConst(end) // at least one
	if !turns {
		f.When(f.SetpU32(GE, i, end)).bra(n.name("endloop"))
	}
	f.bind(n.name("loop"))
	body(i)
	Into(f, i).AddU32(i, step)
	f.When(f.SetpU32(LT, i, end)).bra(n.name("loop"))
	if !turns {
		f.bind(n.name("endloop"))
	}
}

func isConst(v B32) bool { return v.b32.kind == KindInt }

// DoWhile runs body once, and again as long as the predicate that it returns is true.
func (f *Func) DoWhile(body func() Pred) {
	f.structured("DoWhile")
	n := f.newLabels()
	f.bind(n.name("loop"))
	f.When(body()).bra(n.name("loop"))
}

// structured refuses control flow through a view of f that is good for one instruction.
func (f *Func) structured(what string) {
	if f.guard.Mode != Always || f.dst != nil {
		f.fail("%s takes no guard and no Into", what)
	}
}

// Labels of one piece of control flow have its number in their names.
type labelNumber int

func (n labelNumber) name(what string) string { return fmt.Sprintf("%s%d", what, n) }

func (f *Func) newLabels() labelNumber {
	f.labels++
	return labelNumber(f.labels)
}

func (f *Func) bra(label string) { f.do("bra", Operand{Kind: KindLabel, Symbol: label}) }

func (f *Func) bind(label string) {
	f.kernel.Labels = append(f.kernel.Labels, Label{Name: label, At: len(f.kernel.Insts)})
}

// ended tells whether the next instruction would be unreachable.
func (b *body) ended() bool {
	n := len(b.kernel.Insts)
	if n == 0 || !b.kernel.Insts[n-1].ends() {
		return false
	}
	labels := b.kernel.Labels
	return len(labels) == 0 || labels[len(labels)-1].At != n
}

// ends tells whether control never passes from the instruction to the one after it.
func (i *Inst) ends() bool {
	if i.Guard.Mode != Always {
		return false
	}
	switch i.Op.Mnemonic {
	case "bra", "ret", "exit", "trap":
		return true
	}
	return false
}
