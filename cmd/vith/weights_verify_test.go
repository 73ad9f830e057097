package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const embeddings = "../../vit/testdata/embeddings/"

// verify runs weights verify for its JSON.
func verify(t *testing.T, code int, args ...string) (v verification, stderr string) {
	t.Helper()
	r := vith(t, append([]string{"weights", "verify", "--json"}, args...)...)
	if r.code != code {
		t.Fatalf("vith weights verify %q: exit %d, want %d\n%s%s", args, r.code, code, r.stdout, r.stderr)
	}
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil {
		t.Fatalf("%v: %q", err, r.stdout)
	}
	return v, r.stderr
}

func TestVerifyTensors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tiny.safetensors")
	output(t, "weights", "synth", "vit-tiny", "1", path)
	v, _ := verify(t, 0, path)
	if v.Name != "vit-tiny" || len(v.Findings) != 0 || len(v.Tensors) != 40 || v.Tensors[0].Values != 160 || v.Tensors[0].Bytes != 640 || v.Reference != nil ||
		v.Digest != "sha256:63ac85b232e2025133b7086a361b2e09a1d4dc503b2b0cc5a1575edc8e72fff0" {
		t.Errorf("%+v", v)
	}
	text := output(t, "weights", "verify", path)
	if !strings.Contains(text, "vit-tiny: 40 weights of the tower read, 2.93 MB, digest sha256:63ac") || !strings.Contains(text, "nothing wrong") {
		t.Errorf("%q", text)
	}

	const bias = "vision_model.encoder.layers.1.mlp.fc1.bias"
	content := readFile(t, path)
	start := tensorStart(t, content, bias)
	damage := func(name string, change func(b []byte)) string {
		b := slices.Clone(content)
		change(b)
		path := filepath.Join(dir, name+".safetensors")
		create(t, path, b)
		return path
	}
	f := func(code int, severity, problem, path string) {
		t.Helper()
		v, stderr := verify(t, code, path)
		if len(v.Findings) != 1 || v.Findings[0].Severity != severity || !strings.Contains(v.Findings[0].Problem, problem) || v.Findings[0].Remedy == "" || !strings.Contains(stderr, path) {
			t.Errorf("%s: %+v, %q", path, v.Findings, stderr)
		}
		r := vith(t, "weights", "verify", path)
		if r.code != code || !strings.Contains(r.stdout, severity+": ") || !strings.Contains(r.stdout, problem) {
			t.Errorf("%s: exit %d, %q", path, r.code, r.stdout)
		}
	}
	f(1, suspicious, "all 640 values are zero", damage("zero", func(b []byte) { clear(b[start:][:4*640]) }))
	f(3, unusable, "1 of 640 values are NaN or infinite, the first at [7]", damage("nan", func(b []byte) {
		binary.LittleEndian.PutUint32(b[start+28:], math.Float32bits(float32(math.NaN())))
	}))
	f(3, unusable, "is missing", damage("missing", func(b []byte) { copy(b[bytes.Index(b, []byte(bias)):], "x") }))
	f(3, unusable, "takes 640 bytes", damage("short", func(b []byte) { b[bytes.Index(b, []byte(`data_offsets":[0,`))+17]++ }))
}

// tensorStart is where the data of a tensor begin in a safetensors file.
func tensorStart(t *testing.T, file []byte, name string) int {
	t.Helper()
	n := 8 + int(binary.LittleEndian.Uint64(file))
	var tensors map[string]struct {
		Offsets []int `json:"data_offsets"`
	}
	if err := json.Unmarshal(file[8:n], &tensors); err != nil {
		t.Fatal(err)
	}
	return n + tensors[name].Offsets[0]
}

// A vectorFile is what a reference holds of an image, by field.
type vectorFile map[string]map[string][]float64

func readVectors(t *testing.T, path string) vectorFile {
	t.Helper()
	var file struct{ Images map[string]json.RawMessage }
	if err := json.Unmarshal(readFile(t, path), &file); err != nil {
		t.Fatal(err)
	}
	vectors := vectorFile{}
	for name, raw := range file.Images {
		var fields struct {
			Pooled, Projected []float64
			Penultimate       []float64 `json:"penultimate_cls"`
		}
		if err := json.Unmarshal(raw, &fields); err != nil {
			t.Fatal(err)
		}
		vectors[name] = map[string][]float64{"pooled": fields.Pooled, "projected": fields.Projected, "penultimate_cls": fields.Penultimate}
	}
	return vectors
}

func (v vectorFile) save(t *testing.T, dtype string) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"dtype": dtype, "images": v})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "reference.json")
	create(t, path, text)
	return path
}

func TestVerifyAgainstReferences(t *testing.T) {
	for _, config := range []string{"vit-tiny", "vit-tiny-b", "vit-tiny-g"} {
		v, _ := verify(t, 0, "--reference", embeddings+config+"-1.json", "--images", photos, "synth:"+config+"/1")
		r := v.Reference
		if !r.Agrees || r.Images != 37 || len(r.Outputs) != 3 || len(r.Failed) != 0 || r.Explanation != nil || r.DType != "float64" {
			t.Errorf("%s: %+v", config, r)
		}
		for _, o := range r.Outputs {
			if o.Worst == nil || o.Worst.L2 == 0 || o.Worst.L2 > 1e-5 || o.Worst.Cosine > 1e-10 || o.Worst.Image == "" {
				t.Errorf("%s %s: %+v", config, o.Output, o.Worst)
			}
		}
	}
}

// Each mistake in the making of a reference is named, alone and together with others, with what to do.
func TestVerifyNamesTheMistake(t *testing.T) {
	dir := t.TempDir()
	output(t, "weights", "synth", "vit-tiny", "1", filepath.Join(dir, "model.safetensors"))
	create(t, filepath.Join(dir, "config.json"), []byte(`{"hidden_size":160,"intermediate_size":640,"num_hidden_layers":2,"num_attention_heads":2,"image_size":56,"patch_size":14,"projection_dim":96,"hidden_act":"quick_gelu"}`))
	truth := readVectors(t, embeddings+"vit-tiny-1.json")
	maps.DeleteFunc(truth, func(name string, _ map[string][]float64) bool { // a dozen small ones, some turned, some odd
		return !strings.Contains(name, "exif") && !strings.Contains(name, "451x300") && !strings.Contains(name, "_30")
	})
	unit := func(v []float64) []float64 {
		n := norm(v)
		scaled := make([]float64, len(v))
		for i, x := range v {
			scaled[i] = x / n
		}
		return scaled
	}
	changed := func(dtype string, change func(v map[string][]float64) map[string][]float64) string {
		vectors := vectorFile{}
		for name, v := range truth {
			vectors[name] = change(v)
		}
		return vectors.save(t, dtype)
	}
	f := func(model, path string, want ...string) {
		t.Helper()
		v, stderr := verify(t, 1, "--reference", path, "--images", photos, model)
		var got []string
		if e := v.Reference.Explanation; e != nil {
			for _, m := range e.Mistakes {
				got = append(got, m.Kind+": "+m.What+": "+m.Remedy)
			}
			if e.Worst.L2 > 2e-5 || e.Worst.Image == "" {
				t.Errorf("the explanation leaves %+v", e.Worst)
			}
		}
		for i, w := range want {
			kind, text, _ := strings.Cut(w, " ")
			if len(got) != len(want) || !strings.HasPrefix(got[i], kind+": ") || !strings.Contains(got[i], text) {
				t.Fatalf("explained by %q, want %q", got, want)
			}
		}
		if len(got) != len(want) || !strings.Contains(stderr, "its vectors disagree with the reference") {
			t.Errorf("explained by %q, want %q; %q", got, want, stderr)
		}
		if len(want) == 0 && v.Reference.Remedy == "" {
			t.Error("no remedy")
		}
	}
	f(tiny, changed("float64", func(v map[string][]float64) map[string][]float64 {
		return map[string][]float64{"pooled": v["penultimate_cls"], "projected": v["projected"]}
	}), "output pooled holds the output penultimate: use --output penultimate")
	f(tiny, changed("float64", func(v map[string][]float64) map[string][]float64 {
		return map[string][]float64{"projected": v["pooled"]}
	}), "output projected holds the output pooled")
	f(tiny, changed("float32", func(v map[string][]float64) map[string][]float64 {
		return map[string][]float64{"pooled": unit(v["projected"])}
	}), "output pooled holds the output projected", "normalisation unit length: pooled: use --normalize")
	asIs := truth.save(t, "float64")
	f(dir, asIs, "activation the activation is gelu, not what the checkpoint's configuration says: if the reference is right, use --activation gelu")
	f("synth:vit-tiny/2", asIs)

	// References of our own, in other geometries, whose pixels are held to Pillow's elsewhere.
	embedded := func(flags ...string) string {
		t.Helper()
		vectors := vectorFile{}
		for output, field := range map[string]string{"pooled": "pooled", "projected": "projected"} {
			args := append([]string{"embed", "--device", "cpu", "--model", tiny, "--output", output}, flags...)
			for name := range truth {
				args = append(args, photos+name)
			}
			reply := parse(t, outputOf(t, args...))
			for _, item := range reply.Data {
				name := filepath.Base(item.Image)
				if vectors[name] == nil {
					vectors[name] = map[string][]float64{}
				}
				for _, x := range item.Embedding {
					vectors[name][field] = append(vectors[name][field], float64(x))
				}
			}
		}
		return vectors.save(t, "float32")
	}
	f(tiny, embedded("--crop", "round"), "crop use --crop round")
	f(tiny, embedded("--exif", "ignore"), "exif use --exif ignore")
	f(tiny, embedded("--crop", "round", "--exif", "ignore", "--activation", "quick_gelu", "--normalize"), "crop ", "exif ", "activation use --activation quick_gelu", "normalisation pooled, projected")

	text := vith(t, "weights", "verify", "--reference", embedded("--crop", "round"), "--images", photos, tiny).stdout
	for _, want := range []string{"13 images compared, computed in float32, must be within relative L2 2e-05, 1 - cos 1e-09\n", "the vectors disagree", "crop: odd margins are rounded", "use --crop round"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}

	// What half precision costs is not explained by a mistake, and agrees once it is said.
	slightly := func(v map[string][]float64) map[string][]float64 {
		pooled := slices.Clone(v["pooled"])
		for i := range pooled {
			pooled[i] *= 1 + 1e-3*float64(i%2)
		}
		return map[string][]float64{"pooled": pooled}
	}
	v, _ := verify(t, 1, "--reference", changed("float32", slightly), "--images", photos, tiny)
	if v.Reference.Explanation != nil || !strings.Contains(v.Reference.Remedy, `"dtype":"float16"`) {
		t.Errorf("%+v", v.Reference)
	}
	verify(t, 0, "--reference", changed("float16", slightly), "--images", photos, tiny)
	f(tiny, changed("float16", func(v map[string][]float64) map[string][]float64 {
		return map[string][]float64{"pooled": unit(v["pooled"])}
	}), "normalisation pooled: use --normalize")

	// A length in bfloat16, which has 8 bits, scales to a length that is not quite 1.
	roughly := changed("bfloat16", func(v map[string][]float64) map[string][]float64 {
		fraction, exponent := math.Frexp(norm(v["pooled"]))
		n := math.Ldexp(math.RoundToEven(fraction*256)/256, exponent)
		scaled := slices.Clone(v["pooled"])
		for i := range scaled {
			scaled[i] /= n
		}
		return map[string][]float64{"pooled": scaled}
	})
	v, _ = verify(t, 1, "--reference", roughly, "--images", photos, tiny)
	if e := v.Reference.Explanation; e == nil || len(e.Mistakes) != 1 || e.Mistakes[0].Kind != "normalisation" {
		t.Errorf("scaled by a length in bfloat16: explained by %+v", e)
	}
}

// outputOf is output, of a command that may complain.
func outputOf(t *testing.T, args ...string) string {
	t.Helper()
	r := vith(t, args...)
	if r.code != 0 {
		t.Fatalf("vith %q: exit %d, %q", args, r.code, r.stderr)
	}
	return r.stdout
}

func TestVerifyBadReferences(t *testing.T) {
	truth := readVectors(t, embeddings+"vit-tiny-1.json")
	const cat = "chelsea_224x224_420.jpg"
	one := vectorFile{cat: truth[cat]}

	// An image that is not there is said, the others are compared.
	more := maps.Clone(one)
	more["no such.jpg"] = truth[cat]
	v, stderr := verify(t, 1, "--reference", more.save(t, "float64"), "--images", photos, tiny)
	if r := v.Reference; !r.Agrees || r.Images != 1 || len(r.Failed) != 1 || r.Failed[0].Image != "no such.jpg" || !strings.Contains(stderr, "1 image of the reference could not be embedded") {
		t.Errorf("%+v, %q", r, stderr)
	}
	for content, want := range map[string]string{
		"<html>":                                      "is not a file of reference embeddings",
		`{"images":{}}`:                               `has no "images"`,
		`{"dtype":"int8","images":{"a":{}}}`:          `dtype is "int8"`,
		`{"images":{"a":{"pooled":"x"}}}`:             "pooled of a is not a list of numbers",
		`{"images":{"a":{"embedding":[1]}}}`:          "a has none of pooled, projected and penultimate_cls",
		`{"images":{"a":{"pooled":[1]}}}`:             "none of the 1 images",
		`{"images":{"truncated.png":{"pooled":[1]}}}`: "none of the 1 images",
	} {
		path := filepath.Join(t.TempDir(), "r.json")
		create(t, path, []byte(content))
		r := vith(t, "weights", "verify", "--reference", path, "--images", bad, tiny)
		if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: exit %d, %q, %q, want %q", content, r.code, r.stdout, r.stderr, want)
		}
	}
}
