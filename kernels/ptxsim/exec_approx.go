package ptxsim

import (
	"math"
	"math/bits"
)

// An approximation is an instruction that the manual defines up to an error. The interpreter computes the value in
// float64 and moves it by an error within the bound that depends on the seed and the operands only: as on a GPU, the
// same operands give the same result.
type approximation struct {
	of    func(x, y float64) float64
	bound float64 // of the relative error, the final rounding included
	// absolute, if not 0, is the bound of the absolute error where the argument is between 1/2 and 2.
	absolute float64
	ftz      bool // subnormal operands and results are zeros
	half     bool // on pairs of f16
}

// Bounds are those of the PTX manual, section Floating Point Instructions, of each instruction.
var (
	approxRcp   = approximation{of: func(x, _ float64) float64 { return 1 / x }, bound: 0x1p-23}
	approxSqrt  = approximation{of: func(x, _ float64) float64 { return math.Sqrt(x) }, bound: 0x1p-23}
	approxRsqrt = approximation{of: func(x, _ float64) float64 { return 1 / math.Sqrt(x) }, bound: 0x1.125p-23} // 2^-22.9
	approxEx2   = approximation{of: func(x, _ float64) float64 { return math.Exp2(x) }, bound: 0x1p-22}
	approxLg2   = approximation{of: func(x, _ float64) float64 { return math.Log2(x) }, bound: 0x1p-22, absolute: 0x1p-22}
	approxTanh  = approximation{of: func(x, _ float64) float64 { return math.Tanh(x) }, bound: 0x1p-11}
	approxDiv   = approximation{of: func(x, y float64) float64 { return x / y }, bound: 0x1p-23} // 2 ulp are 2^-23 to 2^-22

	// 2^-9.9
	approxEx2Half = approximation{of: func(x, _ float64) float64 { return math.Exp2(x) }, bound: 0x1.125p-10, half: true}
)

var approximations = map[string]*approximation{
	"rcp.approx.f32":       &approxRcp,
	"rcp.approx.ftz.f32":   approxRcp.flushed(),
	"sqrt.approx.f32":      &approxSqrt,
	"sqrt.approx.ftz.f32":  approxSqrt.flushed(),
	"rsqrt.approx.f32":     &approxRsqrt,
	"rsqrt.approx.ftz.f32": approxRsqrt.flushed(),
	"ex2.approx.f32":       &approxEx2,
	"ex2.approx.ftz.f32":   approxEx2.flushed(),
	"ex2.approx.f16x2":     &approxEx2Half,
	"lg2.approx.f32":       &approxLg2,
	"lg2.approx.ftz.f32":   approxLg2.flushed(),
	"tanh.approx.f32":      &approxTanh,
	"div.full.f32":         &approxDiv,
}

func (a approximation) flushed() *approximation {
	a.ftz = true
	return &a
}

func runApprox(w *warp, i *inst, active uint32) {
	a := i.approx
	d, x := &w.reg[i.dst[0]], &w.reg[i.args[0]]
	y := x
	if len(i.args) > 1 {
		y = &w.reg[i.args[1]]
	}
	for m := active; m != 0; m &= m - 1 {
		l := bits.TrailingZeros32(m)
		if a.half {
			lo, hi := half.from(uint16(x[l])), half.from(uint16(x[l]>>16))
			d[l] = uint64(half.round(a.eval(w.Launch, lo, 0, halfRounding))) | uint64(half.round(a.eval(w.Launch, hi, 0, halfRounding)))<<16
			continue
		}
		d[l] = fbits(a.flush(float32(a.eval(w.Launch, a.flush(f(x, l)), a.flush(f(y, l)), floatRounding))))
	}
}

// The largest relative errors of rounding to f32 and f16.
const (
	floatRounding = 0x1p-24
	halfRounding  = 0x1p-11
)

// eval returns the value with its error, of which it leaves a part to the rounding of the result.
func (a *approximation) eval(how *Launch, x, y float32, rounding float64) float64 {
	z := a.of(float64(x), float64(y))
	if how.Exact || z == 0 || math.IsInf(z, 0) || z != z || x == 0 {
		return z
	}
	e := errorOf(how.Seed, math.Float32bits(x), math.Float32bits(y))
	if a.absolute != 0 && 0.5 <= x && x <= 2 {
		return z + e*(a.absolute-math.Abs(z)*rounding)
	}
	return z * (1 + e*(a.bound-rounding))
}

func (a *approximation) flush(x float32) float32 {
	if a.ftz && math.Abs(float64(x)) < 0x1p-126 {
		return float32(math.Copysign(0, float64(x)))
	}
	return x
}

// errorOf returns a number between -1 and 1 from a hash of the seed and the operands' bits (the finaliser of MurmurHash3).
func errorOf(seed uint64, x, y uint32) float64 {
	h := seed*0x9e3779b97f4a7c15 ^ uint64(x)<<32 ^ uint64(y)
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return float64(int64(h)) * 0x1p-63
}
