package ptxsim

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactFMA is a*b+c by arbitrary precision, rounded once.
func exactFMA(a, b, c float32) float32 {
	s, finite := exactSum(float64(a), float64(b), float64(c))
	if !finite || s.Sign() == 0 {
		return float32(float64(a)*float64(b) + float64(c)) // also for the zero's sign
	}
	x, _ := s.Float32()
	return x
}

// oddFMA is a*b+c by arbitrary precision, rounded to odd at 50 bits: exact enough for any later rounding to 16 bits.
func oddFMA(a, b, c float64) float64 {
	s, finite := exactSum(a, b, c)
	if !finite || s.Sign() == 0 {
		return a*b + c
	}
	r := new(big.Float).SetPrec(50).SetMode(big.ToZero).Set(s)
	x, _ := r.Float64()
	if r.Cmp(s) != 0 {
		x = math.Float64frombits(math.Float64bits(x) | 1)
	}
	return x
}

func exactSum(a, b, c float64) (s *big.Float, finite bool) {
	for _, x := range []float64{a, b, c} {
		if math.IsInf(x, 0) || x != x {
			return nil, false
		}
	}
	s = new(big.Float).SetPrec(1000).SetFloat64(a)
	s.Mul(s, big.NewFloat(b))
	return s.Add(s, big.NewFloat(c)), true
}

// fmaOf is lane 0 of fma.rn.f32.
func fmaOf(a, b, c float32) float32 {
	x, y, z := lanes{fbits(a)}, lanes{fbits(b)}, lanes{fbits(c)}
	var d lanes
	fma(&d, &x, &y, &z, nil)
	return f(&d, 0)
}

// TestFMARoundsOnce looks where two roundings go wrong: sums close to a tie.
func TestFMARoundsOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	wrongTwice := 0
	for range 50_000 {
		a := math.Float32frombits(random.Uint32()&0x7fffff | 0x3f800000)
		b := math.Float32frombits(random.Uint32()&0x400000 | 0x3f800000)
		c := math.Float32frombits(random.Uint32()&0x807fffff | uint32(40+random.IntN(100))<<23)
		want := exactFMA(a, b, c)
		if got := fmaOf(a, b, c); got != want {
			t.Fatalf("%v*%v+%v = %v, want %v", a, b, c, got, want)
		}
		if float32(float64(a)*float64(b)+float64(c)) != want {
			wrongTwice++
		}
	}
	for range 20_000 { // subnormal results
		a := math.Float32frombits(random.Uint32()&0x807fffff | uint32(20+random.IntN(20))<<23)
		b := math.Float32frombits(random.Uint32()&0x007fffff | uint32(80+random.IntN(20))<<23)
		c := math.Float32frombits(random.Uint32() & 0x807fffff)
		if got, want := fmaOf(a, b, c), exactFMA(a, b, c); got != want {
			t.Fatalf("%v*%v+%v = %v, want %v", a, b, c, got, want)
		}
	}
	if wrongTwice == 0 {
		t.Error("no case tells one rounding from two")
	}
}
