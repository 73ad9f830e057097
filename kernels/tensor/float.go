package tensor

import "math"

// A format describes a small binary floating-point type.
type format struct {
	exponent, mantissa int
	infinite           bool // has infinities; otherwise the largest code is NaN and overflow saturates
}

var (
	binary16 = format{exponent: 5, mantissa: 10, infinite: true}
	bfloat16 = format{exponent: 8, mantissa: 7, infinite: true}
	e4m3     = format{exponent: 4, mantissa: 3}
)

// encode rounds x to the nearest value of the format, ties to the even mantissa.
func (f format) encode(x float64) uint16 {
	sign := uint16(0)
	if math.Signbit(x) {
		sign = 1 << (f.exponent + f.mantissa)
	}
	limit := uint64(1)<<(f.exponent+f.mantissa) - 1 // the code of all ones: NaN
	overflow := limit - 1                           // largest finite value of a format without infinities
	if f.infinite {
		overflow = limit &^ (1<<f.mantissa - 1)
	}
	switch {
	case x != x:
		return sign | uint16(limit)
	case math.IsInf(x, 0):
		return sign | uint16(overflow)
	case x == 0:
		return sign
	}
	bias := 1<<(f.exponent-1) - 1
	_, e := math.Frexp(x) // 2^(e-1) <= |x| < 2^e
	e = max(e-1, 1-bias)  // below the smallest normal the exponent stays and leading zeros appear
	steps := math.RoundToEven(math.Ldexp(math.Abs(x), f.mantissa-e))
	code := uint64(steps) // a subnormal, or a normal with its implicit one
	if code >= 1<<f.mantissa {
		code += uint64(e+bias-1) << f.mantissa
	}
	return sign | uint16(min(code, overflow))
}

// decode is exact.
func (f format) decode(code uint16) float64 {
	exponent := int(code>>f.mantissa) & (1<<f.exponent - 1)
	mantissa := int(code) & (1<<f.mantissa - 1)
	bias := 1<<(f.exponent-1) - 1
	top := exponent == 1<<f.exponent-1
	var x float64
	switch {
	case top && f.infinite && mantissa == 0:
		x = math.Inf(1)
	case top && (f.infinite || mantissa == 1<<f.mantissa-1):
		x = math.NaN()
	case exponent == 0:
		x = math.Ldexp(float64(mantissa), 1-bias-f.mantissa)
	default:
		x = math.Ldexp(float64(mantissa|1<<f.mantissa), exponent-bias-f.mantissa)
	}
	if code>>(f.exponent+f.mantissa)&1 == 1 {
		x = -x
	}
	return x
}

// ToF16 rounds x to binary16, to nearest, ties to even. A float32 argument is exact in float64, so it is rounded once.
func ToF16(x float64) uint16 { return binary16.encode(x) }

// ToBF16 rounds x to bfloat16, to nearest, ties to even.
func ToBF16(x float64) uint16 { return bfloat16.encode(x) }

// ToE4M3 rounds x to E4M3, to nearest, ties to even. Values beyond ±448, infinities included, become ±448, as PTX's
// cvt.rn.satfinite does.
func ToE4M3(x float64) uint8 {
	code := e4m3.encode(x)
	return uint8(code)
}

// FromF16 widens a binary16; it is exact.
func FromF16(code uint16) float32 {
	sign := uint32(code&0x8000) << 16
	switch exponent, mantissa := uint32(code>>10)&0x1f, uint32(code)&0x3ff; exponent {
	case 0:
		x := float32(mantissa) * 0x1p-24
		return math.Float32frombits(sign | math.Float32bits(x))
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | mantissa<<13)
	default:
		return math.Float32frombits(sign | (exponent+112)<<23 | mantissa<<13)
	}
}

// FromBF16 widens a bfloat16; it is exact.
func FromBF16(code uint16) float32 { return math.Float32frombits(uint32(code) << 16) }

// FromE4M3 widens an E4M3; it is exact.
func FromE4M3(code uint8) float32 { return float32(e4m3.decode(uint16(code))) }
