package device

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"vith/cuda"
	"vith/kernels/tensor"
	"vith/vit"
	"vith/vit/preprocess"
)

// A parity is how far a tower's outputs are from the reference.
type parity struct {
	Tower     string  `json:"tower"`
	Precision string  `json:"precision"`
	Output    string  `json:"output"`
	Vectors   int     `json:"vectors"`
	Cosine    float64 `json:"one_minus_cosine"` // the worst of the vectors
	Relative  float64 `json:"relative_l2"`      // the worst of the vectors
}

// bounds of a precision's worst vector, as 1 - cosine and as relative L2; 0: none.
var bounds = map[string]struct{ cosine, relative float64 }{
	"fp32": {0, 5e-5}, "tf32": {1e-5, 0}, "fp16": {1e-5, 0}, "bf16": {2e-3, 0},
}

// Whole towers give the reference's embeddings of all photographs in every precision, in passes of 8, 3 and 1.
func TestTowers(t *testing.T) {
	d := find(t)
	towers := []string{"vit-tiny", "vit-tiny-b", "vit-tiny-g", "vit-h-14"}
	if d.Small {
		towers = towers[:1]
	}
	for _, tower := range towers {
		t.Run(tower, func(t *testing.T) {
			for _, precision := range slices.Sorted(maps.Keys(modes)) {
				if d.Small && slices.Contains([]string{"fp32-own", "bf16-own", "bf16-tanh"}, precision) {
					continue // slow to emulate, and much like the others
				}
				t.Run(precision, func(t *testing.T) { d.testTower(t, tower, precision) })
			}
		})
	}
}

func (d Device) testTower(t *testing.T, tower, precision string) {
	want, files := references(t, tower)
	batches := []int{len(files), 3, 1}
	if d.Small {
		files, batches = files[:2], []int{2, 1}
	}
	engine, err := d.Load("synth:"+tower+"/1", precision, cuda.Options{}, vit.Options{MaxBatch: min(8, len(files))})
	if err != nil {
		t.Fatal(err)
	}
	in := crops(t, engine.Config().Image, files)
	for _, output := range vit.Outputs(engine.Config()) {
		shape, err := output.Shape(engine.Config())
		if err != nil {
			t.Fatal(err)
		}
		values := 1
		for _, n := range shape {
			values *= n
		}
		p := parity{Tower: tower, Precision: precision, Output: string(output)}
		for _, n := range batches {
			out := make([]float32, n*values)
			if err := engine.Embed(t.Context(), output, n, in[:n*engine.InBytes()], out); err != nil {
				t.Fatal(err)
			}
			for i, file := range files[:n] {
				w := want[file].of(output)
				p.add(out[i*values:][:len(w)], w)
			}
		}
		record(t, "parity", p)
		format, _, _ := strings.Cut(precision, "-")
		bound := bounds[format]
		if bound.cosine > 0 && !(p.Cosine <= bound.cosine) || bound.relative > 0 && !(p.Relative <= bound.relative) {
			t.Errorf("%+v is beyond %+v", p, bound)
		}
	}
	if err := engine.Close(); err != nil {
		t.Error(err)
	}
}

// add takes a vector into account. NaN, once there, stays.
func (p *parity) add(got []float32, want []float64) {
	var dot, x, y float64
	for i, w := range want {
		g := float64(got[i])
		dot, x, y = dot+g*w, x+g*g, y+w*w
	}
	p.Vectors++
	p.Cosine = max(p.Cosine, 1-dot/math.Sqrt(x*y))
	p.Relative = max(p.Relative, tensor.RelativeL2(got, want))
}

// A reference is what a float64 implementation makes of a photograph.
type reference struct {
	Pooled      []float64 `json:"pooled"`
	Projected   []float64 `json:"projected"`
	Penultimate []float64 `json:"penultimate_cls"` // the class token's row
}

func (r *reference) of(o vit.Output) []float64 {
	return map[vit.Output][]float64{vit.Pooled: r.Pooled, vit.Projected: r.Projected, vit.Penultimate: r.Penultimate}[o]
}

// references are those of a tower by photograph, and the photographs' names in order.
func references(t *testing.T, tower string) (map[string]*reference, []string) {
	t.Helper()
	text, err := os.ReadFile(data("embeddings", tower+"-1.json"))
	var file struct {
		Images map[string]*reference `json:"images"`
	}
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file.Images, slices.Sorted(maps.Keys(file.Images))
}

// crops prepares photographs for a tower of the given image size.
func crops(t *testing.T, size int, files []string) []byte {
	t.Helper()
	all := make([]byte, 0, len(files)*3*size*size)
	for _, file := range files {
		photograph, err := os.ReadFile(data("images", "photos", file))
		if err != nil {
			t.Fatal(err)
		}
		crop := make([]byte, 3*size*size)
		if err := preprocess.Crop(t.Context(), crop, photograph, preprocess.Options{Size: size}); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, crop...)
	}
	return all
}
