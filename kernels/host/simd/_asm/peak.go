package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// peak writes the loop of register-only multiply-adds that gives the roof: twelve independent sums cover a latency of
// up to six cycles on two units.
func (s *isa) peak() {
	const sums = 12
	s.function("Peak", "func(n int) (flops int)")
	n := Load(Param("n"), RCX)
	IMUL3Q(imm(sums*s.lanes()*2), n, RAX)
	Store(RAX, ReturnIndex(0))
	x := s.vecs[sums]
	for _, v := range s.vecs[:sums+1] {
		VXORPS(v, v, v)
	}
	Label("loop")
	for _, v := range s.vecs[:sums] {
		VFMADD231PS(x, x, v)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	s.ret()
}
