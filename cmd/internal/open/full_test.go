//go:build full

package open_test

import (
	"log/slog"
	"testing"

	"vith/cmd/internal/open"
	"vith/kernels/host/simd"
	"vith/vit"
)

// TestParityFull is TestParity for all photographs of ViT-H-14 on every instruction set of the machine that is made for
// it, in every precision.
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

// TestEmulatorFull runs the whole of ViT-H-14 in fp16 on the emulated driver, one photograph.
func TestEmulatorFull(t *testing.T) {
	model, err := open.Load(t.Context(), open.Options{
		Model: "synth:vit-h-14/1", Device: "emu", Precision: "fp16", GELU: "auto", MaxBatch: 1, Outputs: []vit.Output{vit.Pooled},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	ref, files := references(t, "vit-h-14")
	out := make([]float32, model.Outputs["pooled"][0])
	if err := model.Embed(t.Context(), vit.Pooled, 1, crops(t, model.Preprocess.Size, files[:1]), out); err != nil {
		t.Fatal(err)
	}
	e := 1 - cosine(out, ref.Images[files[0]].Pooled)
	if !(e <= 1e-5) {
		t.Errorf("1 - cosine is %.3g", e)
	}
	t.Logf("%s: 1 - cosine is %.2g", files[0], e)
}
