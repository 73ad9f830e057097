package kerneltest

import (
	"testing"

	"vith/kernels"
	"vith/kernels/ptx"
	"vith/kernels/ptxsim"
	"vith/kernels/tensor"
)

// TestAttentionWork holds attention on tensor cores to what its tiles are chosen for: in the sizes of CLIP's vision
// towers, little of what the matrix instructions multiply is padding, and no access to shared memory conflicts.
func TestAttentionWork(t *testing.T) {
	for _, c := range []struct {
		tokens, dim int
		useful      float64 // share of the products, at least
	}{
		{50, 64, 0.6}, {197, 64, 0.8}, {257, 64, 0.85}, {257, 80, 0.85}, {257, 88, 0.84}, {257, 104, 0.84},
	} {
		p := kernels.Precision{Activation: tensor.F16, Stream: tensor.F16}
		d := []int{1, 1, c.tokens, c.tokens, c.dim}
		trial := newTrial(named("attention"), kernels.Case{Dims: d, Scalars: []float32{0.1}}, p, form{name: "as declared"}, 1)
		gpu := NewInterpreter(ptx.SM80, 1, ptxsim.Sequential)
		if err := trial.run(gpu); err != nil {
			t.Error(err)
			continue
		}
		stats := gpu.Stats("attention")
		issued := 2 * 16 * 8 * 16 * float64(stats.MMA) // counting depth 8 as 16
		if useful := float64(trial.kernel.FLOPs(d)) / issued; useful < c.useful {
			t.Errorf("%v: %.1f%% of the products are useful, want at least %.0f%%", d, 100*useful, 100*c.useful)
		}
		if stats.BankConflicts != 0 {
			t.Errorf("%v: %d bank conflicts in %d accesses", d, stats.BankConflicts, stats.SharedWavefronts)
		}
	}
}
