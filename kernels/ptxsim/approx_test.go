package ptxsim

import (
	"math"
	"strings"
	"testing"
)

// TestApproximations compares each approximate instruction with float64: with Launch.Exact it is the correctly rounded
// value, otherwise within the manual's bound, and for some operands not the rounded value.
func TestApproximations(t *testing.T) {
	functions := map[string]func(x, y float64) float64{
		"rcp": func(x, _ float64) float64 { return 1 / x }, "sqrt": func(x, _ float64) float64 { return math.Sqrt(x) },
		"rsqrt": func(x, _ float64) float64 { return 1 / math.Sqrt(x) }, "ex2": func(x, _ float64) float64 { return math.Exp2(x) },
		"lg2": func(x, _ float64) float64 { return math.Log2(x) }, "tanh": func(x, _ float64) float64 { return math.Tanh(x) },
		"div": func(x, y float64) float64 { return x / y },
	}
	// The manual's bounds of the relative error, or of the absolute one (lg2 near 1).
	bounds := map[string]float64{"rcp": 0x1p-23, "sqrt": 0x1p-23, "rsqrt": math.Exp2(-22.9), "ex2": 0x1p-22, "lg2": 0x1p-22,
		"tanh": 0x1p-11, "div": 0x1p-22}
	var x, y [32]uint64
	for l := range x {
		x[l] = uint64(math.Float32bits(float32(0.03 + 0.37*float64(l))))
		y[l] = uint64(math.Float32bits(float32(1.7 + 0.11*float64(l))))
	}
	for _, name := range []string{"rcp.approx.f32", "rcp.approx.ftz.f32", "sqrt.approx.f32", "sqrt.approx.ftz.f32", "rsqrt.approx.f32",
		"rsqrt.approx.ftz.f32", "ex2.approx.f32", "ex2.approx.ftz.f32", "lg2.approx.f32", "lg2.approx.ftz.f32", "tanh.approx.f32", "div.full.f32"} {
		family := name[:strings.IndexByte(name, '.')]
		srcs := [][32]uint64{x}
		if family == "div" {
			srcs = append(srcs, y)
		}
		exact, off := eval(t, Launch{Exact: true}, name, "", srcs...), 0
		for seed := range uint64(4) {
			d := eval(t, Launch{Seed: seed}, name, "", srcs...)
			for l := range d {
				want := functions[family](float64(fl(x[l])), float64(fl(y[l])))
				if fl(exact[l]) != float32(want) {
					t.Fatalf("%s exact of %v = %v, want %v", name, fl(x[l]), fl(exact[l]), want)
				}
				bound := bounds[family] * math.Abs(want)
				if v := fl(x[l]); family == "lg2" && 0.5 <= v && v <= 2 {
					bound = 0x1p-22
				}
				if !(math.Abs(float64(fl(d[l]))-want) <= bound) {
					t.Fatalf("%s of %v = %v, want %v within %v", name, fl(x[l]), fl(d[l]), want, bound)
				}
				if d[l] != exact[l] {
					off++
				}
			}
			if again := eval(t, Launch{Seed: seed}, name, "", srcs...); again != d {
				t.Errorf("%s depends on more than the seed", name)
			}
		}
		if off < 32 {
			t.Errorf("%s is off in %d of 128 cases", name, off)
		}
	}
}

func TestApproximationsAtTheEnds(t *testing.T) {
	inf := math.Inf(1)
	zero := math.Copysign(0, -1)
	for _, c := range []struct {
		name    string
		x, want float64
	}{
		{"rcp.approx.f32", 0, inf}, {"rcp.approx.f32", zero, -inf}, {"rcp.approx.f32", -inf, zero}, {"rcp.approx.ftz.f32", 0x1p-127, inf},
		{"rcp.approx.f32", 0x1p-140, inf}, {"sqrt.approx.f32", zero, zero}, {"sqrt.approx.f32", inf, inf}, {"sqrt.approx.f32", -1, math.NaN()},
		{"rsqrt.approx.f32", 0, inf}, {"rsqrt.approx.f32", zero, -inf}, {"rsqrt.approx.f32", inf, 0}, {"rsqrt.approx.ftz.f32", 0x1p-130, inf},
		{"ex2.approx.f32", -inf, 0}, {"ex2.approx.f32", inf, inf}, {"ex2.approx.f32", zero, 1}, {"ex2.approx.ftz.f32", -127, 0},
		{"ex2.approx.f32", 129, inf}, {"ex2.approx.f32", math.NaN(), math.NaN()}, {"lg2.approx.f32", 0, -inf}, {"lg2.approx.f32", -1, math.NaN()},
		{"lg2.approx.f32", inf, inf}, {"lg2.approx.ftz.f32", 0x1p-127, -inf}, {"tanh.approx.f32", zero, zero}, {"tanh.approx.f32", math.NaN(), math.NaN()},
	} {
		var x [32]uint64
		for l := range x {
			x[l] = uint64(math.Float32bits(float32(c.x)))
		}
		want := uint64(math.Float32bits(float32(c.want)))
		if c.want != c.want {
			want = 0x7fffffff
		}
		if d := eval(t, Launch{Seed: 9}, c.name, "", x); d[5] != want {
			t.Errorf("%s of %v = %#x, want %#x", c.name, c.x, d[5], want)
		}
	}
}

func TestEx2OfHalves(t *testing.T) {
	var x [32]uint64
	for l := range x {
		x[l] = uint64(half.to(float64(l)/4-6)) | uint64(half.to(-float64(l)/8))<<16
	}
	for seed := range uint64(3) {
		d := eval(t, Launch{Seed: seed}, "ex2.approx.f16x2", "", x)
		for l := range d {
			for n := 0; n < 32; n += 16 {
				got, want := float64(half.from(uint16(d[l]>>n))), math.Exp2(float64(half.from(uint16(x[l]>>n))))
				if !(math.Abs(got-want) <= math.Exp2(-9.9)*want) {
					t.Errorf("2^%v = %v, want %v", half.from(uint16(x[l]>>n)), got, want)
				}
			}
		}
	}
}
