package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// avx2 is AVX2 and FMA: half the registers, so that constants are read from memory, and masks that are vectors, Y15.
var avx2 = isa{
	name: "avx2",
	vecs: []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15},
	mr:   6,

	constant: func(s *isa, bits uint32) Op {
		return data(fmt.Sprintf("words%08x", bits), bits, bits, bits, bits, bits, bits, bits, bits)
	},
	tailMask: func(s *isa) {
		const on = 0xffffffff
		masks := data("masks", on, on, on, on, on, on, on, on, 0, 0, 0, 0, 0, 0, 0, 0)
		ANDQ(imm(7), RCX)
		NEGQ(RCX)
		LEAQ(masks, RAX)
		VMOVUPS(Mem{Base: RAX, Disp: 32, Index: RCX, Scale: 4}, Y15)
	},
	tail: access{
		load:  func(m Mem, v VecPhysical) { VMASKMOVPS(m, Y15, v) },
		store: func(v VecPhysical, m Mem) { VMASKMOVPS(v, Y15, m) },
		fill:  func(with, v VecPhysical) { VBLENDVPS(Y15, v, with, v) },
	},
	halves: func(src, dst VecPhysical) { VPERM2F128(Imm(1), src, src, dst) },
}
