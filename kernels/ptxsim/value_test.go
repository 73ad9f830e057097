package ptxsim

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strings"
	"testing"

	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// eval executes one instruction in 32 lanes: srcs[k][l] is source k of lane l, imm is appended to the operands.
func eval(t testing.TB, l Launch, name, imm string, srcs ...[32]uint64) [32]uint64 {
	t.Helper()
	op := opByName(t, name, 0)
	var body strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&body, format+";\n", args...) }
	line("mul.wide.u32 %%rd5, %%r0, 8")
	line("add.u64 %%rd6, %%rd0, %%rd5")
	line("add.u64 %%rd7, %%rd1, %%rd5")
	names := []string{}
	for n, a := range op.Args {
		if a.Kind == ptx.KindInt {
			continue
		}
		r := registerOf(a.Type, 10+n)
		names = append(names, r.String())
		if a.Write {
			continue
		}
		line("ld.global.b64 %%rd8, [%%rd6+%d]", 256*(n-1))
		line("cvt.u32.u64 %%r1, %%rd8")
		switch r.Class {
		case ptx.RegPred:
			line("setp.ne.u32 %v, %%r1, 0", r)
		case ptx.RegB16:
			line("cvt.u16.u32 %v, %%r1", r)
		case ptx.RegB64:
			line("mov.b64 %v, %%rd8", r)
		default:
			line("mov.b32 %v, %%r1", r)
		}
	}
	line("%s %s", name, strings.Join(names, ", ")+imm)
	switch r := registerOf(op.Args[0].Type, 10); r.Class {
	case ptx.RegPred:
		line("selp.b64 %%rd9, 1, 0, %v", r)
	case ptx.RegB16:
		line("cvt.u32.u16 %%r1, %v", r)
		line("cvt.u64.u32 %%rd9, %%r1")
	case ptx.RegB64:
		line("mov.b64 %%rd9, %v", r)
	default:
		line("mov.b32 %%r1, %v", r)
		line("cvt.u64.u32 %%rd9, %%r1")
	}
	line("st.global.b64 [%%rd7], %%rd9")

	p := program(t, kernelText("", body.String()))
	mem := NewMemory()
	a, b := mem.Alloc("a", 256*max(1, len(srcs))), mem.Alloc("b", 256)
	for k, src := range srcs {
		for lane, x := range src {
			if err := mem.Write(a+uint64(256*k+8*lane), binary.LittleEndian.AppendUint64(nil, x)); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.Kernel, l.Grid, l.Block, l.Params, l.Workers = "k", [3]int{1, 1, 1}, [3]int{32, 1, 1}, []uint64{a, b}, 1
	if _, err := p.Launch(mem, l); err != nil {
		t.Fatal(err)
	}
	out := make([]byte, 256)
	if err := mem.Read(b, out); err != nil {
		t.Fatal(err)
	}
	var d [32]uint64
	for lane := range d {
		d[lane] = binary.LittleEndian.Uint64(out[8*lane:])
	}
	return d
}

// Values on which instructions tend to go wrong.
var (
	edgeInts = []uint64{0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 127, 128, 255, 256, 0x7fff, 0x8000, 0xffff, 0x10000, 0x12345678,
		0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff}
	edgeFloats = func() []uint64 {
		var all []uint64
		for _, x := range []float32{0, 1, 1.5, 2, 2.5, 3, 0.1, 0.5, 127.5, 128.5, 254.5, 255.5, 448, 449, 65504, 65520, 1e9, 2147483648,
			4294967296, 1e30, math.MaxFloat32, 0x1p-126, 0x1p-127, math.SmallestNonzeroFloat32, float32(math.Inf(1))} {
			all = append(all, uint64(math.Float32bits(x)), uint64(math.Float32bits(-x)))
		}
		return append(all, 0x7fffffff, 0xffc00001, 0x3f801000, 0x3f803000)
	}()
	edgeHalves = []uint64{0, 0x8000, 1, 0x8001, 0x03ff, 0x0400, 0x3c00, 0xbc00, 0x3c01, 0x3555, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00,
		0x4248, 0xc500, 0x3f80, 0xbf80, 0x7f80, 0x7fc0, 0x0080}
)

// check compares an instruction with want over combinations of edge values, by operand: from[k] are those of source k.
func check(t *testing.T, name, imm string, want func(x [4]uint64) uint64, from ...[]uint64) {
	t.Helper()
	tested[name] = true
	var batch [4][32]uint64
	n := 0
	flush := func() {
		d := eval(t, Launch{}, name, imm, batch[:len(from)]...)
		for l := range n {
			x := [4]uint64{batch[0][l], batch[1][l], batch[2][l], batch[3][l]}
			if w := want(x); d[l] != w {
				t.Fatalf("%s%s of %#x = %#x, want %#x", name, imm, x[:len(from)], d[l], w)
			}
		}
		n = 0
	}
	total := 1
	for _, f := range from {
		total *= len(f)
	}
	// All pairs; of triples and quadruples a sample whose stride is a prime.
	step := 1
	if total > 4096 {
		step = 97
	}
	for i := 0; i < total; i += step {
		rest := i
		for k, f := range from {
			batch[k][n] = f[rest%len(f)]
			rest /= len(f)
		}
		if n++; n == 32 {
			flush()
		}
	}
	if n > 0 {
		flush()
	}
}

// tested collects the names that check evaluates.
var tested = map[string]bool{}

func TestValues(t *testing.T) {
	testIntegers(t)
	testBits(t)
	testCompareAndSelect(t)
	testFloats(t)
	testConversions(t)
	testHalfPairs(t)
	for name := range values {
		if !tested[name] {
			t.Errorf("no test evaluates %s", name)
		}
	}
}

func fl(x uint64) float32 { return math.Float32frombits(uint32(x)) }

func testIntegers(t *testing.T) {
	i, long := edgeInts, append([]uint64{1 << 32, 1 << 63, math.MaxUint64}, edgeInts...)
	u32 := func(name string, f func(a, b, c uint32) uint32, n int) {
		t.Helper()
		check(t, name, "", func(x [4]uint64) uint64 { return uint64(f(uint32(x[0]), uint32(x[1]), uint32(x[2]))) }, [][]uint64{i, i, i}[:n]...)
	}
	s32 := func(name string, f func(a, b int32) int32, n int) {
		t.Helper()
		u32(name, func(a, b, _ uint32) uint32 { return uint32(f(int32(a), int32(b))) }, n)
	}
	u64 := func(name string, f func(x [4]uint64) uint64, from ...[]uint64) {
		t.Helper()
		check(t, name, "", f, from...)
	}
	signed := func(x uint64) int64 { return int64(int32(x)) }

	u32("add.u32", func(a, b, _ uint32) uint32 { return a + b }, 2)
	u32("sub.u32", func(a, b, _ uint32) uint32 { return a - b }, 2)
	u32("mul.lo.u32", func(a, b, _ uint32) uint32 { return a * b }, 2)
	u32("mul.hi.u32", func(a, b, _ uint32) uint32 { hi, _ := bits.Mul32(a, b); return hi }, 2)
	s32("mul.hi.s32", func(a, b int32) int32 { return int32(int64(a) * int64(b) >> 32) }, 2)
	u32("mad.lo.u32", func(a, b, c uint32) uint32 { return a*b + c }, 3)
	u32("min.u32", func(a, b, _ uint32) uint32 { return min(a, b) }, 2)
	u32("max.u32", func(a, b, _ uint32) uint32 { return max(a, b) }, 2)
	s32("min.s32", func(a, b int32) int32 { return min(a, b) }, 2)
	s32("max.s32", func(a, b int32) int32 { return max(a, b) }, 2)
	s32("neg.s32", func(a, _ int32) int32 { return -a }, 1)
	s32("abs.s32", func(a, _ int32) int32 {
		if a < 0 {
			return -a
		}
		return a
	}, 1)
	u64("add.u64", func(x [4]uint64) uint64 { return x[0] + x[1] }, long, long)
	u64("sub.u64", func(x [4]uint64) uint64 { return x[0] - x[1] }, long, long)
	u64("mul.lo.u64", func(x [4]uint64) uint64 { return x[0] * x[1] }, long, long)
	u64("mul.wide.u32", func(x [4]uint64) uint64 { return x[0] * x[1] }, i, i)
	u64("mul.wide.s32", func(x [4]uint64) uint64 { return uint64(signed(x[0]) * signed(x[1])) }, i, i)
	u64("mad.wide.u32", func(x [4]uint64) uint64 { return x[0]*x[1] + x[2] }, i, i, long)
	u64("mad.wide.s32", func(x [4]uint64) uint64 { return uint64(signed(x[0])*signed(x[1])) + x[2] }, i, i, long)
	u64("dp4a.u32.u32", func(x [4]uint64) uint64 {
		sum := x[2]
		for n := 0; n < 32; n += 8 {
			sum += (x[0] >> n & 255) * (x[1] >> n & 255)
		}
		return sum & math.MaxUint32
	}, i, i, i)
	u64("dp4a.s32.s32", func(x [4]uint64) uint64 {
		sum := int64(x[2])
		for n := 0; n < 32; n += 8 {
			sum += int64(int8(x[0]>>n)) * int64(int8(x[1]>>n))
		}
		return uint64(sum) & math.MaxUint32
	}, i, i, i)
	nonzero := edgeInts[1:]
	u64("div.u32", func(x [4]uint64) uint64 { return x[0] / x[1] }, i, nonzero)
	u64("rem.u32", func(x [4]uint64) uint64 { return x[0] % x[1] }, i, nonzero)
	u64("div.s32", func(x [4]uint64) uint64 { return uint64(signed(x[0])/signed(x[1])) & math.MaxUint32 }, i, nonzero)
	u64("rem.s32", func(x [4]uint64) uint64 { return uint64(signed(x[0])%signed(x[1])) & math.MaxUint32 }, i, nonzero)
}

func testBits(t *testing.T) {
	i, long := edgeInts, append([]uint64{1 << 32, 1 << 63, 0x123456789abcdef0, math.MaxUint64}, edgeInts...)
	const m = math.MaxUint32
	for name, f := range map[string]func(x, y uint64) uint64{
		"and": func(x, y uint64) uint64 { return x & y },
		"or":  func(x, y uint64) uint64 { return x | y },
		"xor": func(x, y uint64) uint64 { return x ^ y },
	} {
		check(t, name+".b32", "", func(x [4]uint64) uint64 { return f(x[0], x[1]) }, i, i)
		check(t, name+".b64", "", func(x [4]uint64) uint64 { return f(x[0], x[1]) }, long, long)
		check(t, name+".pred", "", func(x [4]uint64) uint64 { return f(x[0], x[1]) }, []uint64{0, 1}, []uint64{0, 1})
	}
	check(t, "not.b32", "", func(x [4]uint64) uint64 { return ^x[0] & m }, i)
	check(t, "not.b64", "", func(x [4]uint64) uint64 { return ^x[0] }, long)
	check(t, "not.pred", "", func(x [4]uint64) uint64 { return 1 - x[0] }, []uint64{0, 1})
	check(t, "shl.b32", "", func(x [4]uint64) uint64 { return uint64(uint32(x[0]) << x[1]) }, i, i)
	check(t, "shl.b64", "", func(x [4]uint64) uint64 { return x[0] << x[1] }, long, i)
	check(t, "shr.u32", "", func(x [4]uint64) uint64 { return x[0] >> x[1] }, i, i)
	check(t, "shr.u64", "", func(x [4]uint64) uint64 { return x[0] >> x[1] }, long, i)
	check(t, "shr.s32", "", func(x [4]uint64) uint64 { return uint64(uint32(int32(x[0]) >> x[1])) }, i, i)

	// bfe and bfi bit by bit, as the manual writes them.
	extract := func(signed bool) func(x [4]uint64) uint64 {
		return func(x [4]uint64) uint64 {
			pos, n := int(x[1]&255), int(x[2]&255)
			var fill uint64
			if signed && n > 0 {
				fill = x[0] >> min(pos+n-1, 31) & 1
			}
			var d uint64
			for b := range 32 {
				bit := fill
				if b < n && pos+b <= 31 {
					bit = x[0] >> (pos + b) & 1
				}
				d |= bit << b
			}
			return d
		}
	}
	check(t, "bfe.u32", "", extract(false), i, i, i)
	check(t, "bfe.s32", "", extract(true), i, i, i)
	check(t, "bfi.b32", "", func(x [4]uint64) uint64 {
		pos, n := int(x[2]&255), int(x[3]&255)
		d := x[1]
		for b := 0; b < n && pos+b <= 31; b++ {
			d = d&^(1<<(pos+b)) | x[0]>>b&1<<(pos+b)
		}
		return d
	}, i, i, i, i)
	check(t, "lop3.b32", ", 30", func(x [4]uint64) uint64 { return x[0] ^ (x[1] | x[2]) }, i, i, i)
	check(t, "lop3.b32", ", 128", func(x [4]uint64) uint64 { return x[0] & x[1] & x[2] }, i, i, i)
	check(t, "lop3.b32", ", 202", func(x [4]uint64) uint64 { return x[0]&x[1] | ^x[0]&x[2] }, i, i, i)
	check(t, "prmt.b32", "", func(x [4]uint64) uint64 {
		all := x[0] | x[1]<<32
		var d uint64
		for n := range 4 {
			s := x[2] >> (4 * n) & 15
			b := all >> (8 * (s & 7)) & 255
			if s > 7 {
				b = b >> 7 * 255
			}
			d |= b << (8 * n)
		}
		return d
	}, append([]uint64{0x81c243f4}, i...), append([]uint64{0x05a687e8}, i...), []uint64{0x3210, 0x7654, 0x0000, 0x5140, 0xfedc, 0x8a9b})
}

func testCompareAndSelect(t *testing.T) {
	holds := map[string]func(a, b float64) bool{
		"eq": func(a, b float64) bool { return a == b },
		"ne": func(a, b float64) bool { return a < b || a > b },
		"lt": func(a, b float64) bool { return a < b },
		"le": func(a, b float64) bool { return a <= b },
		"gt": func(a, b float64) bool { return a > b },
		"ge": func(a, b float64) bool { return a >= b },
	}
	truth := func(b bool) uint64 {
		if b {
			return 1
		}
		return 0
	}
	long := append([]uint64{1 << 32, 1 << 62}, edgeInts...)
	for c, f := range holds {
		check(t, "setp."+c+".u32", "", func(x [4]uint64) uint64 { return truth(f(float64(x[0]), float64(x[1]))) }, edgeInts, edgeInts)
		check(t, "setp."+c+".u64", "", func(x [4]uint64) uint64 { return truth(f(float64(x[0]), float64(x[1]))) }, long, long)
		check(t, "setp."+c+".s32", "", func(x [4]uint64) uint64 { return truth(f(float64(int32(x[0])), float64(int32(x[1])))) }, edgeInts, edgeInts)
		float := func(x [4]uint64) bool { return f(float64(fl(x[0])), float64(fl(x[1]))) }
		nan := func(x [4]uint64) bool { return fl(x[0]) != fl(x[0]) || fl(x[1]) != fl(x[1]) }
		check(t, "setp."+c+".f32", "", func(x [4]uint64) uint64 { return truth(float(x)) }, edgeFloats, edgeFloats)
		check(t, "setp."+c+"u.f32", "", func(x [4]uint64) uint64 { return truth(float(x) || nan(x)) }, edgeFloats, edgeFloats)
		check(t, "setp.nan.f32", "", func(x [4]uint64) uint64 { return truth(nan(x)) }, edgeFloats, edgeFloats)
		check(t, "setp.num.f32", "", func(x [4]uint64) uint64 { return truth(!nan(x)) }, edgeFloats, edgeFloats)
	}
	for _, ty := range []string{"b32", "b64", "f32"} {
		check(t, "selp."+ty, "", func(x [4]uint64) uint64 { return x[1-x[2]] }, edgeInts, edgeInts, []uint64{0, 1})
	}
	for _, ty := range []string{"b16", "b32", "b64", "f32"} {
		check(t, "mov."+ty, "", func(x [4]uint64) uint64 { return x[0] }, []uint64{0, 1, 0x7fff, 0xffff})
	}
	check(t, "mov.pred", "", func(x [4]uint64) uint64 { return x[0] }, []uint64{0, 1})
	check(t, "cvta.to.global.u64", "", func(x [4]uint64) uint64 { return x[0] }, long)
}

func testFloats(t *testing.T) {
	e := edgeFloats
	nan := func(x float32) uint64 {
		if x != x {
			return 0x7fffffff
		}
		return uint64(math.Float32bits(x))
	}
	two := func(name string, f func(a, b float32) float32) {
		t.Helper()
		check(t, name, "", func(x [4]uint64) uint64 { return nan(f(fl(x[0]), fl(x[1]))) }, e, e)
	}
	one := func(name string, f func(a float64) float64) {
		t.Helper()
		check(t, name, "", func(x [4]uint64) uint64 { return nan(float32(f(float64(fl(x[0]))))) }, e)
	}
	two("add.rn.f32", func(a, b float32) float32 { return a + b })
	two("sub.rn.f32", func(a, b float32) float32 { return a - b })
	two("mul.rn.f32", func(a, b float32) float32 { return a * b })
	two("div.rn.f32", func(a, b float32) float32 { return a / b })
	number := func(f func(a, b float64) float64) func(a, b float32) float32 {
		return func(a, b float32) float32 {
			switch {
			case a != a:
				return b
			case b != b:
				return a
			}
			return float32(f(float64(a), float64(b)))
		}
	}
	orNaN := func(f func(a, b float64) float64) func(a, b float32) float32 {
		return func(a, b float32) float32 {
			if a != a || b != b {
				return a + b
			}
			return float32(f(float64(a), float64(b)))
		}
	}
	two("min.NaN.f32", orNaN(math.Min))
	two("max.NaN.f32", orNaN(math.Max))
	two("min.f32", number(math.Min))
	two("max.f32", number(math.Max))
	one("neg.f32", func(a float64) float64 { return -a })
	one("abs.f32", math.Abs)
	one("rcp.rn.f32", func(a float64) float64 { return 1 / a })
	one("sqrt.rn.f32", math.Sqrt)
	one("cvt.rni.f32.f32", math.RoundToEven)
	one("cvt.rzi.f32.f32", math.Trunc)
	one("cvt.rmi.f32.f32", math.Floor)
	one("cvt.rpi.f32.f32", math.Ceil)
	one("cvt.sat.f32.f32", func(a float64) float64 {
		if !(a > 0) {
			return 0
		}
		return min(a, 1)
	})
	check(t, "copysign.f32", "", func(x [4]uint64) uint64 { return x[0]&0x80000000 | x[1]&0x7fffffff }, e, e)
	check(t, "fma.rn.f32", "", func(x [4]uint64) uint64 { return nan(exactFMA(fl(x[0]), fl(x[1]), fl(x[2]))) }, e, e, e)
}

func testConversions(t *testing.T) {
	i, e := edgeInts, edgeFloats
	long := append([]uint64{1 << 32, 0x1_0000_0001, math.MaxUint64}, i...)
	check(t, "cvt.u64.u32", "", func(x [4]uint64) uint64 { return x[0] }, i)
	check(t, "cvt.s64.s32", "", func(x [4]uint64) uint64 { return uint64(int64(int32(x[0]))) }, i)
	check(t, "cvt.u32.u64", "", func(x [4]uint64) uint64 { return x[0] & math.MaxUint32 }, long)
	check(t, "cvt.u16.u32", "", func(x [4]uint64) uint64 { return x[0] & math.MaxUint16 }, i)
	check(t, "cvt.u32.u16", "", func(x [4]uint64) uint64 { return x[0] }, []uint64{0, 1, 0x8000, 0xffff})
	check(t, "cvt.rn.f32.u32", "", func(x [4]uint64) uint64 { return uint64(math.Float32bits(float32(x[0]))) }, i)
	check(t, "cvt.rn.f32.s32", "", func(x [4]uint64) uint64 { return uint64(math.Float32bits(float32(int32(x[0])))) }, i)
	for mode, round := range map[string]func(float64) float64{"rni": math.RoundToEven, "rzi": math.Trunc, "rmi": math.Floor, "rpi": math.Ceil} {
		into := func(name string, lo, hi float64) {
			check(t, name, "", func(x [4]uint64) uint64 {
				y := round(float64(fl(x[0])))
				switch {
				case y != y:
					return 0
				case y < lo:
					y = lo
				case y > hi:
					y = hi
				}
				return uint64(int64(y)) & math.MaxUint32
			}, e)
		}
		into("cvt."+mode+".u32.f32", 0, math.MaxUint32)
		into("cvt."+mode+".s32.f32", math.MinInt32, math.MaxInt32)
		if mode == "rni" {
			into("cvt.rni.sat.u8.f32", 0, 255)
			into("cvt.rni.sat.s8.f32", -128, 127)
		}
	}
	f16 := func(x uint64) uint64 {
		if fl(x) != fl(x) {
			return 0x7fff
		}
		return uint64(tensor.ToF16(float64(fl(x))))
	}
	bf16 := func(x uint64) uint64 {
		if fl(x) != fl(x) {
			return 0x7fff
		}
		return uint64(tensor.ToBF16(float64(fl(x))))
	}
	e4m3 := func(x uint64) uint64 {
		if fl(x) != fl(x) {
			return 0x7f
		}
		return uint64(tensor.ToE4M3(float64(fl(x))))
	}
	check(t, "cvt.rn.f16.f32", "", func(x [4]uint64) uint64 { return f16(x[0]) }, e)
	check(t, "cvt.rn.bf16.f32", "", func(x [4]uint64) uint64 { return bf16(x[0]) }, e)
	check(t, "cvt.rn.f16x2.f32", "", func(x [4]uint64) uint64 { return f16(x[0])<<16 | f16(x[1]) }, e, e)
	check(t, "cvt.rn.bf16x2.f32", "", func(x [4]uint64) uint64 { return bf16(x[0])<<16 | bf16(x[1]) }, e, e)
	check(t, "cvt.rn.satfinite.e4m3x2.f32", "", func(x [4]uint64) uint64 { return e4m3(x[0])<<8 | e4m3(x[1]) }, e, e)
	check(t, "cvt.f32.f16", "", func(x [4]uint64) uint64 {
		y := tensor.FromF16(uint16(x[0]))
		if y != y {
			return 0x7fffffff
		}
		return uint64(math.Float32bits(y))
	}, edgeHalves)
	check(t, "cvt.rna.tf32.f32", "", func(x [4]uint64) uint64 {
		y := fl(x[0])
		if y != y {
			return 0x7fffffff
		}
		if math.IsInf(float64(y), 0) {
			return x[0]
		}
		return (x[0] + 0x1000) &^ 0x1fff
	}, e)
	clamp := func(x uint64, lo, hi int32) uint64 { return uint64(uint8(min(max(int32(x), lo), hi))) }
	check(t, "cvt.pack.sat.u8.s32.b32", "", func(x [4]uint64) uint64 {
		return (x[2]<<16 | clamp(x[0], 0, 255)<<8 | clamp(x[1], 0, 255)) & math.MaxUint32
	}, i, i, i)
	check(t, "cvt.pack.sat.s8.s32.b32", "", func(x [4]uint64) uint64 {
		return (x[2]<<16 | clamp(x[0], -128, 127)<<8 | clamp(x[1], -128, 127)) & math.MaxUint32
	}, i, i, i)
}

func testHalfPairs(t *testing.T) {
	var pairs []uint64
	for n, x := range edgeHalves {
		pairs = append(pairs, x|edgeHalves[(n*7+3)%len(edgeHalves)]<<16)
	}
	both := func(f func(x [3]uint16) uint16) func(x [4]uint64) uint64 {
		return func(x [4]uint64) uint64 {
			var d uint64
			for n := 0; n < 32; n += 16 {
				d |= uint64(f([3]uint16{uint16(x[0] >> n), uint16(x[1] >> n), uint16(x[2] >> n)})) << n
			}
			return d
		}
	}
	for _, h := range []struct {
		suffix string
		from   func(uint16) float32
		to     func(float64) uint16
	}{{"f16x2", tensor.FromF16, tensor.ToF16}, {"bf16x2", tensor.FromBF16, tensor.ToBF16}} {
		round := func(x float64) uint16 {
			if x != x {
				return 0x7fff
			}
			return h.to(x)
		}
		at := func(x uint16) float64 { return float64(h.from(x)) }
		number := func(f func(a, b float64) float64) func(x [3]uint16) uint16 {
			return func(x [3]uint16) uint16 {
				a, b := at(x[0]), at(x[1])
				switch {
				case a != a:
					return round(b)
				case b != b:
					return round(a)
				}
				return round(f(a, b))
			}
		}
		check(t, "min."+h.suffix, "", both(number(math.Min)), pairs, pairs)
		check(t, "max."+h.suffix, "", both(number(math.Max)), pairs, pairs)
		check(t, "fma.rn."+h.suffix, "", both(func(x [3]uint16) uint16 {
			return round(oddFMA(at(x[0]), at(x[1]), at(x[2])))
		}), pairs, pairs, pairs)
		if h.suffix == "f16x2" {
			check(t, "add.rn.f16x2", "", both(func(x [3]uint16) uint16 { return round(at(x[0]) + at(x[1])) }), pairs, pairs)
			check(t, "sub.rn.f16x2", "", both(func(x [3]uint16) uint16 { return round(at(x[0]) - at(x[1])) }), pairs, pairs)
			check(t, "mul.rn.f16x2", "", both(func(x [3]uint16) uint16 { return round(at(x[0]) * at(x[1])) }), pairs, pairs)
		}
	}
}
