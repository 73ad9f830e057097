package simd

import (
	"bytes"
	"math"
	"testing"
)

// All colours: rounded from the real formulas.
func TestRGB(t *testing.T) {
	clampFloat := func(v float64) float64 { return math.Min(math.Max(v, 0), 255) }
	luma, red := make([]byte, 256), make([]byte, 256)
	for i := range red {
		red[i] = byte(i)
	}
	eachTier(t, func(t *testing.T, tier *Tier) {
		got, portable := make([]byte, 3*256), make([]byte, 3*256)
		for y := range 256 {
			for cb := range 256 {
				for i := range luma {
					luma[i] = byte(y)
				}
				blue := bytes.Repeat([]byte{byte(cb)}, 256)
				tier.RGB(got, luma, blue, red)
				rgb(portable, luma, blue, red)
				if !bytes.Equal(got, portable) {
					t.Fatalf("Y %d, Cb %d: byte %d differs from the portable routine", y, cb, difference(got, portable))
				}
				if y%5+cb%7 > 0 {
					continue
				}
				for cr := range 256 {
					u, v := float64(cb-128), float64(cr-128)
					want := [3]float64{float64(y) + 1.402*v, float64(y) - 0.344136*u - 0.714136*v, float64(y) + 1.772*u}
					for i, w := range want {
						if math.Abs(float64(got[3*cr+i])-clampFloat(w)) > 0.51 { // half, and the constants' last bit
							t.Fatalf("YCbCr %d %d %d: channel %d is %d, want %.3f", y, cb, cr, i, got[3*cr+i], w)
						}
					}
				}
			}
		}
	})
}
