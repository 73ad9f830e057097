package ptxsim_test

import (
	"fmt"
	"log"

	"vith/kernels/ptx"
	"vith/kernels/ptxsim"
)

// A kernel that doubles the words of x. Its 64 threads are twice as many as there are words.
const double = `.version 7.0
.target sm_80
.address_size 64

.visible .entry double(
	.param .u64 x
)
.maxntid 64, 1, 1
.minnctapersm 1
{
	.reg .b32 %r<3>;
	.reg .b64 %rd<3>;
	ld.param.u64 %rd0, [x];
	mov.u32 %r0, %tid.x;
	mul.wide.u32 %rd1, %r0, 4;
	add.u64 %rd2, %rd0, %rd1;
	ld.global.b32 %r1, [%rd2];
	add.u32 %r2, %r1, %r1;
	st.global.b32 [%rd2], %r2;
	ret;
}
`

func Example() {
	m, err := ptx.Parse(double)
	if err != nil {
		log.Fatal(err)
	}
	p, err := ptxsim.Load(m)
	if err != nil {
		log.Fatal(err)
	}
	mem := ptxsim.NewMemory()
	x := mem.Alloc("x", 128)
	if err := mem.Write(x, make([]byte, 128)); err != nil {
		log.Fatal(err)
	}
	_, err = p.Launch(mem, ptxsim.Launch{Kernel: "double", Grid: [3]int{1, 1, 1}, Block: [3]int{64, 1, 1}, Params: []uint64{x}})
	fmt.Println(err)
	// Output:
	// ptxsim: double: block [0 0 0] thread [32 0 0] (warp 1 lane 0): line 17: ld.global.b32 %r1, [%rd2]; out of bounds: 4 bytes at 0x710000180, 0 bytes behind the end of "x" (128 bytes at 0x710000100)
}
