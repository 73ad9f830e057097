package ptxsim

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkMMA multiplies tiles from shared memory: 16 x m16n8k16 for 8 x ldmatrix.x4 in each of 100 turns.
func BenchmarkMMA(b *testing.B) {
	var body strings.Builder
	body.WriteString(`mov.u32 %r1, s;
	and.b32 %r2, %r0, 31;
	mad.lo.u32 %r1, %r2, 16, %r1;
	mov.b32 %r3, 0;
	setp.lt.u32 %p0, %r0, 32;
	@%p0 st.shared.v4.b32 [%r1], {%r3, %r3, %r3, %r3};
	bar.sync 0;
`)
	for n := range 64 {
		fmt.Fprintf(&body, "mov.f32 %%f%d, 0f00000000;\n", n)
	}
	body.WriteString("loop:\n")
	for n := range 8 {
		fmt.Fprintf(&body, "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%%r4, %%r5, %%r6, %%r7}, [%%r1];\n")
		for half := range 2 {
			c := 8*n + 4*half
			acc := fmt.Sprintf("{%%f%d, %%f%d, %%f%d, %%f%d}", c%64, c%64+1, c%64+2, c%64+3)
			fmt.Fprintf(&body, "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 %s, {%%r4, %%r5, %%r6, %%r7}, {%%r4, %%r5}, %s;\n", acc, acc)
		}
	}
	body.WriteString("add.u32 %r3, %r3, 1;\nsetp.lt.u32 %p0, %r3, 100;\n@%p0 bra loop;")
	for name, model := range map[string]Accumulation{"sequential": Sequential, "aligned": Aligned} {
		b.Run("model="+name, func(b *testing.B) {
			r := newRig(b, ".shared .align 16 .b8 s[512];", body.String(), 128, 1)
			r.l.Grid[0], r.l.Workers, r.l.Accumulation = 4, 0, model
			var mma int64
			for b.Loop() {
				s, err := r.run()
				if err != nil {
					b.Fatal(err)
				}
				mma += s.MMA
			}
			b.ReportMetric(float64(mma)/b.Elapsed().Seconds(), "mma/s")
		})
	}
}

// BenchmarkElementwise is a pass over 2^20 floats by vectors of four with a few operations on each.
func BenchmarkElementwise(b *testing.B) {
	const threads, elements = 256, 1 << 20
	body := `mov.u32 %r1, %ctaid.x;
	mov.u32 %r2, %ntid.x;
	mad.lo.u32 %r3, %r1, %r2, %r0;
	mul.wide.u32 %rd5, %r3, 16;
	add.u64 %rd6, %rd0, %rd5;
	add.u64 %rd7, %rd1, %rd5;
	ld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%rd6];
`
	for n := range 4 {
		x := fmt.Sprintf("%%f%d", n)
		for range 4 {
			body += fmt.Sprintf("fma.rn.f32 %s, %s, %s, %s;\n", x, x, x, x)
		}
		body += fmt.Sprintf("ex2.approx.f32 %s, %s;\nmax.f32 %s, %s, 0f00000000;\n", x, x, x, x)
	}
	body += "st.global.v4.f32 [%rd7], {%f0, %f1, %f2, %f3};"
	r := newRig(b, "", body, threads, elements)
	r.l.Grid[0], r.l.Workers = elements/4/threads, 0
	b.SetBytes(8 * elements)
	var issued int64
	for b.Loop() {
		s, err := r.run()
		if err != nil {
			b.Fatal(err)
		}
		for _, n := range s.Instructions {
			issued += n
		}
	}
	b.ReportMetric(float64(issued)/b.Elapsed().Seconds(), "instructions/s")
}
