package simd

import (
	"fmt"
	"testing"
	"time"
)

// peak measures the FLOP/s of a register-only loop over about 2 ms.
func peak(loop func(n int) (flops int)) float64 {
	start, flops := time.Now(), 0
	for time.Since(start) < 2*time.Millisecond {
		flops += loop(1000)
	}
	return float64(flops) / time.Since(start).Seconds()
}

// BenchmarkTile times tiles on operands that stay in the second cache level, and gives their share of the tier's peak,
// the better of before and after.
func BenchmarkTile(b *testing.B) {
	for _, tier := range Tiers() {
		for m := 1; m <= tier.MR; m++ {
			for _, k := range []int{80, 257, 1280} {
				b.Run(fmt.Sprintf("isa=%s/m=%d/k=%d", tier.Name, m, k), func(b *testing.B) {
					lda := k + 16
					x, y, c := make([]float32, m*lda), make([]float32, k*tier.NR), make([]float32, m*tier.NR)
					fill(x, 0)
					fill(y, 0)
					roof, flops := peak(tier.Peak), 0
					for b.Loop() {
						tier.Tile[m](k, &x[0], lda, &y[0], &c[0], tier.NR, nil, false, 0, 0)
						flops += 2 * m * tier.NR * k
					}
					rate := float64(flops) / b.Elapsed().Seconds()
					roof = max(roof, peak(tier.Peak))
					b.ReportMetric(rate/1e9, "GFLOP/s")
					b.ReportMetric(100*rate/roof, "%peak")
				})
			}
		}
	}
}

// BenchmarkTile16 is BenchmarkTile for the largest tiles of bfloat16.
func BenchmarkTile16(b *testing.B) {
	const k = 1280
	for _, tier := range Tiers() {
		m, nr := tier.MR, tier.NR
		x, x16, y, c := make([]float32, m*k), make([]uint16, m*k), make([]uint16, k*nr), make([]float32, m*nr)
		ways := map[string]func(){"TileMixed": func() { tier.TileMixed[m](k, &x[0], k, &y[0], &c[0], nr, nil, false, 0, 0) }}
		if tier.TileBF16[m] != nil {
			ways["TileBF16"] = func() { tier.TileBF16[m](k, &x16[0], k, &y[0], &c[0], nr, nil, false, 0, 0) }
		}
		for name, run := range ways {
			b.Run(fmt.Sprintf("isa=%s/way=%s/m=%d/k=%d", tier.Name, name, m, k), func(b *testing.B) {
				roof, flops := peak(tier.PeakBF16), 0
				for b.Loop() {
					run()
					flops += 2 * m * nr * k
				}
				rate := float64(flops) / b.Elapsed().Seconds()
				roof = max(roof, peak(tier.PeakBF16))
				b.ReportMetric(rate/1e9, "GFLOP/s")
				b.ReportMetric(100*rate/roof, "%peak")
			})
		}
	}
}

// BenchmarkBlock16 times blocks of as many rows as a single image of ViT-H-14 has, and as half of one, with one panel over
// and over, and with panels that come from memory, as weights do.
func BenchmarkBlock16(b *testing.B) {
	const k, most = 1280, 257
	for _, tier := range Tiers() {
		if tier.BlockBF16 == nil {
			continue
		}
		nr := tier.NR
		x, c := make([]uint16, most*k), make([]float32, most*nr)
		fill16(x)
		for _, m := range []int{128, most} {
			for _, bytes := range []int{2 * k * nr, 64 << 20} {
				panels := make([]uint16, bytes/2)
				fill16(panels[:k*nr])
				for n := k * nr; n < len(panels); n *= 2 {
					copy(panels[n:], panels[:n])
				}
				b.Run(fmt.Sprintf("isa=%s/m=%d/k=%d/panels=%dKiB", tier.Name, m, k, bytes>>10), func(b *testing.B) {
					roof, flops, panel := peak(tier.PeakBF16), 0, panels
					for b.Loop() {
						if len(panel) < k*nr {
							panel = panels
						}
						tier.BlockBF16(m, k, &x[0], k, &panel[0], &c[0], nr, nil, false)
						panel = panel[k*nr:]
						flops += 2 * m * nr * k
					}
					rate := float64(flops) / b.Elapsed().Seconds()
					roof = max(roof, peak(tier.PeakBF16))
					b.ReportMetric(rate/1e9, "GFLOP/s")
					b.ReportMetric(100*rate/roof, "%peak")
				})
			}
		}
	}
}

// BenchmarkColdPanel is BenchmarkTile with panels that come from memory, as weights do, each for all rows of a task: where
// tiles prefetch nothing, and where each does its share of the next panel.
func BenchmarkColdPanel(b *testing.B) {
	const k, rows = 1280, 84
	panels := make([]float32, 24<<20)
	fill(panels[:1<<20], 0)
	for n := 1 << 20; n < len(panels); n *= 2 {
		copy(panels[n:], panels[:n])
	}
	for _, tier := range Tiers() {
		m, nr := tier.MR, tier.NR
		tiles := rows / m
		for _, share := range []int{0, (4*nr + tiles - 1) / tiles} {
			b.Run(fmt.Sprintf("isa=%s/share=%d", tier.Name, share), func(b *testing.B) {
				x, c := make([]float32, rows*(k+16)), make([]float32, rows*nr)
				fill(x, 0)
				roof, flops, panel := peak(tier.Peak), 0, panels
				for b.Loop() {
					if len(panel) < k*nr {
						panel = panels
					}
					for i := range tiles {
						next := k * (4*nr + i*share)
						tier.Tile[m](k, &x[i*m*(k+16)], k+16, &panel[0], &c[i*m*nr], nr, nil, false, next, share)
					}
					panel = panel[k*nr:]
					flops += tiles * 2 * m * nr * k
				}
				rate := float64(flops) / b.Elapsed().Seconds()
				roof = max(roof, peak(tier.Peak))
				b.ReportMetric(rate/1e9, "GFLOP/s")
				b.ReportMetric(100*rate/roof, "%peak")
			})
		}
	}
}

// BenchmarkRoutines times the others at the sizes of ViT-H-14: a tile's activation, a row of the residual stream, a
// row of attention, and the packing of a panel.
func BenchmarkRoutines(b *testing.B) {
	const width, tokens = 1280, 257
	for _, tier := range Tiers() {
		x, y, z := make([]float32, width*tier.NR), make([]float32, width*tier.NR), make([]float32, width)
		h := make([]uint16, width)
		fill(x, 0)
		m, n := tier.MR, tier.NR
		for _, r := range []struct {
			name     string
			elements int
			run      func()
		}{
			{"gelu", m * n, func() { copy(y, x[:m*n]); tier.GELU(&y[0], n, m, n) }},
			{"gelu_tanh", m * n, func() { copy(y, x[:m*n]); tier.GELUTanh(&y[0], n, m, n) }},
			{"quick_gelu", m * n, func() { copy(y, x[:m*n]); tier.QuickGELU(&y[0], n, m, n) }},
			{"layernorm", width, func() { tier.LayerNorm(&y[0], &x[0], &z[0], &z[0], width, 1e-5) }},
			{"softmax", tokens, func() { copy(y, x[:tokens]); tier.Softmax(&y[0], tokens, 0.1) }},
			{"narrow", width, func() { tier.Narrow(&h[0], width, &x[0], width, 1, width) }},
			{"widen", width, func() { tier.Widen(&y[0], width, &h[0], width, 1, width) }},
			{"scale", width, func() { tier.Scale(&y[0], &x[0], width, 0.5) }},
			{"transpose", width * n, func() { tier.Transpose(&y[0], n, &x[0], width, n, width) }},
		} {
			b.Run(fmt.Sprintf("isa=%s/op=%s", tier.Name, r.name), func(b *testing.B) {
				for b.Loop() {
					r.run()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*r.elements), "ns/element")
			})
		}
	}
}
