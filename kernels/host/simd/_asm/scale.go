package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// scale writes dst = s·src for n values.
func (s *isa) scale() {
	s.function("Scale", "func(dst, src *float32, n int, s float32)")
	dst := Load(Param("dst"), RDI)
	src := Load(Param("src"), RSI)
	n := Load(Param("n"), RBX)
	MOVQ(n, RCX)
	s.tailMask(s)
	x, factor := s.vec(), s.vec()
	VBROADCASTSS(NewParamAddr("s", 24), factor)
	s.each("scale", n, 1, []Register{src, dst}, func(u int, row access) {
		row.load(Mem{Base: src, Disp: u * s.size()}, x)
		VMULPS(factor, x, x)
		row.store(x, Mem{Base: dst, Disp: u * s.size()})
	})
	s.ret()
}
