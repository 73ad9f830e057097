package open_test

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"vith/kernels/host"
	"vith/kernels/host/simd"
	"vith/kernels/tensor"
	"vith/loader"
	"vith/vit"
	"vith/vit/preprocess"
)

// bound is the relative L2 error that fp32 on the CPU must stay within, of every vector of every tower.
const bound = 1e-5

const testdata = "../../../vit/testdata"

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
			t.Run(name+"/"+tier.Name, func(t *testing.T) { parity(t, name, tier.Name, 37) })
		}
	}
	t.Run("vit-h-14", func(t *testing.T) { parity(t, "vit-h-14", "", 6) })
}

// parity embeds every photograph of a synthetic tower's reference, from its encoded bytes, in batches of 8 and alone,
// and compares every output.
func parity(t *testing.T, name, tier string, photographs int) {
	ref, files := references(t, name)
	if len(ref.Images) != photographs {
		t.Fatalf("the reference has %d photographs, want %d", len(ref.Images), photographs)
	}
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
	engine, err := vit.NewEngine(config, checkpoint, backend, vit.Options{MaxBatch: 8})
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
	worst := map[string]float64{}
	compare := func(file, what string, got []float32, want []float64) {
		e := tensor.RelativeL2(got, want)
		if !(e <= bound) {
			t.Errorf("%s: %s is off by %.3g, relative, more than %g", file, what, e, bound)
		}
		worst[what] = max(worst[what], e)
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
	if detailed != 3 {
		t.Errorf("%d photographs have reference rows, want 3", detailed)
	}
	if alone := embed(vit.Pooled, width, 1); !slices.Equal(alone, pooled[:width]) {
		t.Errorf("%s alone differs from itself in a batch", files[0])
	}
	t.Logf("worst of %d photographs, relative L2: %v", len(files), worst)
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
