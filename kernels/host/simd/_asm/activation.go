package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// activations writes the activation functions. VMAXPS and VMINPS return their first operand here, the last in Intel's
// order, when either is NaN: the argument goes there, so that NaN passes.
func (s *isa) activations() {
	s.activation("GELU", s.gelu)
	s.activation("GELUTanh", s.geluTanh)
	s.activation("QuickGELU", s.quickGELU)
}

// activation writes the routine that applies f in place to a [rows, cols] block. f emits its constants and returns
// the code that computes y from x.
func (s *isa) activation(name string, f func() func(x, y VecPhysical)) {
	s.function(name, "func(x *float32, ld, rows, cols int)")
	x := Load(Param("x"), RDI)
	ld := Load(Param("ld"), RSI)
	rows := Load(Param("rows"), RDX)
	cols := Load(Param("cols"), RBX)
	SHLQ(Imm(2), ld)
	MOVQ(cols, RCX)
	s.tailMask(s)
	in, out := s.vec(), s.vec()
	apply := f()
	Label("row")
	p, n := R8, R9
	MOVQ(x, p)
	MOVQ(cols, n)
	s.each("columns", n, 1, []Register{p}, func(u int, row access) {
		row.load(Mem{Base: p, Disp: u * s.size()}, in)
		apply(in, out)
		row.store(out, Mem{Base: p, Disp: u * s.size()})
	})
	ADDQ(ld, x)
	DECQ(rows)
	JNZ(LabelRef("row"))
	s.ret()
}

// geluTerms are c in s(t) = c[0] + c[1]·t + … ≈ log2(2·Φ(-t))/t, Φ the normal distribution function. They are minimax
// on [0, 6.5] (Remez exchange in 40 digits) under weights that ask for the relative error of Φ up to t = 1, for the
// error of t·Φ(-t) beyond, and for 1e-4 of Φ at the worst. Rounded to fp32 they give 2.1e-8, 4.0e-9 and 1.0e-4. From
// 6.5, where t·Φ(-t) is 2.6e-10, t·s(t) goes on falling, faster than it should.
var geluTerms = []float64{
	-1.15110469, -0.45921737, -0.0524482541, 0.00695029274, 3.7904706e-06,
	-0.000284827838, 7.88762554e-05, -1.15145203e-05, 9.18446915e-07, -3.13196011e-08,
}

// geluZero is where t·s(t) is -126, for which exp2 gives 0.
const geluZero = 11.143

// gelu is x·Φ(x) = max(x, 0) - t·Φ(-t), t = |x|, which keeps the digits of the left tail, where erf would cancel. With
// s(t) for the logarithm, Φ(-t) = 2^(t·s(t) - 1) takes no division and one power.
func (s *isa) gelu() func(x, y VecPhysical) {
	magnitude := s.word(math.MaxInt32)
	zero := s.float(0)
	limit := s.float(geluZero)
	terms := s.floats(geluTerms)
	exp2 := s.exp2(1)
	t, log := s.vec(), s.vec()
	return func(x, y VecPhysical) {
		VANDPS(magnitude, x, y)
		VMOVUPS(limit, t)
		VMINPS(y, t, t)
		horner(terms, t, log)
		power := exp2(t, log, nil)
		VMOVUPS(zero, y)
		VMAXPS(x, y, y)
		VFNMADD231PS(power, t, y)
	}
}

// logistic is x/(1 + 2^w(x)) for an odd, falling w; power emits 2^w. Below lo, where w is 128, the power is infinite
// and y a zero; above hi, where w is -127, the power is 0 and y is x.
func (s *isa) logistic(lo, hi float64, power func(x VecPhysical) VecPhysical) func(x, y VecPhysical) {
	low, high, one := s.float(lo), s.float(hi), s.float(1)
	t := s.vec()
	return func(x, y VecPhysical) {
		VMOVUPS(low, y)
		VMAXPS(x, y, y)
		VMOVUPS(high, t)
		VMINPS(y, t, t)
		p := power(t)
		VADDPS(one, p, p)
		VDIVPS(p, y, y)
	}
}

// geluTanh is x/2·(1 + tanh(u)) = x/(1 + exp(-2u)), u = sqrt(2/π)·(x + 0.044715·x³). The bounds are the roots of
// slope·(x + 0.044715·x³) = 128 and -127.
func (s *isa) geluTanh() func(x, y VecPhysical) {
	slope := -2 * math.Sqrt(2/math.Pi) * math.Log2E
	linear, cubic := s.float(slope), s.float(slope*0.044715)
	exp2 := s.exp2(0)
	square, w := s.vec(), s.vec()
	return s.logistic(-10.0609663, 10.0310889, func(x VecPhysical) VecPhysical {
		VMULPS(x, x, square)
		VMOVUPS(cubic, w)
		VFMADD213PS(linear, square, w)
		return exp2(x, w, nil)
	})
}

// quickGELU is x·sigmoid(1.702·x) = x/(1 + exp(-1.702·x)).
func (s *isa) quickGELU() func(x, y VecPhysical) {
	const slope = -1.702 * math.Log2E
	hi, lo := s.split(slope)
	exp2 := s.exp2(0)
	return s.logistic(128/slope, -127/slope, func(x VecPhysical) VecPhysical { return exp2(x, hi, lo) })
}
