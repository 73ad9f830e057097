package loader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vith/vit/tower"
)

// refused checks that err is an *Error about that file and tensor, reads as one line, says want and has a remedy.
func refused(t testing.TB, err error, file, tensor, want string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("got %v, want an *Error with %q", err, want)
		return
	}
	line := err.Error()
	if e.File != file || e.Tensor != tensor {
		t.Errorf("%q is about file %q and tensor %q, want %q and %q", line, e.File, e.Tensor, file, tensor)
	}
	if !strings.Contains(line, want) || !strings.HasPrefix(line, file+": ") || strings.Contains(line, "\n") || len(line) > 2000 {
		t.Errorf("got %q, want %q", line, want)
	}
	if e.Remedy == "" && e.Err == nil {
		t.Errorf("%q has no remedy", line)
	}
}

// damagedHeaders are refused before any tensor is looked at as a weight.
var damagedHeaders = []struct {
	content []byte
	tensor  string
	want    string
}{
	{nil, "", "the file is empty"},
	{[]byte("1234567"), "", "7 bytes are too few"},
	{withLength(""), "", "unexpected EOF"},
	{withLength("{"), "", "unexpected EOF"},
	{withLength("[]"), "", "[ where an object belongs"},
	{withLength(`"x"`), "", "x where an object belongs"},
	{withLength("\x00\x00"), "", "invalid character '\\x00'"},
	{withLength(`{"a":1}`), "a", "1 where an object belongs"},
	{withLength(`{"a":null}`), "a", "<nil> where an object belongs"},
	{withLength(`{}{}`), "", "more text follows"},
	{withLength(`{} x`), "", "more text follows"},
	{withLength(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`), "", "unexpected EOF"},
	{withLength(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4}}`), "a", "invalid character '}'"},
	{append(withLength(`{}`), 1, 2, 3), "", "3 bytes follow the last tensor"},
	{[]byte("\xff\xff\xff\xff\xff\xff\xff\xff{}"), "", "length of 18446744073709551615 bytes is above the format's 100000000"},
	{[]byte("\x00\xe1\xf5\x05\x00\x00\x00\x00{}"), "", "length is 100000000 bytes, but only 2 follow"},
	{[]byte("\x01\xe1\xf5\x05\x00\x00\x00\x00{}"), "", "length of 100000001 bytes is above"},
	{withTensor(`"dtype":"F32","shape":[1],"data_offsets":[0,4],"dtype":"F32"`, 4), "a", `"dtype" is there twice`},
	{withTensor(`"dtype":"F32","shape":[1]`, 4), "", "expected 3 keys"},
	{withTensor(`"dtype":"F32","shape":[1],"offsets":[0,4]`, 4), "", `missing "data_offsets"`},
	{withTensor(`"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":[]`, 4), "a", "more than 3 members"},
	{withTensor(`"dtype":"F32","shape":[1],"data_offsets":[4]`, 4), "", "expected array of 2 elements"},
	{withTensor(`"dtype":"F31","shape":[1],"data_offsets":[0,4]`, 4), "a", `"F31"`},
	{withTensor(`"dtype":32,"shape":[1],"data_offsets":[0,4]`, 4), "a", "32 is not a string"},
	{withTensor(`"dtype":["F32"],"shape":[1],"data_offsets":[0,4]`, 4), "a", "[ is not a string"},
	{withTensor(`"dtype":"`+strings.Repeat("F", 5000)+`","shape":[1],"data_offsets":[0,4]`, 4), "a", "is not a string of at most 16 bytes"},
	{withTensor(`"dtype":"F32","shape":1,"data_offsets":[0,4]`, 4), "a", "1 where a list belongs"},
	{withTensor(`"dtype":"F32","shape":{"0":1},"data_offsets":[0,4]`, 4), "a", "{ where a list belongs"},
	{withTensor(`"dtype":"F32","shape":[-1],"data_offsets":[0,4]`, 4), "a", "-1 is not a natural number"},
	{withTensor(`"dtype":"F32","shape":[1.5],"data_offsets":[0,4]`, 4), "a", "1.5 is not a natural number"},
	{withTensor(`"dtype":"F32","shape":[1e2],"data_offsets":[0,4]`, 4), "a", "1e2 is not a natural number"},
	{withTensor(`"dtype":"F32","shape":["1"],"data_offsets":[0,4]`, 4), "a", "1 is not a natural number"},
	{withTensor(`"dtype":"F32","shape":[[1]],"data_offsets":[0,4]`, 4), "a", "[ is not a natural number"},
	{withTensor(`"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]`, 4), "a", "18446744073709551616 is not a natural number below 2^64"},
	{withTensor(`"dtype":"F32","shape":[`+strings.Repeat("1", 5000)+`],"data_offsets":[0,4]`, 4), "a", "is not a natural number below 2^64"},
	{withTensor(`"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]`, 4), "a", "more than 8 dimensions"},
	{withTensor(`"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]`, 0), "a", "overflows"},
	{withTensor(`"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]`, 0), "a", "overflows"},
	{withTensor(`"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]`, 9), "a", "its data end at byte 18446744073709551615, the file holds 9"},
	{withTensor(`"dtype":"F32","shape":[2],"data_offsets":[0,4]`, 4), "a", "shape [2] of F32 takes 8 bytes, data_offsets [0 4] hold 4"},
	{withTensor(`"dtype":"F32","shape":[0],"data_offsets":[0,4]`, 4), "a", "takes 0 bytes"},
	{withTensor(`"dtype":"F32","shape":[1],"data_offsets":[4,0]`, 4), "a", "run backwards"},
	{withTensor(`"dtype":"F32","shape":[1],"data_offsets":[4,8]`, 8), "a", "leave a hole of 4 bytes"},
	{withTensor(`"dtype":"F32","shape":[2],"data_offsets":[0,8]`, 5), "a", "its data end at byte 8, the file holds 5 bytes of data"},
	{withTensor(`"dtype":"F32","shape":[1],"data_offsets":[0,4]`, 5), "", "1 bytes follow the last tensor"},
	{append(withLength(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}`), 1, 2, 3, 4, 5, 6), "b", `overlap "a", which ends at 4`},
	{append(withLength(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}}`), 1), "", `"a" is there twice`},
	{withLength(`{"__metadata__":{"format":1}}`), "__metadata__", "1 is not a string"},
	{withLength(`{"` + strings.Repeat("n", 2000) + `":{}}`), "", "a name of 2000 bytes"},
	{[]byte("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3944692325\n"), "", "a Git LFS pointer"},
	{[]byte("\n<!DOCTYPE html>\n<html></html>"), "", "this is a web page"},
	{[]byte("\x81\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P"), "", "is above the format's"}, // like a pickle, but none
	{[]byte("<HTML><body>Sign in</body></HTML>"), "", "this is a web page"},
	{[]byte("PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00\x00\x00archive/data.pkl"), "", "a zip archive, as PyTorch's"},
	{[]byte("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."), "", "a Python pickle"},
	{append([]byte("\x80\x04\x95\x00\x00\x00\x00\x00"), make([]byte, 1<<24)...), "", "a Python pickle"}, // a plausible length
	{append([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"), make([]byte, 1<<20)...), "", "compressed with gzip"},
	{[]byte(`{"error":"Repository not found"}`), "", "this is JSON text"},
}

// withTensor is a file with a tensor "a" of these members and so many bytes of data.
func withTensor(members string, bytes int) []byte {
	return append(withLength(`{"a":{`+members+`}}`), make([]byte, bytes)...)
}

func TestDamagedHeaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	for i, d := range damagedHeaders {
		write(t, filepath.Dir(path), "x.safetensors", string(d.content))
		_, err := Open(path)
		refused(t, err, path, d.tensor, d.want)
		if t.Failed() {
			t.Fatalf("header %d: %.200q", i, d.content)
		}
	}
}

// TestHostileHeadersAllocateLittle opens headers that would cost gigabytes if they were believed or decoded freely.
func TestHostileHeadersAllocateLittle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	var many strings.Builder
	for i := range maxTensors + 2 {
		fmt.Fprintf(&many, `,"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`, i)
	}
	for _, h := range []struct {
		name, header string
		limit        uint64 // bytes
	}{
		{"a long shape", `{"a":{"dtype":"F32","shape":[1` + strings.Repeat(",1", 1<<20), 1 << 16},
		{"deep nesting", strings.Repeat(`{"a":`, 1<<19), 1 << 16},
		{"many dimensions", `{"a":{"shape":` + strings.Repeat("[", 1<<20), 1 << 16},
		{"a huge tensor", `{"a":{"dtype":"F32","shape":[1152921504606846975],"data_offsets":[0,4611686018427387900]}}`, 1 << 16},
		{"many tensors", "{" + many.String()[1:], 128 << 20},
	} {
		write(t, filepath.Dir(path), "x.safetensors", string(withLength(h.header)))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := Open(path); err == nil {
			t.Errorf("%s: opened", h.name)
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > h.limit {
			t.Errorf("%s: %d bytes of header made us allocate %d", h.name, len(h.header), got)
		}
	}
}

// TestDamagedTowers spoils a sound file tensor by tensor.
func TestDamagedTowers(t *testing.T) {
	hf := stateDict(t, "vit-tiny", 1)
	path := filepath.Join(t.TempDir(), "x.safetensors")
	f := func(tensor, want string, spoil func(map[string]*entry)) {
		t.Helper()
		entries := slices.Clone(hf)
		byName := map[string]*entry{}
		for i := range entries {
			byName[entries[i].name] = &entries[i]
		}
		spoil(byName)
		if extra := byName["text_model.x"]; extra != nil {
			entries = append(entries, *extra)
		}
		write(t, filepath.Dir(path), "x.safetensors", string(encode(t, entries, "", 0)))
		_, err := Open(path)
		refused(t, err, path, tensor, want)
	}
	fc2 := tower.Layer(1, "mlp.fc2.weight")
	f(fc2, "is missing", func(e map[string]*entry) { e[fc2].name = "text_model.x" })
	f(fc2, "the shape [640 160], but the tower has [160 640] (from names and shapes of the tensors)", func(e map[string]*entry) { e[fc2].shape = []int{640, 160} })
	f(fc2, "the shape [102400]", func(e map[string]*entry) { e[fc2].shape = []int{102400} })
	f(fc2, "is of type I32, must be F32, F16 or BF16", func(e map[string]*entry) { e[fc2].dtype = "I32" })
	f(fc2, "is of type F64", func(e map[string]*entry) {
		e[fc2].dtype, e[fc2].shape = "F64", []int{160, 640}
		e[fc2].data = make([]byte, 8*160*640)
	})
	f(fc2, "has shape [160 0]", func(e map[string]*entry) { e[fc2].shape, e[fc2].data = []int{160, 0}, nil })
	f(fc2, "has shape [0 4294967295]", func(e map[string]*entry) { e[fc2].shape, e[fc2].data = []int{0, 1<<32 - 1}, nil })
	f("vision_model.head.probe", "is no weight of a CLIP ViT of 2 layers", func(e map[string]*entry) {
		e["text_model.x"] = &entry{"vision_model.head.probe", "F32", []int{1}, make([]byte, 4)}
	})
	f("", "no CLIP vision tower: none of its 40 tensors is vision_model.embeddings.class_embedding or embeddings.class_embedding or visual.class_embedding", func(e map[string]*entry) { e[tower.ClassEmbedding].name = "cls_token" })
	f(tower.ClassEmbedding, "has 2 dimensions, a CLIP tower's has 1", func(e map[string]*entry) { e[tower.ClassEmbedding].shape = []int{1, 160} })
	f(tower.PatchEmbedding, "is missing", func(e map[string]*entry) { e[tower.PatchEmbedding].name = "x" })
	f(tower.PositionEmbedding, "the shape [34 80], but the tower has", func(e map[string]*entry) { e[tower.PositionEmbedding].shape = []int{34, 80} })
}

func TestDamagedFolders(t *testing.T) {
	sound := string(encode(t, stateDict(t, "vit-tiny", 1), "", 0))
	index := func(shards ...string) string {
		var members []string
		for pair := range slices.Chunk(shards, 2) {
			members = append(members, fmt.Sprintf("%q:%q", pair[0], pair[1]))
		}
		return `{"weight_map":{` + strings.Join(members, ",") + `}}`
	}
	f := func(file, tensor, want string, contents ...string) {
		t.Helper()
		dir := t.TempDir()
		write(t, dir, contents...)
		_, err := Open(dir)
		refused(t, err, filepath.Join(dir, file), tensor, want)
	}
	f("", "", "no .safetensors file in the folder")
	f("", "", "no .safetensors file, only model.pkl", "model.pkl", "x")
	f("", "", "no .safetensors file, only pytorch_model.bin", "pytorch_model.bin", "x", "config.json", "{}")
	f("", "", "several files of weights: a.safetensors, b.safetensors; name one", "a.safetensors", sound, "b.safetensors", sound)
	f(IndexName, "", "cannot read the index of the shards: unexpected end of JSON", IndexName, "{")
	f(IndexName, "", "weight_map is empty", IndexName, "{}")
	f(IndexName, "y", "its shard b.safetensors is missing", IndexName, index("x", "a.safetensors", "y", "b.safetensors"), "a.safetensors", sound)
	f(IndexName, "x", `shard "../a.safetensors" is not the name of a file in the folder`, IndexName, index("x", "../a.safetensors"))
	f(IndexName, "x", `shard ".." is not the name`, IndexName, index("x", ".."))
	f(IndexName, "x", `shard "" is not the name`, IndexName, index("x", ""))
	f("a.safetensors", "x", "is not there, though "+IndexName+" says so", IndexName, index(tower.ClassEmbedding, "a.safetensors", "x", "a.safetensors"), "a.safetensors", sound)
	f("b.safetensors", tower.ClassEmbedding, "is also in ", IndexName, index(tower.ClassEmbedding, "a.safetensors", "x", "b.safetensors"), "a.safetensors", sound, "b.safetensors", sound)
	f("model.safetensors", "", "the file is empty", "model.safetensors", "")
}

func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(filepath.Join(dir, "none.safetensors"))
	refused(t, err, filepath.Join(dir, "none.safetensors"), "", "no such file or directory; name a .safetensors file")
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v is not os.ErrNotExist", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(pipe)
	refused(t, err, pipe, "", "is not a regular file")
	_, err = Open("/dev/null")
	refused(t, err, "/dev/null", "", "is not a regular file")
}

// FuzzOpen opens whole files of any bytes: never a panic, and what opens can be read and digested.
func FuzzOpen(f *testing.F) {
	for _, d := range damagedHeaders {
		if len(d.content) < 1<<12 {
			f.Add(d.content)
		}
	}
	f.Add(encode(f, rest(), `{"format":"pt","synthetic":"vit-tiny/1"}`, 0))
	tiny := tower.Config{Width: 160, MLP: 1, Layers: 1, Heads: 2, Image: 2, Patch: 1, Projection: 1}
	var entries []entry
	for _, w := range tiny.Tensors() {
		n := 2
		for i, d := range w.Shape {
			if d == 160 {
				w.Shape[i] = 2
			}
			n *= w.Shape[i]
		}
		entries = append(entries, entry{w.Name, "BF16", w.Shape, make([]byte, n)})
	}
	f.Add(encode(f, entries, "", 0))
	f.Add(encode(f, inOpenCLIP(entries, 1), "", 3))
	f.Add(encode(f, entries[:len(entries)-2], "", 0))
	nowhere := f.TempDir()
	write(f, nowhere, "config.json", `{"hidden_size":2,"intermediate_size":1,"num_hidden_layers":1,"num_attention_heads":1,"image_size":2,"patch_size":1,"projection_dim":1}`)
	explained := func(t *testing.T, err error) {
		var e *Error
		if !errors.As(err, &e) || e.File == "" || strings.Contains(err.Error(), "\n") || len(err.Error()) > 10_000 {
			t.Fatalf("%.10000q", err)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		c, err := assemble("x.safetensors", nowhere, []file{{path: "x.safetensors", data: content}}, nil)
		if err != nil {
			explained(t, err)
			return
		}
		for _, fault := range c.faults {
			explained(t, fault)
		}
		if len(c.faults) > 0 {
			return // as Open refuses it
		}
		digest(t, c)
		cfg, _ := c.Config()
		for _, w := range cfg.Tensors() {
			weight := c.weights[w.Name]
			if err := c.ReadRows(w.Name, make([]float32, weight.rows()*weight.cols()), 0, weight.rows()); err != nil {
				var e *Error
				if !errors.As(err, &e) || e.Tensor == "" {
					t.Fatal(err)
				}
			}
		}
	})
}
