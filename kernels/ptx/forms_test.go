package ptx

import (
	"fmt"
	"testing"
)

// formKernel is a kernel with one instruction of form o, on registers, but for constant number n, from 0, of those that
// may be constants. It tells whether there is one; -1 asks for none. The registers are undefined.
func formKernel(name string, o *Op, n int) (k *Kernel, ok bool) {
	k = &Kernel{
		Name: name, MaxNTID: [3]int{32, 1, 1}, MinNCTAPerSM: 1,
		Params: []Param{{Name: "p", Type: TypeU64}}, Shared: []Shared{{Name: "s", Align: 16, Size: 64}},
		Labels: []Label{{Name: "end", At: 1}},
	}
	newReg := func(c RegClass) Reg {
		k.Regs[c]++
		return Reg{Class: c, N: k.Regs[c] - 1}
	}
	ok = n < 0
	i := Inst{Op: o}
	for _, a := range o.Args {
		x := Operand{Kind: a.Kind}
		switch {
		case a.Const && n == 0 && a.Type == TypeF32:
			x, ok = Float(-1.5).operand(), true
		case a.Const && n == 0:
			x, ok = integer(3), true
		case a.Kind == KindReg:
			x.Reg = newReg(types[a.Type].regs[0])
		case a.Kind == KindVector:
			for range a.N {
				x.Vec = append(x.Vec, newReg(types[a.Type].regs[0]))
			}
		case a.Kind == KindInt:
			x.Imm = a.Min
		case a.Kind == KindAddress:
			switch a.Space {
			case SpaceParam:
				x.Symbol = "p"
			case SpaceGlobal:
				x.Reg, x.Imm = newReg(RegB64), -16
			case SpaceShared:
				x.Reg, x.Imm = newReg(RegB32), 16
			}
		case a.Kind == KindSpecial:
			x.Special = CTAIdY
		case a.Kind == KindSymbol:
			x.Symbol = "s"
		case a.Kind == KindLabel:
			x.Symbol = "end"
		}
		if a.Const {
			n--
		}
		i.Args = append(i.Args, x)
	}
	k.Insts = []Inst{i, {Op: findOp("ret", nil)}}
	return k, ok
}

// formModule has kernels with every variant of the forms in registers and constants.
func formModule(v Version, t Target, forms ...*Op) *Module {
	m := &Module{Version: v, Target: t}
	for _, o := range forms {
		for n := -1; ; n++ {
			k, ok := formKernel(fmt.Sprintf("k%d", len(m.Kernels)), o, n)
			if !ok {
				break
			}
			m.Kernels = append(m.Kernels, k)
		}
	}
	return m
}

func TestFormsAreUnambiguous(t *testing.T) {
	for _, o := range Ops() {
		for _, k := range formModule(maxVersion, SM120, o).Kernels {
			if got := findOp(o.Name, k.Insts[0].Args); got != o {
				t.Errorf("%s: found as %v, is %v", k.Insts[0].Text(), got.Args, o.Args)
			}
		}
	}
}
