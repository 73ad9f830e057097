package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// exp2Terms are c in 2^r = 1 + c[0]·r + c[1]·r² + … on |r| <= 1/2: minimax in the relative error (Remez exchange in 40
// digits), 1.6e-8 with the coefficients rounded to fp32.
var exp2Terms = []float64{
	0.693147182, 0.240226477, 0.0555033237, 0.00961843692, 0.00133988739, 0.000153533561,
}

// exp2 prepares 2^(x·y + x·lo - down) for -127+down <= x·y <= 128 and returns the code of it. That code leaves the
// power in the register it returns and neither x nor y changed. lo is the part of a constant y that fp32 cannot hold,
// or nil. With y = log2(e) it is the exponential.
//
//	n = x·y rounded to an integer
//	r = x·y - n + x·lo             exact but for one rounding, as multiply-adds keep the product whole
//	2^(x·y) = 2^n · 2^r            2^r from exp2Terms
//
// Adding 1.5·2²³ rounds to an integer and leaves it in the low bits of the sum. With the exponent's bias of 127 - down
// added as well, those bits shifted into place are 2^(n-down): 0 for the lowest n, whose powers are flushed to zero,
// and infinity for 128. Rounding costs at most 2·2⁻²⁴ of the result. NaN in x stays NaN.
func (s *isa) exp2(down int) func(x VecPhysical, y, lo Op) VecPhysical {
	round := s.float(1.5*(1<<23) + 127 - float64(down))
	terms := append([]Op{s.float(1)}, s.floats(exp2Terms)...)
	t, r, p := s.vec(), s.vec(), s.vec()
	return func(x VecPhysical, y, lo Op) VecPhysical {
		VMOVUPS(y, t)
		VFMADD213PS(round, x, t)
		VSUBPS(round, t, r)
		VFMSUB231PS(y, x, r)
		if lo != nil {
			VFMADD231PS(lo, x, r)
		}
		horner(terms, r, p)
		VPSLLD(Imm(23), t, t)
		VMULPS(t, p, p)
		return p
	}
}
