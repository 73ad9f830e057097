package ptx_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"vith/kernels/ptx"
)

// assemble runs body as a kernel with its bounds stated.
func assemble(target ptx.Target, body func(f *ptx.Func)) error {
	_, err := ptx.Assemble(target, ptx.Entry{Name: "k", Body: func(f *ptx.Func) {
		f.MaxNTID(32, 1, 1)
		f.MinNCTAPerSM(1)
		body(f)
	}})
	return err
}

// Each mistake is on one line, the one after the call of wrong, and reported there.
func TestErrorsAreAtTheAuthorsLine(t *testing.T) {
	var line int
	wrong := func() { _, _, line, _ = runtime.Caller(1); line++ }
	f := func(msg string, body func(f *ptx.Func)) {
		t.Helper()
		err := assemble(ptx.SM80, body)
		var e *ptx.Error
		if !errors.As(err, &e) {
			t.Errorf("got %v, want an Error: %s", err, msg)
			return
		}
		if want := (ptx.Pos{File: "assemble_test.go", Line: line}); e.Source != want || !strings.Contains(e.Error(), msg) {
			t.Errorf("got %v, want %v: …%s…", e, want, msg)
		}
		if e.Kernel != "k" {
			t.Errorf("the error is of kernel %q, want k: %v", e.Kernel, e)
		}
	}
	f("no form of add.u32 takes (a register, a register, no usable value)", func(f *ptx.Func) {
		a, unset := f.MovB32(ptx.Int(1)), ptx.B32{}
		wrong()
		f.AddU32(a, unset)
	})
	f("no instruction ld.global.wt.b32", func(f *ptx.Func) {
		a := f.MovB64(ptx.Long(0))
		wrong()
		f.LdGlobalB32(a.At(0), ptx.WT)
	})
	f("no instruction setp.num.u32", func(f *ptx.Func) {
		wrong()
		f.SetpU32(ptx.Num, ptx.Int(0), ptx.Int(1))
	})
	f("the constant 4294967296 does not fit .u32", func(f *ptx.Func) {
		wrong()
		f.AddU32(ptx.Int(1<<32), ptx.Int(0))
	})
	f("the constant -2147483649 does not fit .b32", func(f *ptx.Func) {
		wrong()
		f.MovB32(ptx.Int(-1<<31 - 1))
	})
	f("no form of st.shared.v2.b32 takes (an address, no usable value)", func(f *ptx.Func) {
		a := f.MovB32(ptx.Int(0))
		wrong()
		f.StSharedV2B32(a.At(0), [2]ptx.B32{a, ptx.Int(0)})
	})
	f("takes (a register, no usable value)", func(f *ptx.Func) {
		wrong()
		f.LdSharedB32(ptx.Int(0).At(16))
	})
	f("it takes (an address, an address, the constant 4)", func(f *ptx.Func) {
		a, b := f.MovB32(ptx.Int(0)), f.MovB64(ptx.Long(0))
		wrong()
		f.CpAsyncCA(a.At(0), b.At(0), 12)
	})
	f("33 threads at a barrier", func(f *ptx.Func) {
		wrong()
		f.BarSyncThreads(1, 33)
	})
	f("the result of add.u32 is 1 registers .b32, Into names [%f0]", func(f *ptx.Func) {
		x := f.MovF32(ptx.Float(0))
		wrong()
		ptx.Into(f, x).AddU32(ptx.Int(1), ptx.Int(2))
	})
	f("the result of ld.shared.v2.f32 is 2 registers .f32, Into names [%f0]", func(f *ptx.Func) {
		x, a := f.MovF32(ptx.Float(0)), f.MovB32(ptx.Int(0))
		wrong()
		ptx.Into(f, x).LdSharedV2F32(a.At(0))
	})
	f("Into names [1]", func(f *ptx.Func) {
		wrong()
		ptx.Into(f, ptx.Int(1)).AddU32(ptx.Int(1), ptx.Int(2))
	})
	f("bar.sync has no result", func(f *ptx.Func) {
		x := f.MovF32(ptx.Float(0))
		wrong()
		ptx.Into(f, x).BarSync(0)
	})
	f("guarded twice", func(f *ptx.Func) {
		p := f.SetpU32(ptx.EQ, ptx.Int(0), ptx.Int(0))
		wrong()
		f.When(p).Unless(p).Ret()
	})
	f("a Pred that was never set", func(f *ptx.Func) {
		wrong()
		f.When(ptx.Pred{}).Ret()
	})
	f("If takes no guard", func(f *ptx.Func) {
		p := f.SetpU32(ptx.EQ, ptx.Int(0), ptx.Int(0))
		wrong()
		f.When(p).If(p, func() {})
	})
	f("DoWhile takes no guard and no Into", func(f *ptx.Func) {
		p := f.SetpU32(ptx.EQ, ptx.Int(0), ptx.Int(0))
		wrong()
		ptx.Into(f, p).DoWhile(func() ptx.Pred { return p })
	})
	f("shared array s has 0 bytes", func(f *ptx.Func) {
		wrong()
		f.Shared("s", 16, 0)
	})
	f("167936 bytes of shared memory, sm_80 has 166912 for a block", func(f *ptx.Func) {
		f.Shared("s", 16, 1024)
		wrong()
		f.DynamicShared("d", 16, 163<<10)
	})
	f("%r1 is not defined on every path", func(f *ptx.Func) {
		var x ptx.B32
		f.If(f.SetpU32(ptx.EQ, f.Special(ptx.LaneID), ptx.Int(0)), func() { x = f.MovB32(ptx.Int(1)) })
		wrong()
		f.MovB32(x)
	})
	f("%f1 is not defined on every path", func(f *ptx.Func) {
		a := f.MovB64(ptx.Long(0))
		p := f.SetpU32(ptx.EQ, f.Special(ptx.LaneID), ptx.Int(0))
		f.LdGlobalF32(a.At(0))
		x := f.When(p).LdGlobalF32(a.At(4))
		wrong()
		f.AddRnF32(x, x)
	})
	f("cannot be reached", func(f *ptx.Func) {
		f.Ret()
		wrong()
		f.BarSync(0)
	})
}

// The target given to Assemble holds.
func TestTargets(t *testing.T) {
	async := func(f *ptx.Func) { f.CpAsyncWaitAll() }
	if err := assemble(ptx.SM75, async); err == nil || !strings.Contains(err.Error(), "needs sm_80 and version 7.0, the module is for sm_75") {
		t.Errorf("cp.async on sm_75: %v", err)
	}
	if err := assemble(ptx.SM80, async); err != nil {
		t.Error(err)
	}
	if err := assemble(42, async); err == nil || !strings.Contains(err.Error(), "unknown target sm_42") {
		t.Errorf("target 42: %v", err)
	}
}

// The version is the lowest that the target and the instructions allow.
func TestVersions(t *testing.T) {
	f := func(target ptx.Target, want ptx.Version, body func(f *ptx.Func)) {
		t.Helper()
		m, err := ptx.Assemble(target, ptx.Entry{Name: "k", Body: func(f *ptx.Func) {
			f.MaxNTID(32, 1, 1)
			f.MinNCTAPerSM(1)
			body(f)
		}})
		if err != nil {
			t.Error(err)
		} else if m.Version != want {
			t.Errorf("version %v, want %v", m.Version, want)
		}
	}
	f(ptx.SM75, 70, func(f *ptx.Func) {})
	f(ptx.SM80, 70, func(f *ptx.Func) {})
	f(ptx.SM80, 74, func(f *ptx.Func) { f.LdGlobalB32(f.MovB64(ptx.Long(0)).At(0), ptx.NoAllocate) })
	f(ptx.SM89, 78, func(f *ptx.Func) {})
	f(ptx.SM89, 81, func(f *ptx.Func) {
		x := f.MovF32(ptx.Float(1))
		f.CvtRnSatfiniteE4M3x2F32(x, x)
	})
	f(ptx.SM120, 87, func(f *ptx.Func) {})
}

func TestErrorListText(t *testing.T) {
	err := assemble(ptx.SM80, func(f *ptx.Func) {
		f.MovB32(ptx.Int(7))
		for range 13 {
			f.MovF32(ptx.F32{})
		}
	})
	got := err.Error()
	if n := strings.Count(got, "assemble_test.go:"); n != 10 {
		t.Errorf("%d errors are spelled out, want 10:\n%s", n, got)
	}
	if want := "and 3 more errors\nthe text up to the first:\n\tmov.b32 %r0, 7;"; !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s\nwant the end\n%s", got, want)
	}
}

// A macro's mistake is reported at the macro, and entries do not see each other.
func TestEntries(t *testing.T) {
	bounds := func(f *ptx.Func) { f.MaxNTID(1, 1, 1); f.MinNCTAPerSM(1) }
	m, err := ptx.Assemble(ptx.SM90, ptx.Entry{Name: "a", Body: bounds}, ptx.Entry{Name: "b", Body: bounds})
	if err != nil {
		t.Fatal(err)
	}
	if k := m.Kernel("b"); k == nil || k.Name != "b" || m.Kernel("c") != nil {
		t.Errorf("Kernel finds %v", k)
	}
	_, err = ptx.Assemble(ptx.SM90, ptx.Entry{Name: "a", Body: bounds}, ptx.Entry{Name: "a", Body: bounds})
	if want := "kernel a: two kernels have this name"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if got := fmt.Sprint(ptx.SM90.MaxShared(), ptx.Target(1).MaxShared()); got != "232448 0" {
		t.Errorf("MaxShared: %s", got)
	}
}
