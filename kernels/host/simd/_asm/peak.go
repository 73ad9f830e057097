package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// peak writes the loop of register-only multiply-adds that gives the roof: twelve independent sums cover a latency of
// up to six cycles on two units. An instruction adds so many products to every lane.
func (s *isa) peak(name string, products int, multiply func(y, x, dst VecPhysical)) {
	const sums = 12
	s.function(name, "func(n int) (flops int)")
	n := Load(Param("n"), RCX)
	IMUL3Q(imm(sums*s.lanes()*2*products), n, RAX)
	Store(RAX, ReturnIndex(0))
	x := s.vecs[sums]
	for _, v := range s.vecs[:sums+1] {
		VXORPS(v, v, v)
	}
	Label("loop")
	for _, v := range s.vecs[:sums] {
		multiply(x, x, v)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	s.ret()
}
