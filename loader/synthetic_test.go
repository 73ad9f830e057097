package loader

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// published are the sizes and sums of the files in the specification of the synthetic checkpoints.
var published = []struct {
	config string
	seed   uint64
	bytes  int64
	sha256 string
}{
	{"vit-tiny", 1, 2930648, "9149a6018b152236d1d85f4bd25b77f98e1820be9827e49c67f1439bb10c82a9"},
	{"vit-tiny-b", 1, 2822944, "13130db34c36513c76fe4b34aef7188a182b97e5ae20ab2f9f76b2d6ea67f67e"},
	{"vit-tiny-g", 1, 5468208, "b1f650326c228702d9da55ba85cb3766cbe9d567a07d1e6651d9cae91f0a82fd"},
}

func TestWriteSyntheticIsByteExact(t *testing.T) {
	for _, p := range published {
		h := sha256.New()
		var last, total int64
		if err := WriteSynthetic(t.Context(), h, p.config, p.seed, func(d, n int64) { last, total = d, n }); err != nil {
			t.Fatal(err)
		}
		if last != p.bytes || total != p.bytes {
			t.Errorf("%s/%d: progress ended at %d of %d bytes, want %d", p.config, p.seed, last, total, p.bytes)
		}
		if got := fmt.Sprintf("%x", h.Sum(nil)); got != p.sha256 {
			t.Errorf("%s/%d has sha256 %s, want %s", p.config, p.seed, got, p.sha256)
		}
	}
}

// TestSyntheticValues holds single values, computed from the specification by hand in Python's float64.
func TestSyntheticValues(t *testing.T) {
	f := func(seed uint64, name string, i int, want float32) {
		t.Helper()
		c := synth(t, "vit-tiny", seed)
		got := make([]float32, 1)
		w := c.weights[name]
		widen(got, w.values.read(make([]byte, 4), i, 1), w.dtype)
		if got[0] != want {
			t.Errorf("seed %d, %s[%d] = %v, want %v", seed, name, i, got[0], want)
		}
	}
	f(1, "vision_model.embeddings.class_embedding", 0, -0x1.41bd4p-5)
	f(1, "vision_model.embeddings.class_embedding", 159, -0x1.1d5afap-8)
	f(1, "vision_model.pre_layrnorm.weight", 12, 0x1.b39e88p-1)
	f(1, "vision_model.pre_layrnorm.weight", 13, 0x1.6be74ap+2) // an outlier
	f(1, "vision_model.pre_layrnorm.weight", 110, 0x1.83fedcp+2)
	f(1, "vision_model.post_layernorm.weight", 13, 0x1.f86bc2p-1) // has none
	f(1, "visual_projection.weight", 96*160-1, 0x1.b708acp-6)
	f(1<<64-1, "vision_model.embeddings.class_embedding", 0, -0x1.4ece3p-8)
	f(1<<64-1, "vision_model.pre_layrnorm.weight", 110, 0x1.974e7cp+2)
	f(1<<64-1, "visual_projection.weight", 96*160-1, 0x1.22f814p-4)
}

func TestSaveSynthetic(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	write(t, dir, "x.safetensors", "an older file")
	ctx, cancel := context.WithCancel(t.Context())
	err := SaveSynthetic(ctx, path, "vit-tiny", 1, func(done, total int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled save returned %v", err)
	}
	if content, _ := os.ReadFile(path); string(content) != "an older file" {
		t.Errorf("a cancelled save left %d bytes under the name", len(content))
	}
	if err := SaveSynthetic(t.Context(), path, "vit-tiny", 1, nil); err != nil {
		t.Fatal(err)
	}
	if content, _ := os.ReadFile(path); fmt.Sprintf("%x", sha256.Sum256(content)) != published[0].sha256 {
		t.Error("the saved file has another sha256")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%v lie in the folder", entries)
	}
	refused(t, SaveSynthetic(t.Context(), dir, "vit-tiny", 1, nil), dir, "", "is not a regular file")
	refused(t, SaveSynthetic(t.Context(), path, "vit-tinny", 1, nil), "synth:vit-tinny", "", "no such tower; known are vit-tiny, ")
	err = SaveSynthetic(t.Context(), filepath.Join(dir, "none", "x"), "vit-tiny", 1, nil)
	refused(t, err, filepath.Join(dir, "none", "x"), "", "cannot create the file")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

// A fullDisk takes so many bytes.
type fullDisk int

func (d *fullDisk) Write(b []byte) (int, error) {
	if n := int(*d); len(b) > n {
		*d = 0
		return n, syscall.ENOSPC
	}
	*d -= fullDisk(len(b))
	return len(b), nil
}

func TestWriteSyntheticReportsWriteErrors(t *testing.T) {
	for _, size := range []fullDisk{0, 7, 3000, 1_000_000, 2_930_647} {
		room := size
		err := WriteSynthetic(t.Context(), &room, "vit-tiny", 1, nil)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%d bytes of room: %v", size, err)
		}
		refused(t, err, "synth:vit-tiny/1", "", fmt.Sprintf("cannot write after %d of 2930648 bytes", size))
	}
}
