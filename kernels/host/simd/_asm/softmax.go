package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// softmax writes p[i] = exp(scale·(p[i] - max p)) for a row of n, and returns the sum. The scale is taken into the base,
// scale·log2(e) in two parts, so that the difference from the maximum is the only rounding of the exponent.
func (s *isa) softmax() {
	const group = 4
	s.function("Softmax", "func(p *float32, n int, scale float32) (sum float32)")
	p := Load(Param("p"), RDI)
	n := Load(Param("n"), RBX)
	MOVQ(n, RCX)
	s.tailMask(s)
	top, base, baseLo, limit, sum, x := s.vec(), s.vec(), s.vec(), s.vec(), s.vec(), s.vec()
	exp2 := s.exp2(0)
	log2e, log2eLo := s.split(math.Log2E)
	low := s.float(-127)
	q, left := R8, R9
	restart := func() {
		MOVQ(p, q)
		MOVQ(n, left)
	}

	tops := [group]VecPhysical{top, base, baseLo, sum}
	for _, v := range tops {
		VBROADCASTSS(Mem{Base: p}, v)
	}
	restart()
	s.each("max", left, group, []Register{q}, func(u int, row access) {
		row.load(Mem{Base: q, Disp: u * s.size()}, x)
		row.fill(tops[u], x)
		VMAXPS(x, tops[u], tops[u])
	})
	for _, v := range tops[1:] {
		VMAXPS(v, top, top)
	}
	s.spread(VMAXPS, top, x)

	VBROADCASTSS(NewParamAddr("scale", 16), x)
	VMULPS(log2e, x, base)
	VMOVAPS(base, baseLo)
	VFMSUB231PS(log2e, x, baseLo)
	VFMADD231PS(log2eLo, x, baseLo)
	Comment("Differences below the limit give 0; to bound them keeps -Inf out of the products.")
	VMOVUPS(low, limit)
	VDIVPS(base, limit, limit)
	VXORPS(sum, sum, sum)
	zero := s.vec()
	VXORPS(zero, zero, zero)

	restart()
	s.each("exp", left, 1, []Register{q}, func(u int, row access) {
		row.load(Mem{Base: q, Disp: u * s.size()}, x)
		VSUBPS(top, x, x)
		VMAXPS(x, limit, x)
		power := exp2(x, base, baseLo)
		row.store(power, Mem{Base: q, Disp: u * s.size()})
		row.fill(zero, power)
		VADDPS(power, sum, sum)
	})
	s.spread(VADDPS, sum, x)
	VMOVSS(sum.AsX(), NewParamAddr("sum", 24))
	s.ret()
}
