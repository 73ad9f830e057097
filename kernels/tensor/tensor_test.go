package tensor

import (
	"math"
	"strings"
	"testing"
)

// TestHalvesRoundTrip covers all 65,536 codes of both 16-bit types: decoding is exact by the format's definition, and
// encoding gives the code back.
func TestHalvesRoundTrip(t *testing.T) {
	for i := range 1 << 16 {
		code := uint16(i)
		for _, f := range []struct {
			name   string
			format format
			from   func(uint16) float32
			to     func(float64) uint16
		}{{"f16", binary16, FromF16, ToF16}, {"bf16", bfloat16, FromBF16, ToBF16}} {
			x := float64(f.from(code))
			if want := f.format.decode(code); x != want && !(x != x && want != want) || math.Signbit(x) != math.Signbit(want) {
				t.Fatalf("%s %#04x decodes to %g, want %g", f.name, code, x, want)
			}
			back := f.to(x)
			if x != x {
				if y := f.from(back); y == y {
					t.Fatalf("%s %#04x is NaN and encodes to %g", f.name, code, y)
				}
				continue
			}
			if back != code {
				t.Fatalf("%s %#04x is %g and encodes to %#04x", f.name, code, x, back)
			}
		}
	}
}

// TestRoundingBetweenNeighbours holds the encoder, between every two adjacent finite values, to round to nearest even:
// at the midpoint, and just below and above it.
func TestRoundingBetweenNeighbours(t *testing.T) {
	for name, f := range map[string]format{"f16": binary16, "bf16": bfloat16, "e4m3": e4m3} {
		last := uint16(1)<<(f.exponent+f.mantissa) - 2
		if f.infinite {
			last = (1<<f.exponent-1)<<f.mantissa - 1
		}
		for code := uint16(0); code < last; code++ {
			lo, hi := f.decode(code), f.decode(code+1)
			mid := lo + (hi-lo)/2
			even := code + code&1
			for _, c := range []struct {
				x    float64
				want uint16
			}{{lo, code}, {math.Nextafter(mid, lo), code}, {mid, even}, {math.Nextafter(mid, hi), code + 1}, {hi, code + 1}} {
				sign := uint16(1) << (f.exponent + f.mantissa)
				if got := f.encode(c.x); got != c.want {
					t.Fatalf("%s: %g encodes to %#x, want %#x", name, c.x, got, c.want)
				}
				if got := f.encode(-c.x); got != c.want|sign {
					t.Fatalf("%s: %g encodes to %#x, want %#x", name, -c.x, got, c.want|sign)
				}
			}
		}
	}
}

func TestRange(t *testing.T) {
	for _, c := range []struct {
		x    float64
		f16  uint16
		bf16 uint16
		e4m3 uint8
	}{
		{1, 0x3c00, 0x3f80, 0x38},
		{-2, 0xc000, 0xc000, 0xc0},
		{65504, 0x7bff, 0x4780, 0x7e},
		{65519.99, 0x7bff, 0x4780, 0x7e},
		{65520, 0x7c00, 0x4780, 0x7e},
		{448, 0x5f00, 0x43e0, 0x7e},
		{math.Inf(-1), 0xfc00, 0xff80, 0xfe},
		{math.MaxFloat32, 0x7c00, 0x7f80, 0x7e},
		{0x1p-24, 0x0001, 0x3380, 0x00},
		{0x1p-25, 0x0000, 0x3300, 0x00},
		{0x1p-9, 0x1800, 0x3b00, 0x01},
		{0x1p-133, 0x0000, 0x0001, 0x00},
		{math.SmallestNonzeroFloat64, 0, 0, 0},
	} {
		if g := ToF16(c.x); g != c.f16 {
			t.Errorf("f16 of %g is %#04x, want %#04x", c.x, g, c.f16)
		}
		if g := ToBF16(c.x); g != c.bf16 {
			t.Errorf("bf16 of %g is %#04x, want %#04x", c.x, g, c.bf16)
		}
		if g := ToE4M3(c.x); g != c.e4m3 {
			t.Errorf("e4m3 of %g is %#02x, want %#02x", c.x, g, c.e4m3)
		}
	}
	if x := FromE4M3(0x7f); x == x {
		t.Errorf("e4m3 0x7f is %g, want NaN", x)
	}
}

// TestMatrix stores and reads every type through a view with gaps and checks that the gaps stay untouched.
func TestMatrix(t *testing.T) {
	for _, typ := range []DType{F32, F16, BF16, E4M3, I8, U8} {
		wide := NewMatrix(typ, 3, 7)
		for i := range wide.Data {
			wide.Data[i] = 0xa5
		}
		before := append([]byte(nil), wide.Data...)
		m := Matrix{Type: typ, Rows: 3, Cols: 2, Pitch: 7, Data: wide.Data[2*typ.Size():]}
		for r := range 3 {
			for c := range 2 {
				m.Set(r, c, float64(4*r+c))
			}
		}
		for r := range 3 {
			for c := range 7 {
				if c == 2 || c == 3 {
					if got, want := wide.At(r, c), float64(4*r+c-2); got != want {
						t.Errorf("%v [%d, %d] is %g, want %g", typ, r, c, got, want)
					}
					continue
				}
				o := (r*7 + c) * typ.Size()
				if string(wide.Data[o:o+typ.Size()]) != string(before[o:o+typ.Size()]) {
					t.Errorf("%v: the gap at [%d, %d] was written", typ, r, c)
				}
			}
		}
	}
	m := NewMatrix(I8, 1, 4)
	for c, x := range []float64{200, -200, math.NaN(), 2.5} {
		m.Set(0, c, x)
	}
	for c, want := range []float64{127, -128, 0, 2} {
		if got := m.At(0, c); got != want {
			t.Errorf("s8 element %d is %g, want %g", c, got, want)
		}
	}
	defer func() {
		if s, _ := recover().(string); !strings.Contains(s, "[0, 4] of a 1 x 4") {
			t.Errorf("out of range: %q", s)
		}
	}()
	m.At(0, 4)
}

func row(x ...float64) Matrix {
	m := NewMatrix(F32, 1, len(x))
	for i, v := range x {
		m.Set(0, i, v)
	}
	return m
}

func TestCompare(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	tol := Tolerance{Abs: 0.5, Rel: 0.25}
	f := func(got, want Matrix, text string) {
		t.Helper()
		err := Compare(got, want, tol)
		if text == "" && err != nil || text != "" && (err == nil || !strings.Contains(err.Error(), text)) {
			t.Errorf("got %v, want %q", err, text)
		}
	}
	f(row(1, 2), row(1, 2), "")
	f(row(1.5, 3), row(1, 2), "")            // 0.5 <= 0.5 + 0.25, 1 <= 0.5 + 0.5
	f(row(1, 3.125), row(1, 2), "at [0, 1]") // 1.125 > 1
	f(row(1, 0.875), row(1, 2), "at [0, 1]") // too small counts like too large
	f(row(-3, 9), row(1, 2), "2 of 2 elements")
	f(row(-3, 9), row(1, 2), "worst at [0, 1]: got 9, want 2")
	f(row(0), row(0), "")
	f(row(math.Copysign(0, -1)), row(0), "")
	f(row(nan), row(nan), "1 of 1")
	f(row(nan), row(1), "got NaN")
	f(row(1), row(nan), "want NaN")
	f(row(inf), row(inf), "")
	f(row(-inf), row(inf), "1 of 1")
	f(row(1e30), row(inf), "1 of 1")
	f(row(inf), row(1), "1 of 1")
	f(row(1, 2), row(1), "got 1 x 2, want 1 x 1")
	tol = Tolerance{}
	f(row(1), row(1), "")
	f(row(1), row(float64(math.Nextafter32(1, 2))), "1 of 1")
}

func TestRelativeL2(t *testing.T) {
	if got := RelativeL2([]float32{3, 4}, []float64{0, 4}); got != 0.75 {
		t.Errorf("got %g, want 0.75", got)
	}
	if got := RelativeL2([]float32{1}, []float64{1, 2}); got == got {
		t.Errorf("lengths differ, got %g, want NaN", got)
	}
	if got := RelativeL2([]float32{float32(math.NaN())}, []float64{1}); got == got {
		t.Errorf("NaN gives %g", got)
	}
}
