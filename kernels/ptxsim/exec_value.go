package ptxsim

import (
	"math"
	"math/bits"

	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// A value computes one register from up to four others, in all 32 lanes; lanes that do not take part are computed too
// and dropped. It must not fault.
type value func(d, a, b, c, e *lanes)

var noLanes lanes

func runValue(w *warp, i *inst, active uint32) {
	s := [4]*lanes{&noLanes, &noLanes, &noLanes, &noLanes}
	for n, r := range i.args {
		s[n] = &w.reg[r]
	}
	d := &w.reg[i.dst[0]]
	if active == allLanes {
		i.value(d, s[0], s[1], s[2], s[3])
		return
	}
	i.value(&w.scratch, s[0], s[1], s[2], s[3])
	for m := active; m != 0; m &= m - 1 {
		l := bits.TrailingZeros32(m)
		d[l] = w.scratch[l]
	}
}

// canonicalNaN is the only NaN that f32 instructions give.
const canonicalNaN = 0x7fffffff

// f is lane l as a float.
func f(x *lanes, l int) float32 { return math.Float32frombits(uint32(x[l])) }

// fbits is a lane's bits of x.
func fbits(x float32) uint64 {
	if x != x {
		return canonicalNaN
	}
	return uint64(math.Float32bits(x))
}

// The lane loops below are inlined with the function that they are given.

func word1(d, a *lanes, op func(x uint32) uint32) {
	for l := range d {
		d[l] = uint64(op(uint32(a[l])))
	}
}

func word2(d, a, b *lanes, op func(x, y uint32) uint32) {
	for l := range d {
		d[l] = uint64(op(uint32(a[l]), uint32(b[l])))
	}
}

func word3(d, a, b, c *lanes, op func(x, y, z uint32) uint32) {
	for l := range d {
		d[l] = uint64(op(uint32(a[l]), uint32(b[l]), uint32(c[l])))
	}
}

func long2(d, a, b *lanes, op func(x, y uint64) uint64) {
	for l := range d {
		d[l] = op(a[l], b[l])
	}
}

func long3(d, a, b, c *lanes, op func(x, y, z uint64) uint64) {
	for l := range d {
		d[l] = op(a[l], b[l], c[l])
	}
}

func float1(d, a *lanes, op func(x float32) float32) {
	for l := range d {
		d[l] = fbits(op(f(a, l)))
	}
}

func float2(d, a, b *lanes, op func(x, y float32) float32) {
	for l := range d {
		d[l] = fbits(op(f(a, l), f(b, l)))
	}
}

func move(d, a, _, _, _ *lanes) { *d = *a }
func and(d, a, b, _, _ *lanes)  { long2(d, a, b, func(x, y uint64) uint64 { return x & y }) }
func or(d, a, b, _, _ *lanes)   { long2(d, a, b, func(x, y uint64) uint64 { return x | y }) }
func xor(d, a, b, _, _ *lanes)  { long2(d, a, b, func(x, y uint64) uint64 { return x ^ y }) }

// values holds the instructions that compute one register from others and cannot fault.
var values = map[string]value{
	"cvta.to.global.u64": move,
	"prmt.b32":           func(d, a, b, c, _ *lanes) { word3(d, a, b, c, permute) },

	// Integers.
	"add.u32":    func(d, a, b, _, _ *lanes) { word2(d, a, b, func(x, y uint32) uint32 { return x + y }) },
	"add.u64":    func(d, a, b, _, _ *lanes) { long2(d, a, b, func(x, y uint64) uint64 { return x + y }) },
	"sub.u32":    func(d, a, b, _, _ *lanes) { word2(d, a, b, func(x, y uint32) uint32 { return x - y }) },
	"sub.u64":    func(d, a, b, _, _ *lanes) { long2(d, a, b, func(x, y uint64) uint64 { return x - y }) },
	"mul.lo.u32": func(d, a, b, _, _ *lanes) { word2(d, a, b, func(x, y uint32) uint32 { return x * y }) },
	"mul.lo.u64": func(d, a, b, _, _ *lanes) { long2(d, a, b, func(x, y uint64) uint64 { return x * y }) },
	"mul.hi.u32": func(d, a, b, _, _ *lanes) { long2(d, a, b, func(x, y uint64) uint64 { return x * y >> 32 }) },
	"mul.hi.s32": func(d, a, b, _, _ *lanes) {
		long2(d, a, b, func(x, y uint64) uint64 { return uint64(uint32(wide(x, y) >> 32)) })
	},
	"mul.wide.u32": func(d, a, b, _, _ *lanes) { long2(d, a, b, func(x, y uint64) uint64 { return x * y }) },
	"mul.wide.s32": func(d, a, b, _, _ *lanes) { long2(d, a, b, func(x, y uint64) uint64 { return wide(x, y) }) },
	"mad.lo.u32":   func(d, a, b, c, _ *lanes) { word3(d, a, b, c, func(x, y, z uint32) uint32 { return x*y + z }) },
	"mad.wide.u32": func(d, a, b, c, _ *lanes) { long3(d, a, b, c, func(x, y, z uint64) uint64 { return x*y + z }) },
	"mad.wide.s32": func(d, a, b, c, _ *lanes) { long3(d, a, b, c, func(x, y, z uint64) uint64 { return wide(x, y) + z }) },
	"min.u32":      func(d, a, b, _, _ *lanes) { word2(d, a, b, func(x, y uint32) uint32 { return min(x, y) }) },
	"max.u32":      func(d, a, b, _, _ *lanes) { word2(d, a, b, func(x, y uint32) uint32 { return max(x, y) }) },
	"min.s32": func(d, a, b, _, _ *lanes) {
		word2(d, a, b, func(x, y uint32) uint32 { return uint32(min(int32(x), int32(y))) })
	},
	"max.s32": func(d, a, b, _, _ *lanes) {
		word2(d, a, b, func(x, y uint32) uint32 { return uint32(max(int32(x), int32(y))) })
	},
	"neg.s32": func(d, a, _, _, _ *lanes) { word1(d, a, func(x uint32) uint32 { return -x }) },
	"abs.s32": func(d, a, _, _, _ *lanes) {
		word1(d, a, func(x uint32) uint32 { return uint32(max(int32(x), -int32(x))) })
	},
	"dp4a.u32.u32": func(d, a, b, c, _ *lanes) { word3(d, a, b, c, dotU8) },
	"dp4a.s32.s32": func(d, a, b, c, _ *lanes) { word3(d, a, b, c, dotS8) },

	// Bits. Shifts by the width or more give what shifting bit by bit gives.
	"and.b32": and,
	"and.b64": and,
	"or.b32":  or,
	"or.b64":  or,
	"xor.b32": xor,
	"xor.b64": xor,
	"not.b32": func(d, a, _, _, _ *lanes) { word1(d, a, func(x uint32) uint32 { return ^x }) },
	"not.b64": func(d, a, _, _, _ *lanes) { long2(d, a, a, func(x, _ uint64) uint64 { return ^x }) },
	"shl.b32": func(d, a, b, _, _ *lanes) { word2(d, a, b, func(x, y uint32) uint32 { return x << y }) },
	"shl.b64": func(d, a, b, _, _ *lanes) { long2(d, a, b, func(x, y uint64) uint64 { return x << y }) },
	"shr.u32": func(d, a, b, _, _ *lanes) { word2(d, a, b, func(x, y uint32) uint32 { return x >> y }) },
	"shr.s32": func(d, a, b, _, _ *lanes) { word2(d, a, b, func(x, y uint32) uint32 { return uint32(int32(x) >> y) }) },
	"shr.u64": func(d, a, b, _, _ *lanes) { long2(d, a, b, func(x, y uint64) uint64 { return x >> y }) },
	"bfe.u32": func(d, a, b, c, _ *lanes) {
		long3(d, a, b, c, func(x, y, z uint64) uint64 { return x >> (y & 255) & lowBits(z) })
	},
	"bfe.s32": func(d, a, b, c, _ *lanes) { long3(d, a, b, c, extractSigned) },
	"bfi.b32": insertBits,

	// Floats.
	"add.rn.f32":  func(d, a, b, _, _ *lanes) { float2(d, a, b, func(x, y float32) float32 { return x + y }) },
	"sub.rn.f32":  func(d, a, b, _, _ *lanes) { float2(d, a, b, func(x, y float32) float32 { return x - y }) },
	"mul.rn.f32":  func(d, a, b, _, _ *lanes) { float2(d, a, b, func(x, y float32) float32 { return x * y }) },
	"fma.rn.f32":  fma,
	"min.f32":     func(d, a, b, _, _ *lanes) { float2(d, a, b, func(x, y float32) float32 { return minNum(x, y) }) },
	"max.f32":     func(d, a, b, _, _ *lanes) { float2(d, a, b, func(x, y float32) float32 { return maxNum(x, y) }) },
	"min.NaN.f32": func(d, a, b, _, _ *lanes) { float2(d, a, b, func(x, y float32) float32 { return min(x, y) }) },
	"max.NaN.f32": func(d, a, b, _, _ *lanes) { float2(d, a, b, func(x, y float32) float32 { return max(x, y) }) },
	"neg.f32":     func(d, a, _, _, _ *lanes) { float1(d, a, func(x float32) float32 { return -x }) },
	"abs.f32": func(d, a, _, _, _ *lanes) {
		float1(d, a, func(x float32) float32 { return float32(math.Abs(float64(x))) })
	},
	"copysign.f32": func(d, a, b, _, _ *lanes) { word2(d, a, b, func(x, y uint32) uint32 { return x&(1<<31) | y&^(1<<31) }) },
	"div.rn.f32":   func(d, a, b, _, _ *lanes) { float2(d, a, b, func(x, y float32) float32 { return x / y }) },
	"rcp.rn.f32":   func(d, a, _, _, _ *lanes) { float1(d, a, func(x float32) float32 { return 1 / x }) },
	"sqrt.rn.f32": func(d, a, _, _, _ *lanes) {
		float1(d, a, func(x float32) float32 { return float32(math.Sqrt(float64(x))) })
	},

	// Pairs of halves, computed exactly enough in float64 that the one rounding to 16 bits is the right one.
	"add.rn.f16x2":  half.pairs(func(x, y, _ float64) float64 { return x + y }),
	"sub.rn.f16x2":  half.pairs(func(x, y, _ float64) float64 { return x - y }),
	"mul.rn.f16x2":  half.pairs(func(x, y, _ float64) float64 { return x * y }),
	"fma.rn.f16x2":  half.pairs(fmaOdd),
	"fma.rn.bf16x2": brain.pairs(fmaOdd),
	"min.f16x2":     half.pairs(func(x, y, _ float64) float64 { return minNum(x, y) }),
	"max.f16x2":     half.pairs(func(x, y, _ float64) float64 { return maxNum(x, y) }),
	"min.bf16x2":    brain.pairs(func(x, y, _ float64) float64 { return minNum(x, y) }),
	"max.bf16x2":    brain.pairs(func(x, y, _ float64) float64 { return maxNum(x, y) }),

	// Conversions. Floats beyond an integer type's range become its nearest end, NaN becomes 0.
	"cvt.u64.u32":    move,
	"cvt.s64.s32":    func(d, a, _, _, _ *lanes) { long2(d, a, a, func(x, _ uint64) uint64 { return uint64(int32(x)) }) },
	"cvt.u32.u64":    func(d, a, _, _, _ *lanes) { word1(d, a, func(x uint32) uint32 { return x }) },
	"cvt.u32.u16":    move,
	"cvt.u16.u32":    func(d, a, _, _, _ *lanes) { word1(d, a, func(x uint32) uint32 { return uint32(uint16(x)) }) },
	"cvt.rn.f32.u32": func(d, a, _, _, _ *lanes) { word1(d, a, func(x uint32) uint32 { return math.Float32bits(float32(x)) }) },
	"cvt.rn.f32.s32": func(d, a, _, _, _ *lanes) {
		word1(d, a, func(x uint32) uint32 { return math.Float32bits(float32(int32(x))) })
	},
	"cvt.rni.u32.f32":    toInteger(math.RoundToEven, 0, math.MaxUint32),
	"cvt.rzi.u32.f32":    toInteger(math.Trunc, 0, math.MaxUint32),
	"cvt.rmi.u32.f32":    toInteger(math.Floor, 0, math.MaxUint32),
	"cvt.rpi.u32.f32":    toInteger(math.Ceil, 0, math.MaxUint32),
	"cvt.rni.s32.f32":    toInteger(math.RoundToEven, math.MinInt32, math.MaxInt32),
	"cvt.rzi.s32.f32":    toInteger(math.Trunc, math.MinInt32, math.MaxInt32),
	"cvt.rmi.s32.f32":    toInteger(math.Floor, math.MinInt32, math.MaxInt32),
	"cvt.rpi.s32.f32":    toInteger(math.Ceil, math.MinInt32, math.MaxInt32),
	"cvt.rni.sat.u8.f32": toInteger(math.RoundToEven, 0, math.MaxUint8),
	"cvt.rni.sat.s8.f32": toInteger(math.RoundToEven, math.MinInt8, math.MaxInt8),
	"cvt.rni.f32.f32": func(d, a, _, _, _ *lanes) {
		float1(d, a, func(x float32) float32 { return float32(math.RoundToEven(float64(x))) })
	},
	"cvt.rzi.f32.f32": func(d, a, _, _, _ *lanes) {
		float1(d, a, func(x float32) float32 { return float32(math.Trunc(float64(x))) })
	},
	"cvt.rmi.f32.f32": func(d, a, _, _, _ *lanes) {
		float1(d, a, func(x float32) float32 { return float32(math.Floor(float64(x))) })
	},
	"cvt.rpi.f32.f32": func(d, a, _, _, _ *lanes) {
		float1(d, a, func(x float32) float32 { return float32(math.Ceil(float64(x))) })
	},
	"cvt.sat.f32.f32": func(d, a, _, _, _ *lanes) { float1(d, a, func(x float32) float32 { return minNum(maxNum(x, 0), 1) }) },
	"cvt.f32.f16": func(d, a, _, _, _ *lanes) {
		word1(d, a, func(x uint32) uint32 { return uint32(fbits(tensor.FromF16(uint16(x)))) })
	},
	"cvt.rn.f16.f32":  func(d, a, _, _, _ *lanes) { word1(d, a, func(x uint32) uint32 { return toF16(x) }) },
	"cvt.rn.bf16.f32": func(d, a, _, _, _ *lanes) { word1(d, a, func(x uint32) uint32 { return toBF16(x) }) },
	"cvt.rn.f16x2.f32": func(d, a, b, _, _ *lanes) {
		word2(d, a, b, func(x, y uint32) uint32 { return toF16(x)<<16 | toF16(y) })
	},
	"cvt.rn.bf16x2.f32": func(d, a, b, _, _ *lanes) {
		word2(d, a, b, func(x, y uint32) uint32 { return toBF16(x)<<16 | toBF16(y) })
	},
	"cvt.rn.satfinite.e4m3x2.f32": func(d, a, b, _, _ *lanes) {
		word2(d, a, b, func(x, y uint32) uint32 { return toE4M3(x)<<8 | toE4M3(y) })
	},
	"cvt.rna.tf32.f32":        func(d, a, _, _, _ *lanes) { word1(d, a, func(x uint32) uint32 { return toTF32(x) }) },
	"cvt.pack.sat.u8.s32.b32": func(d, a, b, c, _ *lanes) { word3(d, a, b, c, packU8) },
	"cvt.pack.sat.s8.s32.b32": func(d, a, b, c, _ *lanes) { word3(d, a, b, c, packS8) },
}

// wide is the 64-bit product of two s32.
func wide(x, y uint64) uint64 { return uint64(int64(int32(x)) * int64(int32(y))) }

// permute picks bytes of b and a, a's first: each nibble of how selects one with its low three bits; with the fourth set, the byte's sign
// bit fills the result's byte.
func permute(a, b, how uint32) uint32 {
	x := uint64(a) | uint64(b)<<32
	var d uint32
	for n := 0; n < 32; n += 8 {
		y := uint8(x >> (8 * (how & 7)))
		if how&8 != 0 {
			y = uint8(int8(y) >> 7)
		}
		d |= uint32(y) << n
		how >>= 4
	}
	return d
}

// dotU8 is dp4a.u32.u32.
func dotU8(a, b, c uint32) uint32 {
	for n := 0; n < 32; n += 8 {
		c += uint32(uint8(a>>n)) * uint32(uint8(b>>n))
	}
	return c
}

// dotS8 is dp4a.s32.s32.
func dotS8(a, b, c uint32) uint32 {
	for n := 0; n < 32; n += 8 {
		c += uint32(int32(int8(a>>n)) * int32(int8(b>>n)))
	}
	return c
}

// lowBits is a mask of n&255 bits, 32 at most.
func lowBits(n uint64) uint64 { return 1<<min(n&255, 32) - 1 }

// extractSigned is bfe.s32: a field of n bits at pos, filled above with its top bit, or with a's if the field reaches
// beyond a.
func extractSigned(a, pos, n uint64) uint64 {
	n &= 255
	if n == 0 {
		return 0
	}
	x := int64(int32(a)) >> min(pos&255, 63) // bits beyond a are a's sign
	shift := 64 - min(n, 64)
	return uint64(uint32(x << shift >> shift))
}

// insertBits is bfi.b32: the low n bits of a in place of those of b at pos.
func insertBits(d, a, b, pos, n *lanes) {
	for l := range d {
		mask := lowBits(n[l]) << (pos[l] & 255) & math.MaxUint32
		d[l] = a[l]<<(pos[l]&255)&mask | b[l]&^mask
	}
}

// minNum is the lesser, the other if one is NaN; -0 is less than 0.
func minNum[T float32 | float64](x, y T) T {
	switch {
	case x != x:
		return y
	case y != y:
		return x
	}
	return min(x, y)
}

// maxNum is the greater, the other if one is NaN.
func maxNum[T float32 | float64](x, y T) T {
	switch {
	case x != x:
		return y
	case y != y:
		return x
	}
	return max(x, y)
}

// fma is a*b+c, rounded once. The product is exact in float64; only where the sum is a tie of float32, or subnormal there,
// does it matter that it is rounded before.
func fma(d, a, b, c, _ *lanes) {
	const tie, below = 1 << 28, 1<<29 - 1
	for l := range d {
		x, y, z := float64(f(a, l)), float64(f(b, l)), float64(f(c, l))
		sum := x*y + z
		bits := math.Float64bits(sum)
		if exponent := bits >> 52 & 0x7ff; bits&below == tie || exponent < 1023-126 && sum != 0 {
			sum = fmaOdd(x, y, z)
		}
		d[l] = fbits(float32(sum))
	}
}

// fmaOdd is a*b+c, where a*b is exact, rounded to odd: if it is inexact, the last bit of the result is set. Rounding
// that to half as many bits is rounding once (Boldo and Melquiond 2008, Emulation of FMA and correctly rounded sums,
// doi:10.1109/TC.2007.70819).
func fmaOdd(a, b, c float64) float64 {
	p := a * b
	sum := p + c
	t := sum - p
	lost := (p - (sum - t)) + (c - t)
	x := math.Float64bits(sum)
	if lost == 0 || lost != lost || x&1 == 1 {
		return sum
	}
	if math.Signbit(lost) == math.Signbit(sum) {
		return math.Float64frombits(x + 1)
	}
	return math.Float64frombits(x - 1)
}

// A halfFormat is a 16-bit float.
type halfFormat struct {
	from func(uint16) float32
	to   func(float64) uint16
}

var (
	half  = halfFormat{tensor.FromF16, tensor.ToF16}
	brain = halfFormat{tensor.FromBF16, tensor.ToBF16}
)

// canonicalHalfNaN is the only NaN that instructions on f16 and bf16 give.
const canonicalHalfNaN = 0x7fff

// pairs returns the value that op gives for both halves of each lane.
func (h halfFormat) pairs(op func(x, y, z float64) float64) value {
	return func(d, a, b, c, _ *lanes) {
		for l := range d {
			var pair uint64
			for n := 0; n < 32; n += 16 {
				at := func(x *lanes) float64 { return float64(h.from(uint16(x[l] >> n))) }
				pair |= uint64(h.round(op(at(a), at(b), at(c)))) << n
			}
			d[l] = pair
		}
	}
}

func (h halfFormat) round(x float64) uint16 {
	if x != x {
		return canonicalHalfNaN
	}
	return h.to(x)
}

func toF16(x uint32) uint32  { return uint32(half.round(float64(math.Float32frombits(x)))) }
func toBF16(x uint32) uint32 { return uint32(brain.round(float64(math.Float32frombits(x)))) }

func toE4M3(b uint32) uint32 {
	x := math.Float32frombits(b)
	if x != x {
		return 0x7f
	}
	return uint32(tensor.ToE4M3(float64(x)))
}

// tf32Dropped are the bits of an f32 that tf32 does not have.
const tf32Dropped = 1<<13 - 1

// toTF32 rounds to nearest, ties away from zero.
func toTF32(b uint32) uint32 {
	switch x := math.Float32frombits(b); {
	case x != x:
		return canonicalNaN
	case math.IsInf(float64(x), 0):
		return b
	}
	return (b + (tf32Dropped+1)/2) &^ tf32Dropped
}

// toInteger converts floats to integers of the range from lo to hi, in 32 bits.
func toInteger(round func(float64) float64, lo, hi float64) value {
	return func(d, a, _, _, _ *lanes) {
		for l := range d {
			x := round(float64(f(a, l)))
			if x != x {
				x = 0
			}
			d[l] = uint64(uint32(int64(min(max(x, lo), hi))))
		}
	}
}

// packU8 and packS8 are cvt.pack.sat: a and b, saturated, as bytes 1 and 0 below the low half of c.

func packU8(a, b, c uint32) uint32 {
	at := func(x uint32) uint32 { return uint32(min(max(int32(x), 0), math.MaxUint8)) }
	return c<<16 | at(a)<<8 | at(b)
}

func packS8(a, b, c uint32) uint32 {
	at := func(x uint32) uint32 { return uint32(uint8(min(max(int32(x), math.MinInt8), math.MaxInt8))) }
	return c<<16 | at(a)<<8 | at(b)
}

// buildLop3 is any logic function of three operands, bit by bit: bit 4x+2y+z of the constant is its value for x, y, z.
func buildLop3(_ *loader, i *inst, _ *ptx.Op) error {
	table := i.imm[0]
	i.run, i.value = runValue, func(d, a, b, c, _ *lanes) {
		for l := range d {
			var x uint64
			for n := range 8 {
				if table>>n&1 != 0 {
					x |= bitsAre(a[l], n&4) & bitsAre(b[l], n&2) & bitsAre(c[l], n&1)
				}
			}
			d[l] = uint64(uint32(x))
		}
	}
	return nil
}

// bitsAre has a one where x has a one, or, for ones equal to 0, a zero.
func bitsAre(x uint64, ones int) uint64 {
	if ones != 0 {
		return x
	}
	return ^x
}
