package host

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"vith/kernels"
	"vith/kernels/host/simd"
	"vith/kernels/tensor"
)

// start loads tower with its weights cached in a folder, and returns what an image gives, how many rows of weights were
// read, and what was logged.
func start(t *testing.T, folder, model, tier string, kind tensor.DType, change float32) (out []float32, rows int64, log string) {
	t.Helper()
	b, err := New(Options{Threads: 2, Tier: tier})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var lines bytes.Buffer
	b.CacheWeights(folder, model, slog.New(slog.NewTextHandler(&lines, nil)))
	weights := map[string]*kernels.Weight{}
	p := tower(1, weights, kind)
	var read atomic.Int64
	for _, w := range weights {
		fill := w.Fill
		w.Fill = func(dst []float32, row0, n int) error {
			read.Add(int64(n))
			err := fill(dst, row0, n)
			dst[0] += change
			return err
		}
	}
	r := load(t, b, p)
	in := bytes.Repeat([]byte{1, 50, 200}, 400)
	out = make([]float32, 36)
	pass(t, r, in, out)
	return out, read.Load(), lines.String()
}

func files(t *testing.T, folder string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	hidden, _ := filepath.Glob(filepath.Join(folder, ".*"))
	return append(list, hidden...)
}

// firstRows is how many rows the first panels of the tower's weights have.
func firstRows(t *testing.T, tier string, kind tensor.DType) (rows int64) {
	t.Helper()
	isa, err := simd.Select(tier)
	if err != nil {
		t.Fatal(err)
	}
	weights := map[string]*kernels.Weight{}
	tower(1, weights, kind)
	for _, w := range weights {
		rows += int64(min(isa.NR, w.Rows))
	}
	return rows
}

// TestMemoryRefused wants an arena that no machine has: the error is that of memory, and a smaller program is loaded.
func TestMemoryRefused(t *testing.T) {
	b, err := New(Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p := kernels.NewProgram()
	x := p.Input("x", tensor.F32, 1, 64)
	huge := p.Linear(x, p.Weight(&kernels.Weight{Key: "w", Type: tensor.F32, Rows: 64, Cols: 64, Fill: func(dst []float32, _, _ int) error { return nil }}), nil, 1, tensor.F32)
	p.Output(p.L2Norm(huge))
	p.Bufs[huge.ID].Pitch = 1 << 55
	if _, err := b.Load(p); !errors.Is(err, kernels.ErrOutOfMemory) {
		t.Errorf("an arena of 2^57 bytes: %v", err)
	}
	load(t, b, tower(1, map[string]*kernels.Weight{}, tensor.F32))
}

// TestCache starts twice with one folder, in every type: the second start reads the first rows of each weight only.
func TestCache(t *testing.T) {
	for _, kind := range []tensor.DType{tensor.F32, tensor.BF16} {
		for name := range backends(t) {
			folder := filepath.Join(t.TempDir(), "made")
			want, all, log := start(t, folder, "sha256:1", name, kind, 0)
			if log != "" {
				t.Errorf("%s: a first start says %q", name, log)
			}
			got, some, log := start(t, folder, "sha256:1", name, kind, 0)
			if first := firstRows(t, name, kind); !slices.Equal(got, want) || some != first || some >= all || log != "" {
				t.Errorf("%s in %v: the second start reads %d of %d rows, must read %d, says %q", name, kind, some, all, first, log)
			}
			if list := files(t, folder); len(list) != 1 || !strings.HasPrefix(filepath.Base(list[0]), name+"-") {
				t.Errorf("files %q", list)
			}
			// Another model has another file.
			if _, rows, _ := start(t, folder, "sha256:2", name, kind, 0); rows != all || len(files(t, folder)) != 2 {
				t.Errorf("%s: another model reads %d of %d rows, files %q", name, rows, all, files(t, folder))
			}
		}
	}
}

// TestCacheDamage spoils a file in every part: it is made anew, and said so.
func TestCacheDamage(t *testing.T) {
	folder := t.TempDir()
	want, all, _ := start(t, folder, "m", "", tensor.F32, 0)
	path := files(t, folder)[0]
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	for what, content := range map[string][]byte{
		"empty": {}, "cut": good[:len(good)-1], "header cut": good[:40], "longer": append(bytes.Clone(good), 0),
		"magic": flip(0), "version": flip(8), "count": flip(12), "bytes": flip(16), "identity": flip(24), "sum": flip(56),
		"padding": flip(cachePage - 1), "first byte": flip(cachePage), "last byte": flip(len(good) - 1), "middle": flip(cachePage + len(good)/2),
	} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		got, rows, log := start(t, folder, "m", "", tensor.F32, 0)
		if !slices.Equal(got, want) || rows < all || !strings.Contains(log, "made anew") {
			t.Errorf("%s: %d of %d rows are read, log %q", what, rows, all, log)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, good) {
			t.Errorf("%s: the file is not made anew (%v)", what, err)
		}
	}
	if list := files(t, folder); len(list) != 1 {
		t.Errorf("files %q are left", list)
	}
}

// TestCacheStale has a file for weights that are no longer the model's, under the same name.
func TestCacheStale(t *testing.T) {
	for _, kind := range []tensor.DType{tensor.F32, tensor.BF16} {
		folder := t.TempDir()
		start(t, folder, "m", "", kind, 0)
		want, _, _ := start(t, t.TempDir(), "m", "", kind, 0.5)
		got, _, log := start(t, folder, "m", "", kind, 0.5)
		if !slices.Equal(got, want) || !strings.Contains(log, "is not the model's") {
			t.Errorf("%v: log %q", kind, log)
		}
	}
}

// TestCacheUnwritable goes on without a folder that cannot be made, and says so.
func TestCacheUnwritable(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, log := start(t, filepath.Join(blocked, "folder"), "m", "", tensor.F32, 0); !strings.Contains(log, "are not kept") {
		t.Errorf("log %q", log)
	}
}

// TestCacheModelError passes on the errors of the model.
func TestCacheModelError(t *testing.T) {
	folder := t.TempDir()
	start(t, folder, "m", "", tensor.F32, 0)
	b, err := New(Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	b.CacheWeights(folder, "m", slog.New(slog.DiscardHandler))
	weights := map[string]*kernels.Weight{}
	p, err := kernels.Lower(tower(1, weights, tensor.F32), b.Caps())
	if err != nil {
		t.Fatal(err)
	}
	bad := errors.New("a page is lost")
	for w := range maps.Values(weights) {
		w.Fill = func([]float32, int, int) error { return bad }
	}
	if _, err := b.Load(p); !errors.Is(err, bad) {
		t.Errorf("got %v, want %v", err, bad)
	}
}
