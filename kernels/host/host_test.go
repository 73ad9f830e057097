package host

import (
	"testing"

	"vith/kernels"
	"vith/kernels/host/simd"
	"vith/kernels/kerneltest"
)

// backends are all tiers of this machine, on three threads: more than tasks at times, and an odd number.
func backends(t testing.TB) map[string]kernels.Backend {
	list := map[string]kernels.Backend{}
	for _, tier := range simd.Tiers() {
		b, err := New(Options{Threads: 3, Tier: tier.Name})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		list[tier.Name] = b
	}
	return list
}

func TestKernels(t *testing.T) { kerneltest.Run(t, kernels.All(), backends(t)) }
