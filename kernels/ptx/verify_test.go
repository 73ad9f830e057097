package ptx

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Each rule of the verifier has a program that breaks it and nothing else.
func TestVerify(t *testing.T) {
	check := func(t *testing.T, m *Module, want string) {
		t.Helper()
		err := m.Verify()
		if want == "" {
			if err != nil {
				t.Errorf("got %v, want no error", err)
			}
			return
		}
		var list ErrorList
		if !errors.As(err, &list) || len(list) != 1 || !strings.Contains(list[0].Error(), want) {
			t.Errorf("got %v, want the one error …%s…", err, want)
		}
	}
	parse := func(text string) *Module {
		t.Helper()
		m, err := Parse(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return m
	}
	module := func(version, target, rest, want string) {
		t.Helper()
		check(t, parse(fmt.Sprintf(".version %s\n.target %s\n.address_size 64\n%s", version, target, rest)), want)
	}
	kernel := func(before, params, bounds, body, want string) {
		t.Helper()
		module("7.0", "sm_80", fmt.Sprintf("%s\n.visible .entry k(%s)\n%s\n{\n%s\n}\n", before, params, bounds, body), want)
	}
	const bounds = ".maxntid 32, 1, 1 .minnctapersm 1"
	const regs = ".reg .pred %p<4>; .reg .b16 %h<4>; .reg .b32 %r<4>; .reg .b64 %rd<4>; .reg .f32 %f<4>;\n"
	f := func(body, want string) {
		t.Helper()
		kernel("", ".param .u64 x", bounds, regs+body, want)
	}

	// Modules.
	module("7.0", "sm_80", "", "")
	module("7.0", "sm_81", "", "unknown target sm_81")
	module("7.7", "sm_90", "", "version 7.7, sm_90 needs 7.8 to 8.8")
	module("6.5", "sm_75", "", "version 6.5, sm_75 needs 7.0 to 8.8")
	module("9.9", "sm_80", "", "version 9.9")
	one := "\n.visible .entry k() " + bounds + " { ret; }"
	module("7.0", "sm_80", one+one, "two kernels have this name")

	// Headers.
	kernel("", "", ".maxntid 32, 32, 1 .minnctapersm 1", "ret;", "")
	kernel("", "", ".maxntid 32, 33, 1 .minnctapersm 1", "ret;", "at most 1024")
	kernel("", ".param .u32 x, .param .u32 x", bounds, "ret;", "parameter x: the name is taken")
	kernel("", ".param .u32 x", bounds, ".shared .align 4 .b8 x[4]; ret;", "shared array x: the name is taken")
	kernel("", manyParams(512), bounds, "ret;", "")
	kernel("", manyParams(513), bounds, "ret;", "the parameters take 4104 bytes, at most 4096")
	kernel("", "", bounds, ".shared .align 16 .b8 s[49152]; ret;", "")
	kernel("", "", bounds, ".shared .align 4 .b8 a[4]; .shared .align 16 .b8 b[49137]; ret;", "take 49153 bytes, at most 49152")
	kernel("", "", bounds, ".shared .align 12 .b8 s[4]; ret;", "alignment 12 is not a power of two")
	extern := ".extern .shared .align 16 .b8 "
	kernel(extern+"d[];", "", bounds, "ret;", "")
	kernel(extern+"d[]; "+extern+"e[];", "", bounds, "ret;", "2 dynamic shared arrays")

	// Labels.
	f("a: a: ret;", "label a stands twice")
	f("ret; a:", "label a has no instruction after it")
	f("bra a;", "there is no label a")

	// Instructions.
	module("7.0", "sm_75", ".visible .entry k() "+bounds+" { cp.async.wait_all; ret; }", "line 4: cp.async.wait_all; needs sm_80 and version 7.0")
	module("7.8", "sm_89", ".visible .entry k() "+bounds+" { .reg .f32 %f<1>; .reg .b16 %h<1>; mov.f32 %f0, 0f00000000; cvt.rn.satfinite.e4m3x2.f32 %h0, %f0, %f0; ret; }", "needs sm_89 and version 8.1")
	f("mov.b32 %r4, 1; ret;", "%r4 is not declared")
	f("mov.u32 %f0, %tid.x; ret;", "%f0 is a register .f32, which cannot hold .u32")
	f("mov.f32 %r0, 0f00000000; ret;", "%r0 is a register .b32, which cannot hold .f32")
	f("mov.b32 %f0, 1; ret;", "")
	f("mov.b32 %r0, 1; @%r0 ret; ret;", "%r0 is a register .b32, which cannot hold .pred")
	f("mov.b32 %r0, 1; mov.b32 {%h0, %r0}, %r0; ret;", "%r0 is a register .b32, which cannot hold .b16")
	f("mov.b32 %r0, 4294967295; ret;", "")
	f("mov.b32 %r0, 4294967296; ret;", "the constant 4294967296 does not fit .b32")
	f("mov.b32 %r0, -2147483649; ret;", "the constant -2147483649 does not fit .b32")
	f("mov.u32 %r0, s; ret;", "there is no shared array s")
	f("ld.param.u64 %rd0, [y]; ret;", "there is no parameter [y]")
	f("ld.param.u32 %r0, [x+4]; ret;", "")
	f("ld.param.u32 %r0, [x+2]; ret;", "4 bytes at offset 2 of a parameter of 8 bytes")
	f("ld.param.u64 %rd0, [x+8]; ret;", "8 bytes at offset 8")
	f("ld.param.u64 %rd0, [x+-8]; ret;", "8 bytes at offset -8")
	f("ld.global.b32 %r0, [x]; ret;", "the address of x must be in a register")
	f("mov.b32 %r0, 0; ld.global.b32 %r1, [%r0]; ret;", "%r0 is a register .b32, which cannot hold .u64")
	f("mov.b64 %rd0, 0; ld.shared.b32 %r1, [%rd0]; ret;", "%rd0 is a register .b64, which cannot hold .u32")

	// Control flow.
	f("", "the body is empty")
	f("mov.b32 %r0, 1;", "control passes the end")
	f("mov.b32 %r0, 1; setp.eq.u32 %p0, %r0, %r0; @%p0 ret;", "control passes the end")
	f("exit;", "")
	f("trap;", "")
	f("a: bra a;", "")
	f("ret; mov.b32 %r0, 1; ret;", "mov.b32 %r0, 1; cannot be reached")
	f("add.u32 %r0, %r1, 1; ret;", "%r1 is not defined on every path")
	f("@%p0 ret; ret;", "%p0 is not defined")
	f("mov.b32 %r0, 1; st.global.b32 [%rd0], %r0; ret;", "%rd0 is not defined")
	f("mov.b64 %rd0, 1; st.global.v2.b32 [%rd0], {%r0, %r0}; ret;", "%r0 is not defined")
	const p = "mov.b32 %r0, 1; setp.eq.u32 %p0, %r0, %r0;"
	f(p+"@%p0 mov.b32 %r1, 2; add.u32 %r2, %r1, 1; ret;", "%r1 is not defined")
	f(p+"mov.b32 %r1, 0; @%p0 mov.b32 %r1, 2; add.u32 %r2, %r1, 1; ret;", "")
	f(p+"@%p0 bra a; mov.b32 %r1, 2; a: add.u32 %r2, %r1, 1; ret;", "%r1 is not defined")
	f(p+"@%p0 bra a; mov.b32 %r1, 2; bra b; a: mov.b32 %r1, 3; b: add.u32 %r2, %r1, 1; ret;", "")
	f(p+"@%p0 bra a; mov.b32 %r1, 2; ret; a: add.u32 %r2, %r1, 1; ret;", "%r1 is not defined")
	f(p+"a: @!%p0 mov.b32 %r1, 3; @!%p0 bra c; mov.b32 %r1, 1; bra a; c: add.u32 %r2, %r1, 1; ret;", "%r1 is not defined")
	f(p+"mov.b32 %r1, 3; a: add.u32 %r1, %r1, 1; @%p0 bra a; add.u32 %r2, %r1, 1; ret;", "")
	f(p+"bra b; a: add.u32 %r3, %r1, 1; ret; b: mov.b32 %r1, 2; bra a;", "")
}

// Rules that no text can break, because it would not parse.
func TestVerifyForm(t *testing.T) {
	f := func(want string, change func(m *Module)) {
		t.Helper()
		m, err := Parse(assembleTestKernel(t).Text())
		if err != nil {
			t.Fatal(err)
		}
		change(m)
		if err := m.Verify(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want …%s…", err, want)
		}
	}
	f("kernel test: MaxNTID and MinNCTAPerSM must be stated", func(m *Module) { m.Kernels[0].MaxNTID = [3]int{} })
	f("kernel test: MaxNTID and MinNCTAPerSM must be stated", func(m *Module) { m.Kernels[0].MinNCTAPerSM = 0 })
	f(".maxntid -1, 1, 1", func(m *Module) { m.Kernels[0].MaxNTID = [3]int{-1, 1, 1} })
	f("\"a b\" cannot be a kernel's name", func(m *Module) { m.Kernels[0].Name = "a b" })
	f("\"9\" cannot be the name of a parameter", func(m *Module) { m.Kernels[0].Params[0].Name = "9" })
	f("\"\" cannot be a label", func(m *Module) { m.Kernels[0].Labels[0].Name = "" })
	f("65537 registers .b64, at most 65536", func(m *Module) { m.Kernels[0].Regs[RegB64] = maxRegs + 1 })
	f("no form of ld.param.u64 takes ()", func(m *Module) { m.Kernels[0].Insts[0].Args = nil })
	f("too large to verify", func(m *Module) {
		k := m.Kernels[1]
		k.Insts = nil
		for range 3000 {
			k.Insts = append(k.Insts, Inst{Op: findOp("bra", []Operand{{Kind: KindLabel}}), Args: []Operand{{Kind: KindLabel, Symbol: "a"}}})
		}
		k.Labels = []Label{{Name: "a"}}
		k.Regs[RegB32], k.Regs[RegF32] = maxRegs, maxRegs
	})
}

func manyParams(n int) string {
	var ps []string
	for i := range n {
		ps = append(ps, fmt.Sprintf(".param .u64 x%d", i))
	}
	return strings.Join(ps, ", ")
}
