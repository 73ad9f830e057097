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

	constant: func(s *isa, bits uint32) Op { return words(bits) },
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

	highHalves: func(m Mem, v VecPhysical) {
		VMOVUPS(m, v)
		VANDPS(words(0xffff0000), v, v)
	},
	rounding: func(s *isa) func(src, dst Mem) {
		x, t, quiet, nan := s.vec(), s.vec(), s.vec(), s.vec()
		return func(src, dst Mem) {
			VMOVUPS(src, x)
			Comment("Of a zero exponent, only the sign stays.")
			VPAND(words(exponentBits), x, t)
			VPCMPEQD(words(0), t, t)
			VPSRLD(Imm(1), t, t)
			VPANDN(x, t, x)
			VCMPPS(Imm(unordered), x, x, nan)
			VPSRLD(Imm(16), x, t)
			VPOR(words(quietBit), t, quiet)
			Comment("Adding half a unit carries into the upper half where that is nearer, or as near and even.")
			VPAND(words(1), t, t)
			VPADDD(words(halfUnit), x, x)
			VPADDD(t, x, x)
			VPSRLD(Imm(16), x, x)
			VPBLENDVB(nan, quiet, x, x)
			VEXTRACTI128(Imm(1), x, t.AsX())
			VPACKUSDW(t.AsX(), x.AsX(), x.AsX())
			VMOVUPS(x.AsX(), dst)
		}
	},
}

// words is memory with the same bits in every lane.
func words(bits uint32) Mem {
	return data(fmt.Sprintf("words%08x", bits), bits, bits, bits, bits, bits, bits, bits, bits)
}
