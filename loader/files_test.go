package loader

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vith/kernels/tensor"
	"vith/vit/tower"
)

// An entry is a tensor to put into a file.
type entry struct {
	name, dtype string
	shape       []int
	data        []byte
}

// encode writes a safetensors file; pad is the number of spaces after the header, so that data may be unaligned.
func encode(t testing.TB, entries []entry, metadata string, pad int) []byte {
	t.Helper()
	var header strings.Builder
	header.WriteString("{")
	if metadata != "" {
		header.WriteString(`"__metadata__":` + metadata)
	}
	var data []byte
	for _, e := range entries {
		if header.Len() > 1 {
			header.WriteString(",")
		}
		shape, err := json.Marshal(e.shape)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&header, `%q:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, e.name, e.dtype, shape, len(data), len(data)+len(e.data))
		data = append(data, e.data...)
	}
	header.WriteString("}" + strings.Repeat(" ", pad))
	return append(withLength(header.String()), data...)
}

// withLength puts a header's length before it.
func withLength(header string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
}

// write puts files into a folder: alternating base names and contents.
func write(t testing.TB, dir string, namesAndContents ...string) {
	t.Helper()
	for pair := range slices.Chunk(namesAndContents, 2) {
		path := filepath.Join(dir, pair[0])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(pair[1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func synth(t testing.TB, config string, seed uint64) *Checkpoint {
	t.Helper()
	c, err := Synthetic(config, seed)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stateDict is a synthetic tower as entries in F32 and transformers' spelling.
func stateDict(t testing.TB, config string, seed uint64) []entry {
	t.Helper()
	c := synth(t, config, seed)
	cfg, _ := c.Config()
	var entries []entry
	for _, w := range cfg.Tensors() {
		entries = append(entries, entry{w.Name, "F32", w.Shape, littleEndian(readAll(t, c, w))})
	}
	return entries
}

func littleEndian(values []float32) []byte {
	var b []byte
	for _, x := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// inHalves rounds F32 entries to F16 or BF16.
func inHalves(entries []entry, dtype string, round func(float64) uint16) []entry {
	entries = slices.Clone(entries)
	for i, e := range entries {
		var b []byte
		for four := range slices.Chunk(e.data, 4) {
			x := math.Float32frombits(binary.LittleEndian.Uint32(four))
			b = binary.LittleEndian.AppendUint16(b, round(float64(x)))
		}
		entries[i].dtype, entries[i].data = dtype, b
	}
	return entries
}

// inOpenCLIP spells a state dict as open_clip does, written out from its model definition and not from our table: fused
// in_proj, proj as [width, out].
func inOpenCLIP(entries []entry, layers int) []entry {
	byName := map[string]entry{}
	for _, e := range entries {
		byName[e.name] = e
	}
	var out []entry
	take := func(as, name string) {
		e := byName[name]
		e.name = as
		out = append(out, e)
	}
	fuse := func(as string, names ...string) {
		e := entry{name: as, dtype: byName[names[0]].dtype, shape: slices.Clone(byName[names[0]].shape)}
		e.shape[0] *= len(names)
		for _, n := range names {
			e.data = append(e.data, byName[n].data...)
		}
		out = append(out, e)
	}
	take("visual.class_embedding", tower.ClassEmbedding)
	take("visual.positional_embedding", tower.PositionEmbedding)
	if p, ok := byName[tower.VisualProjection]; ok {
		rows, cols := p.shape[0], p.shape[1]
		size := len(p.data) / (rows * cols)
		e := entry{"visual.proj", p.dtype, []int{cols, rows}, make([]byte, len(p.data))}
		for r := range rows {
			for c := range cols {
				copy(e.data[(c*rows+r)*size:][:size], p.data[(r*cols+c)*size:])
			}
		}
		out = append(out, e)
	}
	take("visual.conv1.weight", tower.PatchEmbedding)
	take("visual.ln_pre.weight", tower.PreLayerNorm+".weight")
	take("visual.ln_pre.bias", tower.PreLayerNorm+".bias")
	for i := range layers {
		block := fmt.Sprintf("visual.transformer.resblocks.%d.", i)
		for _, kind := range []string{".weight", ".bias"} {
			take(block+"ln_1"+kind, tower.Layer(i, "layer_norm1"+kind))
			fuse(block+"attn.in_proj_"+kind[1:], tower.Layer(i, "self_attn.q_proj"+kind), tower.Layer(i, "self_attn.k_proj"+kind), tower.Layer(i, "self_attn.v_proj"+kind))
			take(block+"attn.out_proj"+kind, tower.Layer(i, "self_attn.out_proj"+kind))
			take(block+"ln_2"+kind, tower.Layer(i, "layer_norm2"+kind))
			take(block+"mlp.c_fc"+kind, tower.Layer(i, "mlp.fc1"+kind))
			take(block+"mlp.c_proj"+kind, tower.Layer(i, "mlp.fc2"+kind))
		}
	}
	take("visual.ln_post.weight", tower.PostLayerNorm+".weight")
	take("visual.ln_post.bias", tower.PostLayerNorm+".bias")
	return out
}

// rest is what lies beside the vision tower in a whole CLIP checkpoint of either spelling.
func rest() []entry {
	return []entry{
		{"logit_scale", "F32", []int{}, make([]byte, 4)},
		{"text_model.embeddings.position_ids", "I64", []int{1, 3}, make([]byte, 24)},
		{"text_model.encoder.layers.0.mlp.fc1.bias", "F64", []int{5}, make([]byte, 40)},
		{"vision_model.embeddings.position_ids", "I64", []int{1, 17}, make([]byte, 136)},
		{"text_projection", "F16", []int{3, 3}, make([]byte, 18)},
		{"transformer.resblocks.0.attn.in_proj_weight", "BF16", []int{0, 7}, nil},
	}
}

func TestSpellings(t *testing.T) {
	const config, seed = "vit-tiny-b", 3
	want := synth(t, config, seed)
	cfg, _ := want.Config()
	hf := stateDict(t, config, seed)
	f := func(name string, got *Checkpoint) {
		t.Helper()
		equal(t, got, want)
		if g, w := digest(t, got), digest(t, want); g != w {
			t.Errorf("%s: digest %s, want %s", name, g, w)
		}
	}
	file := func(content []byte) *Checkpoint {
		t.Helper()
		dir := t.TempDir()
		write(t, dir, "x.safetensors", string(content))
		return open(t, filepath.Join(dir, "x.safetensors"))
	}
	reversed := slices.Clone(hf)
	slices.Reverse(reversed)
	f("another order", file(encode(t, reversed, "", 0)))
	f("a whole CLIP", file(encode(t, append(rest(), hf...), `{"format":"pt"}`, 0)))
	for _, pad := range []int{1, 2, 7} {
		f(fmt.Sprintf("data at offset %d", pad), file(encode(t, hf, "", pad)))
	}
	clip := inOpenCLIP(hf, cfg.Layers)
	f("open_clip", file(encode(t, clip, "", 0)))
	f("open_clip, whole, unaligned", file(encode(t, slices.Concat(rest()[:3], clip, rest()[4:]), "", 1)))
	f("header padded to 3 MB", file(encode(t, hf, "", 3<<20)))

	dir := t.TempDir()
	shards := []string{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
	index := map[string]map[string]string{"weight_map": {}}
	for i, e := range hf {
		index["weight_map"][e.name] = shards[2*i/len(hf)]
	}
	text, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	half := (len(hf) + 1) / 2
	write(t, dir, shards[0], string(encode(t, hf[:half], "", 0)), shards[1], string(encode(t, hf[half:], "", 0)), IndexName, string(text))
	sharded := open(t, dir)
	f("two shards", sharded)
	if got := sharded.Files(); len(got) != 2 || filepath.Base(got[1]) != shards[1] {
		t.Errorf("Files() = %v", got)
	}
}

// TestTowerOnItsOwn reads a tower without projection in the spellings of old and new CLIPVisionModel.
func TestTowerOnItsOwn(t *testing.T) {
	want := synth(t, "vit-tiny", 1)
	hf := stateDict(t, "vit-tiny", 1)
	hf = hf[:len(hf)-1]
	bare := slices.Clone(hf)
	for i := range bare {
		bare[i].name = strings.TrimPrefix(bare[i].name, "vision_model.")
	}
	bare = append(bare, entry{"embeddings.position_ids", "I64", []int{1, 17}, make([]byte, 136)})
	for _, entries := range [][]entry{hf, bare, inOpenCLIP(hf, 2)} {
		dir := t.TempDir()
		write(t, dir, "clip.safetensors", string(encode(t, entries, "", 0)))
		c := open(t, dir)
		cfg, _ := c.Config()
		if cfg.Projection != 0 || c.Has(tower.VisualProjection) {
			t.Errorf("projection %d", cfg.Projection)
		}
		if c.Name() != "vit-tiny" {
			t.Errorf("Name() = %q", c.Name())
		}
		for _, w := range cfg.Tensors() {
			if !slices.Equal(readAll(t, c, w), readAll(t, want, w)) {
				t.Errorf("%s differs", w.Name)
			}
		}
	}
}

func TestHalves(t *testing.T) {
	want := synth(t, "vit-tiny-b", 2)
	cfg, _ := want.Config()
	hf := stateDict(t, "vit-tiny-b", 2)
	digests := map[string]bool{digest(t, want): true}
	for _, h := range []struct {
		dtype string
		round func(float64) uint16
		widen func(uint16) float32
	}{{"F16", tensor.ToF16, tensor.FromF16}, {"BF16", tensor.ToBF16, tensor.FromBF16}} {
		entries := inHalves(hf, h.dtype, h.round)
		var sums []string
		for pad, entries := range [][]entry{entries, inOpenCLIP(entries, cfg.Layers)} {
			dir := t.TempDir()
			write(t, dir, "model.safetensors", string(encode(t, entries, "", pad)))
			c := open(t, dir)
			for _, w := range cfg.Tensors() {
				exact := readAll(t, want, w)
				for i, x := range readAll(t, c, w) {
					if y := h.widen(h.round(float64(exact[i]))); x != y {
						t.Fatalf("%s %s[%d] = %g, want %g", h.dtype, w.Name, i, x, y)
					}
				}
			}
			sums = append(sums, digest(t, c))
		}
		if sums[0] != sums[1] {
			t.Errorf("%s: digest %s in one spelling, %s in the other", h.dtype, sums[0], sums[1])
		}
		if digests[sums[0]] {
			t.Errorf("%s has the digest of another type", h.dtype)
		}
		digests[sums[0]] = true
	}
}

func TestTensorsForInspection(t *testing.T) {
	hf := stateDict(t, "vit-tiny", 1)
	dir := t.TempDir()
	content := encode(t, append(inOpenCLIP(hf, 2), rest()[0]), "", 5)
	write(t, dir, "x.safetensors", string(content))
	c := open(t, dir)
	seen := map[string]TensorInfo{}
	for _, info := range c.Tensors() {
		seen[info.Name] = info
	}
	fused := seen["visual.transformer.resblocks.1.attn.in_proj_bias"]
	want := []string{tower.Layer(1, "self_attn.k_proj.bias"), tower.Layer(1, "self_attn.q_proj.bias"), tower.Layer(1, "self_attn.v_proj.bias")}
	if !slices.Equal(fused.Canonical, want) || fused.DType != "F32" || !slices.Equal(fused.Shape, []uint64{480}) || fused.Bytes != 1920 ||
		fused.File != filepath.Join(dir, "x.safetensors") {
		t.Errorf("fused bias: %+v", fused)
	}
	q := synth(t, "vit-tiny", 1).weights[want[1]]
	if got := content[fused.Offset:][:640]; !slices.Equal(got, q.values.read(make([]byte, 640), 0, 160)) {
		t.Error("the offset does not lead to the first value of q_proj.bias")
	}
	if scale := seen["logit_scale"]; scale.Canonical != nil || len(scale.Shape) != 0 || scale.Offset+scale.Bytes != int64(len(content)) {
		t.Errorf("logit_scale: %+v", scale)
	}

	// A synthetic checkpoint lists what its file would.
	file := open(t, saved(t, "vit-tiny-b", 9)).Tensors()
	made := synth(t, "vit-tiny-b", 9).Tensors()
	if len(file) != len(made) {
		t.Fatalf("%d tensors in the file, %d in memory", len(file), len(made))
	}
	for i := range file {
		made[i].File = file[i].File
		if fmt.Sprint(file[i]) != fmt.Sprint(made[i]) {
			t.Errorf("file %v, memory %v", file[i], made[i])
		}
	}
}
