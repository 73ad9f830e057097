package loader

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"vith/vit/tower"
)

func TestExamineSoundTowers(t *testing.T) {
	for _, config := range []string{"vit-tiny", "vit-tiny-b", "vit-tiny-g"} {
		path := saved(t, config, 1)
		var mu sync.Mutex
		var last, total int64
		x, err := Examine(t.Context(), path, func(d, n int64) {
			mu.Lock()
			defer mu.Unlock()
			last, total = max(last, d), n
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(x.Findings) > 0 {
			t.Errorf("%s: %v", config, x.Findings)
		}
		if x.Digest != goldenDigests[config] || x.Name != config || len(x.Files) != 1 || len(x.Weights) != len(x.Config.Tensors()) {
			t.Errorf("%+v", x)
		}
		want := int64(0)
		for _, s := range x.Weights {
			want += 4 * int64(s.Values)
		}
		if last != want || total != want {
			t.Errorf("%s: progress ended at %d of %d bytes, want %d", config, last, total, want)
		}
	}
}

// Statistics of a tensor whose values are known.
func TestStatistics(t *testing.T) {
	entries := stateDict(t, "vit-tiny-b", 1)
	i := slices.IndexFunc(entries, func(e entry) bool { return e.name == tower.Layer(1, "mlp.fc1.bias") })
	values := make([]float32, 512)
	values[3], values[4], values[5], values[511] = 3, -4, float32(math.NaN()), float32(math.Inf(1))
	entries[i].data = littleEndian(values)
	x := examined(t, entries)
	s := x.Weights[slices.IndexFunc(x.Weights, func(s Statistics) bool { return s.Name == entries[i].name })]
	if s.Values != 512 || s.Bytes != 4*512 || s.Zeros != 508 || s.NotFinite != 2 || s.Min != -4 || s.Max != 3 || s.Mean != -1./510 ||
		s.RMS != math.Sqrt(25./510) || !slices.Equal(s.FirstOdd, []int{5}) || s.DType != "F32" || !slices.Equal(s.Shape, []int{512}) {
		t.Errorf("%+v", s)
	}
}

func examined(t *testing.T, entries []entry) *Examination {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "x.safetensors", string(encode(t, entries, `{"synthetic":"vit-tiny-b/1"}`, 0)))
	x, err := Examine(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// Each damage is found, once, at its tensor, with the value and what to do.
func TestExamineFindsDamage(t *testing.T) {
	sound := stateDict(t, "vit-tiny-b", 1)
	layer := tower.Layer(1, "")
	scaled := func(factor float32) func(e *entry) {
		return func(e *entry) {
			var values []float32
			for four := range slices.Chunk(e.data, 4) {
				values = append(values, factor*math.Float32frombits(binary.LittleEndian.Uint32(four)))
			}
			e.data = littleEndian(values)
		}
	}
	constant := func(x float32) func(e *entry) {
		return func(e *entry) { e.data = littleEndian(slices.Repeat([]float32{x}, len(e.data)/4)) }
	}
	at := func(i int, x float32) func(e *entry) {
		return func(e *entry) {
			e.data = slices.Clone(e.data)
			binary.LittleEndian.PutUint32(e.data[4*i:], math.Float32bits(x))
		}
	}
	f := func(fatal bool, tensor string, change func(e *entry), want string) {
		t.Helper()
		entries := slices.Clone(sound)
		i := slices.IndexFunc(entries, func(e entry) bool { return e.name == tensor })
		change(&entries[i])
		x := examined(t, entries)
		if len(x.Findings) != 1 {
			t.Errorf("%s: %d findings: %v", tensor, len(x.Findings), x.Findings)
			return
		}
		found := x.Findings[0]
		if found.Fatal != fatal || found.Tensor != tensor || !strings.Contains(found.Problem, want) || found.Remedy == "" {
			t.Errorf("fatal %v, tensor %s: %v; want %q of %s", found.Fatal, found.Tensor, found, want, tensor)
		}
	}
	f(true, layer+"mlp.fc1.weight", at(513, float32(math.NaN())), "1 of 65536 values are NaN or infinite, the first at [4 1]")
	f(true, tower.PatchEmbedding, at(777, float32(math.Inf(-1))), "the first at [1 0 0 9]")
	f(false, layer+"mlp.fc2.weight", constant(0), "all 65536 values are zero")
	f(false, layer+"self_attn.q_proj.bias", constant(0), "all 128 values are zero")
	f(false, tower.PostLayerNorm+".weight", constant(1), "all 128 values are 1, as before training")
	f(false, tower.VisualProjection, constant(0.5), "all 8192 values are 0.5")
	f(false, layer+"self_attn.q_proj.weight", at(0, 7e4), "its largest value, 7e+04, is above the 65504 that fp16 holds")
	f(false, layer+"self_attn.q_proj.weight", scaled(255), "its scale is odd: rms ")
	f(false, tower.VisualProjection, scaled(1e-6), "its scale is odd: rms ")
	f(false, tower.ClassEmbedding, scaled(1e4), "its values are large: rms ")
	f(false, tower.PostLayerNorm+".weight", scaled(1e-4), "its values are small: rms ")
	f(true, layer+"mlp.fc1.bias", func(e *entry) { e.shape, e.data = []int{511}, e.data[:2044] }, "the shape [511], but the tower has [512]")
	f(true, layer+"mlp.fc1.bias", func(e *entry) { e.dtype = "I32" }, "is of type I32, must be F32, F16 or BF16")
	f(false, tower.Layer(2, "mlp.fc2.weight"), scaled(40), "in the other layers it is about ")

	// Everything that is missing or extra, and nothing of a key's bias, which has no effect.
	entries := slices.Clone(sound)
	for i := range entries {
		switch entries[i].name {
		case layer + "mlp.fc1.bias":
			entries[i].name = layer + "mlp.fc1.bios"
		case layer + "layer_norm1.weight":
			entries[i].name = "text_model.weight"
		case layer + "self_attn.k_proj.bias":
			constant(0)(&entries[i])
		}
	}
	x := examined(t, entries)
	var got []string
	for _, found := range x.Findings {
		got = append(got, found.Tensor+" "+found.Problem)
		if !found.Fatal {
			t.Errorf("%v is not fatal", found)
		}
	}
	want := []string{layer + "layer_norm1.weight is missing", layer + "mlp.fc1.bias is missing",
		layer + "mlp.fc1.bios is no weight of a CLIP ViT of 3 layers (from __metadata__.synthetic)"}
	if !slices.Equal(got, want) || x.Digest != "" {
		t.Errorf("found %q, want %q; digest %q", got, want, x.Digest)
	}
}

// The parts of a fused tensor are looked at one by one.
func TestExamineOpenCLIP(t *testing.T) {
	entries := inOpenCLIP(stateDict(t, "vit-tiny-b", 1), 3)
	i := slices.IndexFunc(entries, func(e entry) bool { return e.name == "visual.transformer.resblocks.1.attn.in_proj_bias" })
	clear(entries[i].data[256*4 : 384*4])
	x := examined(t, entries)
	if len(x.Findings) != 1 || x.Findings[0].Tensor != entries[i].name || x.Findings[0].Problem != "all 128 values are zero (read as "+tower.Layer(1, "self_attn.v_proj.bias")+")" {
		t.Errorf("%v", x.Findings)
	}
}

func TestExamineCannot(t *testing.T) {
	if _, err := Examine(t.Context(), "synth:vit-gigantic/1", nil); err == nil {
		t.Error("examined a tower that does not exist")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Examine(ctx, "synth:vit-tiny/1", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled examination returned %v", err)
	}
}
