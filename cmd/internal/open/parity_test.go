package open_test

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"vith/kernels"
	"vith/kernels/host"
	"vith/kernels/host/simd"
	"vith/kernels/tensor"
	"vith/loader"
	"vith/vit"
	"vith/vit/preprocess"
)

// testdata is where the photographs and what is expected of them are; VITH_KIT_DATA names another place.
var testdata = cmp.Or(os.Getenv("VITH_KIT_DATA"), "../../../vit/testdata")

// A precision is one that the CPU computes in, and what its vectors must hold to against the reference.
type precision struct {
	name        string
	types       kernels.Precision
	relative    float64 // relative L2, at most; 0: no bound
	small, full float64 // cosine of small towers and of ViT-H-14, at least
}

var (
	fp32 = precision{name: "fp32", types: kernels.FP32, relative: 1e-5, small: 0.99999, full: 0.99999}
	bf16 = precision{name: "bf16", types: kernels.Precision{Activation: tensor.BF16, Stream: tensor.F32}, small: 0.998, full: 0.9998}
)

// A reference is what a float64 implementation in PyTorch, independent of this project, makes of the photographs; see
// vit/testdata/embeddings/README.md.
type reference struct {
	Images map[string]*struct {
		Pooled          []float64         `json:"pooled"`
		Projected       []float64         `json:"projected"`
		PenultimateCLS  []float64         `json:"penultimate_cls"`
		PenultimateRows map[int][]float64 `json:"penultimate_rows"`
		PenultimateRMS  []float64         `json:"penultimate_rms"`
	} `json:"images"`
}

func TestParity(t *testing.T) {
	for _, name := range []string{"vit-tiny", "vit-tiny-b", "vit-tiny-g"} {
		for _, tier := range simd.Tiers() {
			for _, p := range []precision{fp32, bf16} {
				t.Run(name+"/"+tier.Name+"/"+p.name, func(t *testing.T) { parity(t, name, tier.Name, p, p.small, 37) })
			}
		}
	}
	t.Run("vit-h-14/fp32", func(t *testing.T) { parity(t, "vit-h-14", "", fp32, fp32.full, 2) })
}

// parity embeds the first photographs of a synthetic tower's reference, from their encoded bytes, in batches of 8 and
// alone, and compares every output.
func parity(t *testing.T, name, tier string, p precision, least float64, photographs int) {
	ref, files := references(t, name)
	if len(files) < photographs {
		t.Fatalf("the reference has %d photographs, want %d", len(files), photographs)
	}
	files = files[:photographs]
	checkpoint, err := loader.Synthetic(name, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer checkpoint.Close()
	backend, err := host.New(host.Options{Tier: tier})
	if err != nil {
		t.Fatal(err)
	}
	config, _ := checkpoint.Config()
	engine, err := vit.NewEngine(config, checkpoint, backend, vit.Options{MaxBatch: 8, Precision: p.types})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()

	ctx := context.Background()
	in := crops(t, config.Image, files)
	embed := func(o vit.Output, width, n int) []float32 {
		out := make([]float32, n*width)
		if err := engine.Embed(ctx, o, n, in[:n*engine.InBytes()], out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	worst, farthest := map[string]float64{}, map[string]float64{}
	compare := func(file, what string, got []float32, want []float64) {
		e, angle := tensor.RelativeL2(got, want), 1-cosine(got, want)
		if p.relative > 0 && !(e <= p.relative) {
			t.Errorf("%s: %s is off by %.3g, relative, more than %g", file, what, e, p.relative)
		}
		if !(angle <= 1-least) {
			t.Errorf("%s: %s has a cosine of 1 - %.3g, less than %g", file, what, angle, least)
		}
		worst[what], farthest[what] = max(worst[what], e), max(farthest[what], angle)
	}
	tokens, width := config.Tokens(), config.Width
	pooled := embed(vit.Pooled, width, len(files))
	projected := embed(vit.Projected, config.Projection, len(files))
	penultimate := embed(vit.Penultimate, tokens*width, len(files))
	detailed := 0
	for i, file := range files {
		want := ref.Images[file]
		compare(file, "pooled", pooled[i*width:][:width], want.Pooled)
		compare(file, "projected", projected[i*config.Projection:][:config.Projection], want.Projected)
		rows := penultimate[i*tokens*width:][:tokens*width]
		compare(file, "penultimate class token", rows[:width], want.PenultimateCLS)
		if want.PenultimateRMS == nil {
			continue
		}
		detailed++
		if len(want.PenultimateRows) != 3 || len(want.PenultimateRMS) != tokens {
			t.Fatalf("%s: %d rows and %d root mean squares, want 3 and %d", file, len(want.PenultimateRows), len(want.PenultimateRMS), tokens)
		}
		for r, values := range want.PenultimateRows {
			compare(file, "penultimate row", rows[r*width:][:width], values)
		}
		rms := make([]float32, tokens)
		for r := range rms {
			sum := 0.0
			for _, x := range rows[r*width:][:width] {
				sum += float64(x) * float64(x)
			}
			rms[r] = float32(math.Sqrt(sum / float64(width)))
		}
		compare(file, "penultimate root mean squares", rms, want.PenultimateRMS)
	}
	if detailed == 0 {
		t.Error("no photograph has reference rows")
	}
	if alone := embed(vit.Pooled, width, 1); !slices.Equal(alone, pooled[:width]) {
		t.Errorf("%s alone differs from itself in a batch", files[0])
	}
	t.Logf("worst of %d photographs, relative L2: %v; 1 - cosine: %v", len(files), worst, farthest)
}

// references reads the reference of synthetic tower name/1 and the names of its photographs, in order.
func references(t *testing.T, name string) (ref reference, files []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testdata, "embeddings", name+"-1.json"))
	if err == nil {
		err = json.Unmarshal(text, &ref)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ref, slices.Sorted(maps.Keys(ref.Images))
}

// crops prepares photographs for a tower of the given image size, one after the other.
func crops(t *testing.T, size int, files []string) []byte {
	t.Helper()
	var all []byte
	for _, file := range files {
		photograph, err := os.ReadFile(filepath.Join(testdata, "images", "photos", file))
		if err != nil {
			t.Fatal(err)
		}
		crop := make([]byte, 3*size*size)
		if err := preprocess.Crop(context.Background(), crop, photograph, preprocess.Options{Size: size}); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, crop...)
	}
	return all
}
