package cuda

import (
	"math"
	"math/rand/v2"
	"testing"

	"vith/kernels/tensor"
)

// TestEncode holds the fast conversions to tensor's on every f16 and bf16 value, what lies between two of them, and
// random bits.
func TestEncode(t *testing.T) {
	check := func(bits uint32) {
		x := math.Float32frombits(bits)
		if got, want := toF16(x), tensor.ToF16(float64(x)); got != want {
			t.Fatalf("f16 of %v (%#x) is %#x, want %#x", x, bits, got, want)
		}
		if got, want := toBF16(x), tensor.ToBF16(float64(x)); got != want {
			t.Fatalf("bf16 of %v (%#x) is %#x, want %#x", x, bits, got, want)
		}
	}
	for code := range uint32(1 << 16) {
		for _, exact := range []uint32{math.Float32bits(tensor.FromF16(uint16(code))), code << 16} {
			for _, near := range []uint32{0, 1, 1<<12 - 1, 1 << 12, 1<<12 + 1, 1<<13 - 1, 1<<15 - 1, 1 << 15, 1<<15 + 1, 1<<16 - 1} {
				check(exact + near)
				check(exact - near)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 1 << 18 {
		check(r.Uint32())
	}
}
