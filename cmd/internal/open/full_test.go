//go:build full

package open_test

import (
	"testing"

	"vith/kernels/host/simd"
)

// TestParityFull is TestParity for ViT-H-14 on every instruction set of the machine that is made for it, in every
// precision.
func TestParityFull(t *testing.T) {
	for _, tier := range simd.Tiers() {
		if tier.Name == "generic" {
			continue // minutes an image
		}
		for _, p := range []precision{fp32, bf16} {
			t.Run(tier.Name+"/"+p.name, func(t *testing.T) { parity(t, "vit-h-14", tier.Name, p, p.full, 6) })
		}
	}
}
