package simd

import (
	"bytes"
	"math"
	"testing"
)

// idctReference is the definition (T.81, A.3.3), in float64.
func idctReference(coefficients *[64]int16) (samples [64]float64) {
	for i := range samples {
		x, y := float64(i%8), float64(i/8)
		for k, c := range coefficients {
			u, v := float64(k%8), float64(k/8)
			s := float64(c) / 4 * math.Cos((2*x+1)*u*math.Pi/16) * math.Cos((2*y+1)*v*math.Pi/16)
			if u == 0 {
				s *= math.Sqrt2 / 2
			}
			if v == 0 {
				s *= math.Sqrt2 / 2
			}
			samples[i] += s
		}
		samples[i] = math.Min(math.Max(samples[i]+128, 0), 255)
	}
	return samples
}

// The integer transform keeps 13 bits of the constants and rounds twice, to 1/4
// of 1/8 and to 1: it is within 1/2 + 1/8 + a little of the definition.
func TestIDCT(t *testing.T) {
	const tolerance = 0.5 + 0.125 + 0.05
	eachTier(t, func(t *testing.T, tier *Tier) {
		for n := range 1000 {
			var block, dequantised [64]int16
			var quant [64]uint16
			for k := range quant {
				quant[k] = uint16(1 + source.IntN(16))
			}
			for range n % 20 {
				k := source.IntN(64)
				if n%3 == 0 {
					k %= 8 // the first row alone is a short cut
				}
				block[k] = int16(source.IntN(1000)-500) / int16(quant[k])
			}
			for k := range block {
				dequantised[k] = block[k] * int16(quant[k])
			}
			want := idctReference(&dequantised)
			const stride = 11
			out := bytes.Repeat([]byte{0xa5}, 8*stride)
			tier.IDCT(out, stride, &block, &quant)
			for i, v := range out {
				x, y := i%stride, i/stride
				if x >= 8 {
					if v != 0xa5 {
						t.Fatalf("block %d: wrote beyond its row", n)
					}
					continue
				}
				if difference := math.Abs(float64(v) - want[8*y+x]); difference > tolerance {
					t.Fatalf("block %d: sample (%d, %d) is %d, want %.3f", n, x, y, v, want[8*y+x])
				}
			}
		}
	})
}

// Damaged data overflows; all tiers must wrap and saturate at the same places.
func TestIDCTOverflow(t *testing.T) {
	memory := newFence(t, 4096)
	extremes := []int16{math.MinInt16, math.MinInt16 + 1, -1, 0, 1, math.MaxInt16}
	eachTier(t, func(t *testing.T, tier *Tier) {
		for n := range 50000 {
			var block [64]int16
			var quant [64]uint16
			limit := 1 + n%16 // coefficients are of up to so many bits
			for k := range quant {
				quant[k] = uint16(source.Uint32() >> (16 + source.IntN(16)))
			}
			for range source.IntN(64) {
				k := source.IntN(64)
				switch n % 4 {
				case 0:
					k %= 8
				case 1:
					k -= k % 8
				}
				block[k] = int16(source.Uint32()) >> (16 - limit)
				if source.IntN(8) == 0 {
					block[k] = extremes[source.IntN(len(extremes))]
				}
			}
			stride := 8 + n%9
			size := 7*stride + 8
			got, want := memory.place(size, n%2 == 0), make([]byte, size)
			for i := range got {
				got[i], want[i] = 0xa5, 0xa5
			}
			idct(want, stride, &block, &quant)
			tier.IDCT(got, stride, &block, &quant)
			if !bytes.Equal(got, want) {
				i := difference(got, want)
				t.Fatalf("block %d: sample (%d, %d) is %d, want %d\ncoefficients %v\ntable %v", n, i%stride, i/stride, got[i], want[i], block, quant)
			}
		}
	})
}
