package ptx

import (
	"math"
	"testing"
)

// testKernel has everything that is not one instruction: parameters of each type, shared memory, each kind of control
// flow, registers that live through loops, guards, vectors, comments. It computes nothing of use.
func testKernel(f *Func) {
	f.MaxNTID(64, 2, 1)
	f.MinNCTAPerSM(2)
	x, y := f.ParamPtr("x"), f.ParamPtr("y") // [rows, 64] f16
	rows := f.ParamU32("rows")
	scale := f.ParamF32("scale")
	buf := f.DynamicShared("buf", 128, 64<<10)
	part := f.Shared("part", 16, 64)

	tid := f.Special(TidX)
	f.When(f.SetpU32(GE, tid, rows)).Ret()
	f.Comment("the accumulators\nof a 16 x 8 tile")
	var acc [4]F32
	for i := range acc {
		acc[i] = f.MovF32(Float(0))
	}
	src := f.MovB64(x)
	f.For(Int(0), rows, Int(16), func(i B32) {
		f.CpAsyncCG(buf.At(0), src.At(0))
		f.CpAsyncCommitGroup()
		f.CpAsyncWaitGroup(0)
		f.BarSync(0)
		a, b := f.LdMatrixX4(buf.At(0)), f.LdMatrixX2Trans(buf.At(512))
		Into(f, acc[:]...).MmaM16N8K16F16(a, b, acc)
		Into(f, src).AddU64(src, Long(2048))
	})
	sum := f.MovF32(Float(float32(math.Inf(-1))))
	f.For(Int(0), Int(4), Int(2), func(B32) {
		for _, a := range acc {
			Into(f, sum).FmaRnF32(a, scale, sum)
		}
	})
	f.For(Int(4), Int(4), Int(1), func(B32) { f.Trap() }) // no turn, no code
	left := f.MovB32(Int(3))
	f.DoWhile(func() Pred {
		Into(f, sum).AddRnF32(sum, f.ShflSyncBflyF32(sum, left, Int(31), Int(-1)))
		Into(f, left).SubU32(left, Int(1))
		return f.SetpU32(NE, left, Int(0))
	})
	first := f.SetpU32(EQ, tid, Int(0))
	f.IfElse(first, func() {
		f.StSharedF32(part.At(4), sum)
	}, func() {
		f.If(f.SetpF32(NaN, sum, sum), f.Exit)
	})
	f.BarSync(0)
	v := f.MovF32(Float(1))
	Into(f.Unless(first), v).LdSharedF32(part.At(4))
	f.StGlobalB32(y.At(-4), B32(f.CvtRnF16x2F32(v, v)))
	f.IfElse(first, f.Ret, f.Trap)
}

func assembleTestKernel(t *testing.T) *Module {
	t.Helper()
	m, err := Assemble(SM80, Entry{"test", testKernel}, Entry{"empty", func(f *Func) { f.MaxNTID(1, 1, 1); f.MinNCTAPerSM(1) }})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestKernelText(t *testing.T) { golden(t, "kernel.ptx", assembleTestKernel(t).Text()) }
