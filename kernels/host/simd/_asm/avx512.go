package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// avx512 is AVX-512 F and DQ: registers enough to keep constants in, and loads and stores of selected lanes, K1.
var avx512 = isa{
	name: "avx512",
	vecs: []VecPhysical{
		Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
		Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31,
	},
	mr: 14,

	constant: func(s *isa, bits uint32) Op {
		v := s.vec()
		VBROADCASTSS(data(fmt.Sprintf("word%08x", bits), bits), v)
		return v
	},
	tailMask: func(*isa) {
		ANDQ(imm(15), RCX)
		MOVL(imm(1), EAX)
		SHLL(CL, EAX)
		DECL(EAX)
		KMOVW(EAX, K1)
	},
	tail: access{
		load:  func(m Mem, v VecPhysical) { VMOVUPS_Z(m, K1, v) },
		store: func(v VecPhysical, m Mem) { VMOVUPS(v, K1, m) },
		fill:  func(with, v VecPhysical) { VBLENDMPS(v, with, K1, v) },
	},
	halves:   func(src, dst VecPhysical) { VSHUFF32X4(Imm(0x4e), src, src, dst) },
	quarters: func(src, dst VecPhysical) { VSHUFF32X4(Imm(0xb1), src, src, dst) },
}
