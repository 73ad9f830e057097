package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// layerNorm writes dst = (src - mean)/sqrt(variance + eps)·gamma + beta for a row of n. The mean and, in a second
// pass, the variance about it are sums in four vectors, to hide the latency of an addition.
func (s *isa) layerNorm() {
	const group = 4
	s.function("LayerNorm", "func(dst, src, gamma, beta *float32, n int, eps float32)")
	src := Load(Param("src"), RSI)
	n := Load(Param("n"), RBX)
	MOVQ(n, RCX)
	s.tailMask(s)
	mean, rstd, count, x, g, b := s.vec(), s.vec(), s.vec(), s.vec(), s.vec(), s.vec()
	one := s.float(1)
	var sums [group]VecPhysical
	for i := range sums {
		sums[i] = s.vec()
	}
	p, left := R8, R9
	restart := func() {
		for _, v := range sums {
			VXORPS(v, v, v)
		}
		MOVQ(src, p)
		MOVQ(n, left)
	}
	average := func(v VecPhysical) {
		VADDPS(sums[1], sums[0], sums[0])
		VADDPS(sums[3], sums[2], sums[2])
		VADDPS(sums[2], sums[0], v)
		s.spread(VADDPS, v, x)
		VDIVPS(count, v, v)
	}
	VCVTSI2SSQ(n, x.AsX(), x.AsX())
	VBROADCASTSS(x.AsX(), count)

	restart()
	s.each("mean", left, group, []Register{p}, func(u int, row access) {
		row.load(Mem{Base: p, Disp: u * s.size()}, x)
		VADDPS(x, sums[u], sums[u])
	})
	average(mean)

	restart()
	s.each("variance", left, group, []Register{p}, func(u int, row access) {
		row.load(Mem{Base: p, Disp: u * s.size()}, x)
		row.fill(mean, x)
		VSUBPS(mean, x, x)
		VFMADD231PS(x, x, sums[u])
	})
	average(rstd)
	VBROADCASTSS(NewParamAddr("eps", 40), x)
	VADDPS(x, rstd, rstd)
	VSQRTPS(rstd, rstd)
	VMOVUPS(one, x)
	VDIVPS(rstd, x, rstd)

	dst := Load(Param("dst"), RDI)
	gamma := Load(Param("gamma"), RDX)
	beta := Load(Param("beta"), RAX)
	s.each("normalise", n, 1, []Register{src, gamma, beta, dst}, func(u int, row access) {
		row.load(Mem{Base: src, Disp: u * s.size()}, x)
		row.load(Mem{Base: gamma, Disp: u * s.size()}, g)
		row.load(Mem{Base: beta, Disp: u * s.size()}, b)
		VSUBPS(mean, x, x)
		VMULPS(rstd, x, x)
		VFMADD213PS(b, g, x)
		row.store(x, Mem{Base: dst, Disp: u * s.size()})
	})
	s.ret()
}
