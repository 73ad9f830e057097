package ptxsim

import (
	"fmt"
	"strings"
	"testing"

	"vith/kernels/ptx"
)

// registerOf returns a register that may hold type t.
func registerOf(t ptx.Type, n int) ptx.Reg {
	switch {
	case t == ptx.TypePred:
		return ptx.Reg{Class: ptx.RegPred, N: n}
	case t == ptx.TypeF32:
		return ptx.Reg{Class: ptx.RegF32, N: n}
	case t.Bits() == 64:
		return ptx.Reg{Class: ptx.RegB64, N: n}
	case t.Bits() == 16:
		return ptx.Reg{Class: ptx.RegB16, N: n}
	}
	return ptx.Reg{Class: ptx.RegB32, N: n}
}

// operands returns operands for op, registers numbered in order.
func operands(op *ptx.Op) []ptx.Operand {
	var all []ptx.Operand
	n := 0
	next := func(t ptx.Type) ptx.Reg { n++; return registerOf(t, n) }
	for _, a := range op.Args {
		o := ptx.Operand{Kind: a.Kind, Imm: a.Min}
		switch a.Kind {
		case ptx.KindReg:
			o.Reg, o.Imm = next(a.Type), 0
		case ptx.KindVector:
			for range a.N {
				o.Vec = append(o.Vec, next(a.Type))
			}
		case ptx.KindAddress:
			o.Reg, o.Imm = next(ptx.TypeU64), 0
			if a.Space == ptx.SpaceShared {
				o.Reg = next(ptx.TypeU32)
			}
			if a.Space == ptx.SpaceParam {
				o.Symbol = "a"
			}
		case ptx.KindSymbol:
			o.Symbol = "s"
		case ptx.KindLabel:
			o.Symbol = "end"
		}
		all = append(all, o)
	}
	return all
}

func opByName(t testing.TB, name string, n int) *ptx.Op {
	t.Helper()
	for _, op := range ptx.Ops() {
		if op.Name == name && (n == 0 || len(op.Args) == n) {
			return op
		}
	}
	t.Fatalf("no instruction %s with %d operands", name, n)
	return nil
}

func TestEveryInstructionLoads(t *testing.T) {
	ret := opByName(t, "ret", 0)
	for _, op := range ptx.Ops() {
		k := &ptx.Kernel{
			Name: "k", Params: []ptx.Param{{Name: "a", Type: paramType(op)}}, MaxNTID: [3]int{32, 1, 1}, MinNCTAPerSM: 1,
			Shared: []ptx.Shared{{Name: "s", Align: 16, Size: 64}},
			Labels: []ptx.Label{{Name: "end", At: 1}},
			Insts:  []ptx.Inst{{Op: op, Args: operands(op)}, {Op: ret}},
		}
		for c := range k.Regs {
			k.Regs[c] = 32
		}
		if _, err := Load(&ptx.Module{Version: 81, Target: ptx.SM90, Kernels: []*ptx.Kernel{k}}); err != nil {
			t.Error(err)
		}
	}
}

// paramType is the type of the parameter that op may load.
func paramType(op *ptx.Op) ptx.Type {
	if op.Space == ptx.SpaceParam {
		return op.Types[0]
	}
	return ptx.TypeU64
}

func TestLoadErrors(t *testing.T) {
	const shared = ".shared .align 4 .b8 s[8];"
	for body, text := range map[string]string{
		"add.u32 %r1, %r64, %r2;":      "uses %r64, which is not declared",
		"mov.u32 %r1, missing;":        `names "missing", which is not a shared array`,
		"ld.shared.b32 %r1, [gone+4];": `names "gone", which is not a shared array`,
		"ld.param.u64 %rd5, [c];":      "names [c], which is not a parameter",
		"ld.param.u32 %r5, [a];":       "loads 32 bits of parameter a, which has 64",
		"bra nowhere;":                 `names "nowhere", which labels no instruction`,
		"add.u32 %r1, %rd1, %r2;":      "takes 32 bits where %rd1 is given",
		"add.u32 %p1, %r1, %r2;":       "takes 32 bits where %p1 is given",
		"ld.global.b32 %r1, [%r2];":    "takes an address of 64 bits where %r2 is given",
		"@%p16 mov.b32 %r1, 0;":        "uses %p16, which is not declared",
	} {
		m, err := ptx.Parse(kernelText(shared, body))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Load(m)
		if err == nil || !strings.Contains(err.Error(), "line 24: "+body+" "+text) {
			t.Errorf("%s: got %v, want ... %s", body, err, text)
		}
	}
	m, err := ptx.Parse(strings.Replace(kernelText("", ""), "ret;", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = Load(m); err == nil || !strings.Contains(err.Error(), "the last instruction does not end the kernel") {
		t.Error(err)
	}
}

func TestUnknownInstructionIsRefusedAtLoad(t *testing.T) {
	op := *opByName(t, "add.u32", 0)
	op.Name, op.Mnemonic = "sin.approx.f32", "sin"
	k := &ptx.Kernel{Name: "k", Insts: []ptx.Inst{{Op: &op, Args: operands(&op), Line: 7}}}
	k.Regs[ptx.RegB32] = 8
	_, err := Load(&ptx.Module{Kernels: []*ptx.Kernel{k}})
	want := "ptxsim: load kernel k: line 7: sin.approx.f32 %r1, %r2, %r3; is not known to the interpreter"
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
