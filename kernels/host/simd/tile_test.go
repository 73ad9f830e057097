package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// eachTier runs a test once for every tier that this machine has.
func eachTier(t *testing.T, f func(t *testing.T, tier *Tier)) {
	for _, tier := range Tiers() {
		t.Run(tier.Name, func(t *testing.T) { f(t, tier) })
	}
}

// referenceTile is the definition of Tile in float64, with the sum of the magnitudes of an element's terms beside it.
func referenceTile(m, n, k int, a []float32, lda int, b, c []float32, ldc int, bias []float32, acc bool) (want, size []float64) {
	want, size = make([]float64, m*n), make([]float64, m*n)
	for r := range m {
		for j := range n {
			i := r*n + j
			term := func(v float64) { want[i] += v; size[i] += math.Abs(v) }
			if bias != nil {
				term(float64(bias[j]))
			}
			for l := range k {
				term(float64(a[r*lda+l]) * float64(b[l*n+j]))
			}
			if acc {
				term(float64(c[r*ldc+j]))
			}
		}
	}
	return want, size
}

func random(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rand.NormFloat64())
	}
	return x
}

// TestTile compares every tile with the definition. A sum of k+2 terms, each rounded at most twice, is wrong by at
// most (k+2)·2⁻²³ of the sum of their magnitudes.
func TestTile(t *testing.T) {
	eachTier(t, func(t *testing.T, tier *Tier) {
		for m := 1; m <= tier.MR; m++ {
			for _, k := range []int{1, 2, 3, 4, 5, 7, 8, 13, 80, 257} {
				for mode := range 4 {
					lda, ldc := k+mode, tier.NR+3*mode
					a, b, c := random((m-1)*lda+k), random(k*tier.NR), random((m-1)*ldc+tier.NR)
					var bias []float32
					var p *float32
					if mode&1 != 0 {
						bias = random(tier.NR)
						p = &bias[0]
					}
					acc := mode&2 != 0
					want, size := referenceTile(m, tier.NR, k, a, lda, b, c, ldc, bias, acc)
					tier.Tile[m](k, &a[0], lda, &b[0], &c[0], ldc, p, acc)
					for i, w := range want {
						got := float64(c[i/tier.NR*ldc+i%tier.NR])
						if !(math.Abs(got-w) <= float64(k+2)*0x1p-23*size[i]) {
							t.Fatalf("m=%d k=%d bias=%t acc=%t: C[%d,%d] = %g, want %g",
								m, k, bias != nil, acc, i/tier.NR, i%tier.NR, got, w)
						}
					}
				}
			}
		}
	})
}

// BenchmarkTile times tiles on operands in the first cache levels and gives their share of the tier's own peak, which
// it measures in the same run.
func BenchmarkTile(b *testing.B) {
	for _, tier := range Tiers() {
		for m := 1; m <= tier.MR; m++ {
			for _, k := range []int{80, 1280} {
				b.Run(fmt.Sprintf("isa=%s/m=%d/k=%d", tier.Name, m, k), func(b *testing.B) {
					lda := k + 16
					x, y, c := random(m*lda), random(k*tier.NR), random(m*tier.NR)
					flops := 0
					for b.Loop() {
						tier.Tile[m](k, &x[0], lda, &y[0], &c[0], tier.NR, nil, false)
						flops += 2 * m * tier.NR * k
					}
					b.ReportMetric(float64(flops)/1e9/b.Elapsed().Seconds(), "GFLOP/s")
				})
			}
		}
	}
}
