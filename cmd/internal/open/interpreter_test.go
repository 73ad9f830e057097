package open_test

import (
	"context"
	"math"
	"testing"

	"vith/kernels"
	"vith/kernels/kerneltest"
	"vith/kernels/ptx"
	"vith/kernels/ptxsim"
	"vith/kernels/tensor"
	"vith/loader"
	"vith/vit"
)

// TestParityInterpreter runs a whole tower in PTX on the interpreter, products included, and holds it to the bounds of its
// precision.
func TestParityInterpreter(t *testing.T) {
	for _, c := range []struct {
		name      string
		precision kernels.Precision
		target    ptx.Target
		cosine    float64 // at least; 0: relative L2 of 5e-5 at most
	}{
		{"fp32", kernels.FP32, ptx.SM80, 0},
		{"fp16", kernels.Precision{Activation: tensor.F16, Stream: tensor.F32}, ptx.SM80, 0.99999},
		{"fp16 throughout", kernels.Precision{Activation: tensor.F16, Stream: tensor.F16}, ptx.SM80, 0.99999},
		{"bf16", kernels.Precision{Activation: tensor.BF16, Stream: tensor.F32}, ptx.SM80, 0.998},
		{"fp16 on Turing", kernels.Precision{Activation: tensor.F16, Stream: tensor.F32}, ptx.SM75, 0.99999},
	} {
		t.Run(c.name, func(t *testing.T) {
			const tower = "vit-tiny"
			checkpoint, err := loader.Synthetic(tower, 1)
			if err != nil {
				t.Fatal(err)
			}
			config, _ := checkpoint.Config()
			gpu := kerneltest.NewInterpreter(c.target, 1, ptxsim.Aligned)
			engine, err := vit.NewEngine(config, checkpoint, gpu, vit.Options{MaxBatch: 1, Precision: c.precision})
			if err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			check := func(what string, got []float32, want []float64) {
				e := tensor.RelativeL2(got, want)
				if c.cosine > 0 {
					e = 1 - cosine(got, want)
				}
				if limit := map[bool]float64{true: 1 - c.cosine, false: 5e-5}[c.cosine > 0]; !(e <= limit) {
					t.Errorf("%s %s is off by %.3g, more than %g", tower, what, e, limit)
				}
				worst = max(worst, e)
			}
			ref, files := references(t, tower)
			files = files[:1]
			in := crops(t, config.Image, files)
			for output, want := range map[vit.Output]func(file string) []float64{
				vit.Pooled:      func(f string) []float64 { return ref.Images[f].Pooled },
				vit.Projected:   func(f string) []float64 { return ref.Images[f].Projected },
				vit.Penultimate: func(f string) []float64 { return ref.Images[f].PenultimateCLS },
			} {
				shape, err := output.Shape(config)
				if err != nil {
					t.Fatal(err)
				}
				width := shape[0]
				if len(shape) == 2 {
					width *= shape[1]
				}
				out := make([]float32, len(files)*width)
				if err := engine.Embed(context.Background(), output, len(files), in, out); err != nil {
					t.Fatal(err)
				}
				for i, file := range files {
					w := want(file)
					check(file+" "+string(output), out[i*width:][:len(w)], w)
				}
			}
			t.Logf("%s: worst %.2g", tower, worst)
			engine.Close()
			checkpoint.Close()
		})
	}
}

func cosine(a []float32, b []float64) float64 {
	var aa, ab, bb float64
	for i, x := range b {
		aa += float64(a[i]) * float64(a[i])
		ab += float64(a[i]) * x
		bb += x * x
	}
	return ab / math.Sqrt(aa*bb)
}
