package ptx_test

import (
	"fmt"
	"log"

	"vith/kernels/ptx"
)

// vectorAdd computes z[i] = x[i] + y[i] for i < n, f32, one element a thread.
func vectorAdd(f *ptx.Func) {
	f.MaxNTID(256, 1, 1)
	f.MinNCTAPerSM(4)
	x, y, z := f.ParamPtr("x"), f.ParamPtr("y"), f.ParamPtr("z") // [n] f32
	n := f.ParamU32("n")

	i := f.MadLoU32(f.Special(ptx.CTAIdX), ptx.Int(256), f.Special(ptx.TidX))
	f.If(f.SetpU32(ptx.LT, i, n), func() {
		f.Comment("z[i] = x[i] + y[i]")
		at := func(p ptx.B64) ptx.GlobalAddr { return f.MadWideU32(i, ptx.Int(4), p).At(0) }
		f.StGlobalF32(at(z), f.AddRnF32(f.LdGlobalF32(at(x)), f.LdGlobalF32(at(y))))
	})
}

func Example() {
	m, err := ptx.Assemble(ptx.SM80, ptx.Entry{Name: "vector_add", Body: vectorAdd})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(m.Text())
	// Output:
	// .version 7.0
	// .target sm_80
	// .address_size 64
	//
	// .visible .entry vector_add(
	// 	.param .u64 x,
	// 	.param .u64 y,
	// 	.param .u64 z,
	// 	.param .u32 n
	// )
	// .maxntid 256, 1, 1
	// .minnctapersm 4
	// {
	// 	.reg .pred %p<1>;
	// 	.reg .b32 %r<4>;
	// 	.reg .b64 %rd<9>;
	// 	.reg .f32 %f<3>;
	// 	ld.param.u64 %rd0, [x];
	// 	cvta.to.global.u64 %rd1, %rd0;
	// 	ld.param.u64 %rd2, [y];
	// 	cvta.to.global.u64 %rd3, %rd2;
	// 	ld.param.u64 %rd4, [z];
	// 	cvta.to.global.u64 %rd5, %rd4;
	// 	ld.param.u32 %r0, [n];
	// 	mov.u32 %r1, %ctaid.x;
	// 	mov.u32 %r2, %tid.x;
	// 	mad.lo.u32 %r3, %r1, 256, %r2;
	// 	setp.lt.u32 %p0, %r3, %r0;
	// 	@!%p0 bra endif1;
	// 	// z[i] = x[i] + y[i]
	// 	mad.wide.u32 %rd6, %r3, 4, %rd5;
	// 	mad.wide.u32 %rd7, %r3, 4, %rd1;
	// 	ld.global.f32 %f0, [%rd7];
	// 	mad.wide.u32 %rd8, %r3, 4, %rd3;
	// 	ld.global.f32 %f1, [%rd8];
	// 	add.rn.f32 %f2, %f0, %f1;
	// 	st.global.f32 [%rd6], %f2;
	// endif1:
	// 	ret;
	// }
}
