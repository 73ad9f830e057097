package open_test

import (
	"log/slog"
	"testing"

	"vith/cmd/internal/open"
	"vith/cuda"
	"vith/cuda/emu"
	"vith/kernels"
	"vith/kernels/host"
	"vith/kernels/kerneltest"
	"vith/kernels/tensor"
	"vith/loader"
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
			towers := []string{"vit-tiny", "vit-tiny-b", "vit-tiny-g"}
			if c.device != "emu" || c.residual != "" {
				towers = towers[:1]
			}
			for _, tower := range towers {
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

// TestCallsEmulator compares every call of towers on the emulated driver with its definition, fed what the call was fed.
// Products are the project's own: those of cublasLt, which round the bias of a 16-bit result to its type, have their
// contract in cuda/drivertest.
func TestCallsEmulator(t *testing.T) {
	for _, tower := range []string{"vit-tiny", "vit-tiny-b", "vit-tiny-g"} {
		for name, p := range map[string]kernels.Precision{
			"fp32": kernels.FP32, "fp16": {Activation: tensor.F16, Stream: tensor.F32}, "bf16": {Activation: tensor.BF16, Stream: tensor.F32},
			"fp16 residual": {Activation: tensor.F16, Stream: tensor.F16},
		} {
			if tower != "vit-tiny" && name != "fp16" {
				continue // the others differ from vit-tiny in their sizes
			}
			t.Run(tower+" "+name, func(t *testing.T) {
				checkpoint, err := loader.Synthetic(tower, 1)
				if err != nil {
					t.Fatal(err)
				}
				defer checkpoint.Close()
				config, _ := checkpoint.Config()
				b, err := cuda.Open(emu.New(emu.Options{}), 0, cuda.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				k := &calls{Backend: b}
				if _, err := vit.NewEngine(config, checkpoint, k, vit.Options{MaxBatch: 1, Precision: p, Outputs: []vit.Output{vit.Projected}}); err != nil {
					t.Fatal(err)
				}
				_, files := references(t, tower)
				if err := kerneltest.Calls(k.program, b, [][]byte{crops(t, config.Image, files[:1])}); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// calls is a backend that keeps the program that was loaded last.
type calls struct {
	kernels.Backend
	program *kernels.Program
}

func (c *calls) Load(p *kernels.Program) (kernels.Runner, error) {
	c.program = p
	return c.Backend.Load(p)
}

// TestWideEmulator runs ViT-H-14, cut to two layers, at its real sizes on the emulated driver, beside the CPU in fp32.
func TestWideEmulator(t *testing.T) {
	checkpoint, err := loader.Synthetic("vit-h-14", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer checkpoint.Close()
	config, _ := checkpoint.Config()
	config.Layers = 2
	_, files := references(t, "vit-h-14")
	in := crops(t, config.Image, files[:1])
	embed := func(b kernels.Backend, p kernels.Precision) []float32 {
		engine, err := vit.NewEngine(config, checkpoint, b, vit.Options{MaxBatch: 1, Precision: p, Outputs: []vit.Output{vit.Projected}})
		if err != nil {
			t.Fatal(err)
		}
		defer engine.Close()
		out := make([]float32, config.Projection)
		if err := engine.Embed(t.Context(), vit.Projected, 1, in, out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	cpu, err := host.New(host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	gpu, err := cuda.Open(emu.New(emu.Options{}), 0, cuda.Options{Blas: emu.NewBlas, Deterministic: true}) // without trying algorithms
	if err != nil {
		t.Fatal(err)
	}
	var want []float64
	for _, x := range embed(cpu, kernels.FP32) {
		want = append(want, float64(x))
	}
	e := 1 - cosine(embed(gpu, kernels.Precision{Activation: tensor.F16, Stream: tensor.F32}), want)
	if !(e <= 1e-5) {
		t.Errorf("1 - cosine is %.3g", e)
	}
	t.Logf("1 - cosine is %.2g", e)
}
