package simd

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// eachTier runs a test once for every tier that this machine has.
func eachTier(t *testing.T, f func(t *testing.T, tier *Tier)) {
	for _, tier := range Tiers() {
		t.Run(tier.Name, func(t *testing.T) { f(t, tier) })
	}
}

// A fence is memory of which no routine may touch what lies before or after it. An operand taken from its start shows
// an access before the first element, one taken from its end an access beyond the last.
type fence []float32

// place returns n values at the start or the end of the fence.
func (f fence) place(n int, end bool) []float32 {
	if end {
		return f[len(f)-n:]
	}
	return f[:n]
}

// nan marks memory that a routine must leave alone, or must not let into its results.
var nan = float32(math.NaN())

// source makes test runs repeatable.
var source = rand.New(rand.NewPCG(1, 2))

// fill gives x normally distributed values with the mean.
func fill(x []float32, mean float64) {
	for i := range x {
		x[i] = float32(mean + source.NormFloat64())
	}
}

// mark sets x to NaN.
func mark(x []float32) {
	for i := range x {
		x[i] = nan
	}
}

// same says that two values have the same bits, or are both NaN.
func same(x, y float32) bool {
	return math.Float32bits(x) == math.Float32bits(y) || x != x && y != y
}

// near says that got is want, or a number within tolerance of it.
func near(got float32, want, tolerance float64) bool {
	g := float64(got)
	return g == want || g != g && want != want || math.Abs(g-want) <= tolerance
}

// lengths are the row lengths that routines are tested with: all tails of all widths, and real ones.
func lengths() []int {
	var n []int
	for i := 1; i <= 70; i++ {
		n = append(n, i)
	}
	return append(n, 257, 1280)
}

func TestTiers(t *testing.T) {
	tiers := Tiers()
	if last := tiers[len(tiers)-1]; last.Name != "generic" {
		t.Errorf("the last tier is %q, want generic", last.Name)
	}
	for _, tier := range tiers {
		for m, f := range tier.Tile {
			if (f != nil) != (m >= 1 && m <= tier.MR) {
				t.Errorf("%s: MR=%d, but Tile[%d] given: %t", tier.Name, tier.MR, m, f != nil)
			}
			if (tier.TileMixed[m] != nil) != (f != nil) {
				t.Errorf("%s: TileMixed[%d] given: %t, Tile: %t", tier.Name, m, f == nil, f != nil)
			}
			if (tier.TileBF16[m] != nil) != (f != nil && tier.TileBF16[1] != nil) {
				t.Errorf("%s: TileBF16[%d] given: %t", tier.Name, m, tier.TileBF16[m] != nil)
			}
		}
		if got, err := Select(tier.Name); got != tier || err != nil {
			t.Errorf("Select(%q) = %v, %v", tier.Name, got, err)
		}
		if n := tier.Peak(3); n <= 0 || n%3 != 0 {
			t.Errorf("%s: Peak(3) = %d operations, want three times something", tier.Name, n)
		}
		if n := tier.PeakBF16(3); n < tier.Peak(3) {
			t.Errorf("%s: PeakBF16(3) = %d operations, Peak(3) = %d", tier.Name, n, tier.Peak(3))
		}
	}
	if best, err := Select(""); best != tiers[0] || err != nil {
		t.Errorf("Select(\"\") = %v, %v, want %s", best, err, tiers[0].Name)
	}
	_, err := Select("mmx")
	if err == nil || !strings.Contains(err.Error(), `"mmx"`) || !strings.Contains(err.Error(), "generic") {
		t.Errorf("Select(\"mmx\"): error %v, want one with the name and what there is", err)
	}
	if clear(tiers); slices.Contains(Tiers(), nil) {
		t.Error("a caller changed what Tiers returns")
	}
}

func TestAllocations(t *testing.T) {
	eachTier(t, func(t *testing.T, tier *Tier) {
		x, y, z := make([]float32, 64*64), make([]float32, 64*64), make([]float32, 64*64)
		h := make([]uint16, 64*64)
		for name, f := range map[string]func(){
			"BlockBF16": func() {
				if tier.BlockBF16 != nil {
					tier.BlockBF16(17, 34, &h[0], 34, &h[0], &z[0], 40, &x[0], true)
				}
			},
			"TileMixed": func() { tier.TileMixed[tier.MR](5, &x[0], 7, &h[0], &z[0], 40, &x[0], true, 0, 0) },
			"Narrow":    func() { tier.Narrow(&h[0], 40, &x[0], 40, 3, 33) },
			"Widen":     func() { tier.Widen(&x[0], 40, &h[0], 40, 3, 33) },
			"Tile":      func() { tier.Tile[tier.MR](5, &x[0], 7, &y[0], &z[0], 40, &x[0], true, 0, 0) },
			"GELU":      func() { tier.GELU(&x[0], 20, 3, 17) },
			"GELUTanh":  func() { tier.GELUTanh(&x[0], 20, 3, 17) },
			"QuickGELU": func() { tier.QuickGELU(&x[0], 20, 3, 17) },
			"LayerNorm": func() { tier.LayerNorm(&z[0], &x[0], &y[0], &y[0], 37, 1e-5) },
			"Softmax":   func() { tier.Softmax(&x[0], 37, 0.125) },
			"Scale":     func() { tier.Scale(&z[0], &x[0], 37, 2) },
			"Transpose": func() { tier.Transpose(&z[0], 40, &x[0], 40, 33, 35) },
			"Peak":      func() { tier.Peak(10) },
		} {
			if n := testing.AllocsPerRun(10, f); n != 0 {
				t.Errorf("%s allocates %g times", name, n)
			}
		}
	})
}
