package open_test

import (
	"log/slog"
	"testing"

	"vith/cmd/internal/open"
	"vith/kernels/tensor"
	"vith/vit"
)

// TestParityEmulator runs whole towers through the CUDA backend on the emulated driver and cublasLt, in batches of 8, 3
// and 1, and holds them to the bounds of their precision.
func TestParityEmulator(t *testing.T) {
	for _, c := range []struct {
		device, precision, gelu, residual string
		cosine                            float64 // at least; 0: relative L2 of 5e-5 at most
	}{
		{"emu", "fp32", "auto", "", 0}, {"emu", "tf32", "auto", "", 0.99999}, {"emu", "fp16", "auto", "", 0.99999},
		{"emu", "fp16", "tanh", "fp16", 0.99999}, {"emu", "bf16", "auto", "", 0.998}, {"emu:sm_75", "fp16", "auto", "", 0.99999},
	} {
		t.Run(c.device+" "+c.precision+" "+c.gelu+" "+c.residual, func(t *testing.T) {
			for _, tower := range []string{"vit-tiny", "vit-tiny-b", "vit-tiny-g"} {
				model, err := open.Load(t.Context(), open.Options{
					Model: "synth:" + tower + "/1", Device: c.device, Precision: c.precision, GELU: c.gelu, Residual: c.residual, Log: slog.New(slog.DiscardHandler),
				})
				if err != nil {
					t.Fatal(err)
				}
				ref, files := references(t, tower)
				files = files[:8]
				in := crops(t, model.Preprocess.Size, files)
				worst := 0.0
				for output, shape := range model.Outputs {
					width := shape[0]
					if len(shape) == 2 {
						width *= shape[1]
					}
					for _, n := range []int{8, 3, 1} {
						out := make([]float32, n*width)
						if err := model.Embed(t.Context(), vit.Output(output), n, in[:n*model.InBytes()], out); err != nil {
							t.Fatal(err)
						}
						for i, file := range files[:n] {
							image := ref.Images[file]
							want := map[string][]float64{"pooled": image.Pooled, "projected": image.Projected, "penultimate": image.PenultimateCLS}[output]
							got := out[i*width:][:len(want)]
							e, limit := tensor.RelativeL2(got, want), 5e-5
							if c.cosine > 0 {
								e, limit = 1-cosine(got, want), 1-c.cosine
							}
							if !(e <= limit) {
								t.Errorf("%s of %s on %s, batch %d, is off by %.3g, more than %g", output, file, tower, n, e, limit)
							}
							worst = max(worst, e)
						}
					}
				}
				t.Logf("%s: worst %.2g", tower, worst)
				if err := model.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
