package simd

import (
	"math"
	"slices"
	"testing"
)

// activations are the activation functions of a tier with their definitions in float64.
var activations = []struct {
	name      string
	routine   func(*Tier) func(x *float32, ld, rows, cols int)
	reference func(x float64) float64
}{
	{
		"GELU", func(t *Tier) func(x *float32, ld, rows, cols int) { return t.GELU },
		func(x float64) float64 { return x * math.Erfc(-x/math.Sqrt2) / 2 },
	},
	{
		"GELUTanh", func(t *Tier) func(x *float32, ld, rows, cols int) { return t.GELUTanh },
		func(x float64) float64 { return x / (1 + math.Exp(-2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) },
	},
	{
		"QuickGELU", func(t *Tier) func(x *float32, ld, rows, cols int) { return t.QuickGELU },
		func(x float64) float64 { return x / (1 + math.Exp(-1.702*x)) },
	},
}

// TestActivations compares the functions with their definitions at some 250 values of every exponent and both signs.
// Above -1 the error is at most 3·2⁻²⁴ of the value, or what flushing subnormal numbers costs; below, where the value
// is small next to x, it is at most 4e-8.
func TestActivations(t *testing.T) {
	eachTier(t, func(t *testing.T, tier *Tier) {
		for _, f := range activations {
			x := make([]float32, 0, 1<<17)
			for bits := uint32(0); len(x) < cap(x); bits += 1<<15 + 77 {
				if v := math.Float32frombits(bits); math.Abs(float64(v)) <= math.MaxFloat32 {
					x = append(x, v)
				} else {
					x = append(x, 0)
				}
			}
			y := slices.Clone(x)
			f.routine(tier)(&y[0], len(y), 1, len(y))
			for i, v := range x {
				want, tolerance := f.reference(float64(v)), 4e-8
				if v >= -1 {
					tolerance = 3*0x1p-24*math.Abs(want) + 0x1p-126
				}
				if !near(y[i], want, tolerance) {
					t.Fatalf("%s(%g) = %g, want %g", f.name, v, y[i], want)
				}
			}
		}
	})
}

func TestActivationsOfSpecialValues(t *testing.T) {
	inf := float32(math.Inf(1))
	eachTier(t, func(t *testing.T, tier *Tier) {
		for _, f := range activations {
			for _, c := range []struct{ x, want float32 }{
				{0, 0}, {nan, nan}, {-nan, nan}, {inf, inf}, {-inf, 0},
				{100, 100}, {1e30, 1e30}, {math.MaxFloat32, math.MaxFloat32},
				{-100, 0}, {-1e30, 0}, {-math.MaxFloat32, 0},
			} {
				y := c.x
				f.routine(tier)(&y, 1, 1, 1)
				if !near(y, float64(c.want), 0) {
					t.Errorf("%s(%g) = %g, want %g", f.name, c.x, y, c.want)
				}
			}
			zero := float32(math.Copysign(0, -1))
			f.routine(tier)(&zero, 1, 1, 1)
			if math.Float32bits(zero) != 1<<31 {
				t.Errorf("%s(-0) = %g, want -0", f.name, zero)
			}
		}
	})
}

// TestActivationBlocks holds that an element of a block of any width has the bits that it has alone, and that nothing
// outside the block is touched.
func TestActivationBlocks(t *testing.T) {
	const rows, pad = 3, 5
	eachTier(t, func(t *testing.T, tier *Tier) {
		fence := newFence(t, rows*(1280+pad))
		for _, f := range activations {
			for _, cols := range lengths() {
				for _, end := range []bool{false, true} {
					ld := cols + pad
					x := fence.place((rows-1)*ld+cols, end)
					mark(x)
					want := make([]float32, len(x))
					mark(want)
					for i := range x {
						if i%ld < cols {
							x[i] = float32(3 * math.Sin(float64(i)))
							want[i] = x[i]
							f.routine(tier)(&want[i], 1, 1, 1)
						}
					}
					f.routine(tier)(&x[0], ld, rows, cols)
					for i := range x {
						if !same(x[i], want[i]) {
							t.Fatalf("%s, %d columns: [%d,%d] = %g, want %g", f.name, cols, i/ld, i%ld, x[i], want[i])
						}
					}
				}
			}
		}
	})
}
