package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// transpose writes dst[c·ldd + r] = src[r·lds + c] for 8 columns c and 8·blocks rows r, in AVX2 for all.
//
// Halves of rows are loaded so that row i and row i+4 share a register; what is left is to transpose 4x4 in each of
// its halves, by interleaving singles and then pairs.
func (s *isa) transpose() {
	s.function("Transpose8", "func(dst *float32, ldd int, src *float32, lds, blocks int)")
	dst := Load(Param("dst"), RDI)
	ldd := Load(Param("ldd"), RDX)
	src := Load(Param("src"), RSI)
	lds := Load(Param("lds"), RBX)
	blocks := Load(Param("blocks"), RCX)
	SHLQ(Imm(2), ldd)
	SHLQ(Imm(2), lds)
	lds3, ldd3, lower, right := R8, R9, R10, R11
	LEAQ(Mem{Base: lds, Index: lds, Scale: 2}, lds3)
	LEAQ(Mem{Base: ldd, Index: ldd, Scale: 2}, ldd3)
	strided := func(base, stride, stride3 Register, i int) Mem {
		switch i {
		case 0:
			return Mem{Base: base}
		case 3:
			return Mem{Base: base, Index: stride3, Scale: 1}
		}
		return Mem{Base: base, Index: stride, Scale: uint8(i)}
	}

	Label("block")
	LEAQ(Mem{Base: src, Index: lds, Scale: 4}, lower)
	MOVQ(dst, right)
	for half := range 2 {
		r, t := s.vecs[8*half:][:4], s.vecs[8*half+4:][:4]
		for i := range r {
			m, n := strided(src, lds, lds3, i), strided(lower, lds, lds3, i)
			m.Disp, n.Disp = 16*half, 16*half
			VMOVUPS(m, r[i].AsX())
			VINSERTF128(Imm(1), n, r[i], r[i])
		}
		for i := 0; i < 4; i += 2 {
			VUNPCKLPS(r[i+1], r[i], t[i])
			VUNPCKHPS(r[i+1], r[i], t[i+1])
		}
		for i := range 2 {
			VUNPCKLPD(t[2+i], t[i], r[2*i])
			VUNPCKHPD(t[2+i], t[i], r[2*i+1])
		}
		for i := range r {
			VMOVUPS(r[i], strided(right, ldd, ldd3, i))
		}
		LEAQ(Mem{Base: right, Index: ldd, Scale: 4}, right)
	}
	LEAQ(Mem{Base: src, Index: lds, Scale: 8}, src)
	ADDQ(Imm(32), dst)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	s.ret()
}
