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
		VBROADCASTSS(word(bits), v)
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

	highHalves: func(m Mem, v VecPhysical) {
		VMOVUPS(m, v)
		VPANDD_BCST(word(0xffff0000), v, v)
	},
	rounding: func(s *isa) func(src, dst Mem) {
		exponent, sign, quiet, one, half := s.word(exponentBits), s.word(1<<31), s.word(quietBit), s.word(1), s.word(halfUnit)
		x, high, t := s.vec(), s.vec(), s.vec()
		return func(src, dst Mem) {
			VMOVUPS(src, x)
			Comment("Of a zero exponent, only the sign stays.")
			VPTESTNMD(exponent, x, K2)
			VPANDD(sign, x, K2, x)
			VCMPPS(Imm(unordered), x, x, K3)
			VPSRLD(Imm(16), x, high)
			Comment("Adding half a unit carries into the upper half where that is nearer, or as near and even.")
			VPANDD(one, high, t)
			VPADDD(half, x, x)
			VPADDD(t, x, x)
			VPSRLD(Imm(16), x, x)
			VPORD(quiet, high, K3, x)
			VPMOVDW(x, dst)
		}
	},
}

// word is memory with these bits.
func word(bits uint32) Mem { return data(fmt.Sprintf("word%08x", bits), bits) }

// avx512bf16 is AVX-512 with its extension for bfloat16.
var avx512bf16 = func() isa {
	s := avx512
	s.name = "avx512bf16"
	s.rounding = func(s *isa) func(src, dst Mem) {
		x, y := Z0, Y1
		return func(src, dst Mem) {
			VMOVUPS(src, x)
			vcvtneps2bf16(x, y)
			VMOVUPS(y, dst)
		}
	}
	return s
}()

// amx is AVX-512 with its extension for bfloat16, and tiles in registers of their own.
var amx = func() isa {
	s := avx512bf16
	s.name = "amx"
	return s
}()
