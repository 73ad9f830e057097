package loader

import (
	"errors"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"vith/kernels/tensor"
	"vith/vit/tower"
)

// saved writes a synthetic checkpoint into a folder of its own and returns its path.
func saved(t testing.TB, config string, seed uint64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), config+".safetensors")
	if err := SaveSynthetic(t.Context(), path, config, seed, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string) *Checkpoint {
	t.Helper()
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// readAll returns a whole weight.
func readAll(t testing.TB, c *Checkpoint, w tower.Tensor) []float32 {
	t.Helper()
	cols := 1
	for _, d := range w.Shape[1:] {
		cols *= d
	}
	dst := make([]float32, w.Shape[0]*cols)
	if err := c.ReadRows(w.Name, dst, 0, w.Shape[0]); err != nil {
		t.Fatal(err)
	}
	return dst
}

func digest(t testing.TB, c *Checkpoint) string {
	t.Helper()
	d, err := c.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// equal checks that two checkpoints give the same tower and the same bits.
func equal(t *testing.T, got, want *Checkpoint) {
	t.Helper()
	config, _ := want.Config()
	if c, source := got.Config(); c != config {
		t.Fatalf("config %+v (from %s), want %+v", c, source, config)
	}
	for _, w := range config.Tensors() {
		if !slices.Equal(readAll(t, got, w), readAll(t, want, w)) {
			t.Errorf("%s differs", w.Name)
		}
	}
}

func TestFileEqualsSynthetic(t *testing.T) {
	for _, config := range []string{"vit-tiny", "vit-tiny-b", "vit-tiny-g"} {
		want, err := Synthetic(config, 7)
		if err != nil {
			t.Fatal(err)
		}
		got := open(t, saved(t, config, 7))
		equal(t, got, want)
		if g, w := digest(t, got), digest(t, want); g != w {
			t.Errorf("%s: the file's digest is %s, the generator's %s", config, g, w)
		}
		if ref, ok := got.Synthetic(); ref != config+"/7" || !ok {
			t.Errorf("Synthetic() = %q, %v", ref, ok)
		}
		if got.Name() != config {
			t.Errorf("Name() = %q, want %q", got.Name(), config)
		}
	}
}

// goldenDigests were computed from the published files by a program of its own in another language.
var goldenDigests = map[string]string{
	"vit-tiny":   "sha256:63ac85b232e2025133b7086a361b2e09a1d4dc503b2b0cc5a1575edc8e72fff0",
	"vit-tiny-b": "sha256:c13c01dbda092540cbe017ae08e9c69a2c515f3fe561c6ca601274a7df46fe19",
	"vit-tiny-g": "sha256:57c8a6c41fb4f5281387db110f55bee1ce173d5984ded902926a69772de39a87",
}

func TestDigestIsTheDocumentedOne(t *testing.T) {
	for config, want := range goldenDigests {
		if got := digest(t, synth(t, config, 1)); got != want {
			t.Errorf("%s in memory: %s, want %s", config, got, want)
		}
		c := open(t, saved(t, config, 1))
		for range 2 {
			if got := digest(t, c); got != want {
				t.Errorf("%s on disk: %s, want %s", config, got, want)
			}
		}
	}
}

// TestDigestWhileReading reads every weight in order, so that nothing is left to hash.
func TestDigestWhileReading(t *testing.T) {
	c := open(t, saved(t, "vit-tiny", 1))
	for name, w := range c.weights {
		for row, step := 0, 1; row < w.rows(); row, step = row+step, step+3 {
			step = min(step, w.rows()-row)
			if err := c.ReadRows(name, make([]float32, step*w.cols()), row, step); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := w.sum.next.Load(), int64(w.rows()*w.cols()); got != want {
			t.Errorf("%s: %d of %d values are hashed", name, got, want)
		}
	}
	if got, want := digest(t, c), goldenDigests["vit-tiny"]; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

// TestDigestUnderAnyInterleaving reads rows at random from many goroutines, twice over and with gaps, while digests
// are taken.
func TestDigestUnderAnyInterleaving(t *testing.T) {
	for _, c := range []*Checkpoint{open(t, saved(t, "vit-tiny-g", 1)), synth(t, "vit-tiny-g", 1)} {
		want := synth(t, "vit-tiny-g", 1)
		names := slices.Sorted(maps.Keys(c.weights))
		var wg sync.WaitGroup
		for seed := range uint64(4) {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(1, seed))
				for range 60 {
					name := names[r.IntN(len(names))]
					w := c.weights[name]
					row := r.IntN(w.rows() + 1)
					n := r.IntN(w.rows() - row + 1)
					if r.IntN(2) == 0 {
						row, n = 0, row // the start, so that the hash gets on
					}
					got, exact := make([]float32, n*w.cols()), make([]float32, n*w.cols())
					if err := errors.Join(c.ReadRows(name, got, row, n), want.ReadRows(name, exact, row, n)); err != nil {
						t.Error(err)
					}
					if !slices.Equal(got, exact) {
						t.Errorf("rows %d to %d of %s differ", row, row+n, name)
					}
				}
			})
		}
		wg.Go(func() {
			for range 3 {
				if got, err := c.Digest(); err != nil || got != goldenDigests["vit-tiny-g"] {
					t.Errorf("while reading: %s, %v", got, err)
				}
			}
		})
		wg.Wait()
		if got := digest(t, c); got != goldenDigests["vit-tiny-g"] {
			t.Errorf("after reading: %s", got)
		}
	}
}

func TestReadRowsRefusesWrongArguments(t *testing.T) {
	c := synth(t, "vit-tiny", 1)
	f := func(name string, length, row, rows int, want string) {
		t.Helper()
		err := c.ReadRows(name, make([]float32, length), row, rows)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("nonesuch", 1, 0, 1, `tensor "nonesuch": is not among`)
	f(tower.VisualProjection, 160, 96, 1, "rows 96 to 97 are outside its 96 rows")
	f(tower.VisualProjection, 0, -1, 0, "rows -1 to -1 are outside")
	f(tower.VisualProjection, 0, 5, -1, "rows 5 to 4 are outside")
	f(tower.VisualProjection, 320, 95, math.MaxInt, "are outside its 96 rows")
	f(tower.VisualProjection, 159, 0, 1, "1 rows of 160 values do not fit a destination of 159")
	if err := c.ReadRows(tower.VisualProjection, nil, 96, 0); err != nil {
		t.Errorf("no rows: %v", err)
	}
	if c.Has("nonesuch") || !c.Has(tower.VisualProjection) {
		t.Error("Has is wrong")
	}
}

func TestReadRowsRefusesNaNAndInf(t *testing.T) {
	hf := stateDict(t, "vit-tiny", 1)
	fc1 := slices.IndexFunc(hf, func(e entry) bool { return e.name == tower.Layer(1, "mlp.fc1.weight") })
	f := func(clip bool, dtype string, at int, code []byte, want string) {
		t.Helper()
		entries := slices.Clone(hf)
		if dtype != "F32" {
			entries = inHalves(hf, dtype, map[string]func(float64) uint16{"F16": tensor.ToF16, "BF16": tensor.ToBF16}[dtype])
		}
		entries[fc1].data = slices.Clone(entries[fc1].data)
		copy(entries[fc1].data[at*len(code):], code)
		name := tower.Layer(1, "mlp.fc1.weight")
		if clip {
			entries, name = inOpenCLIP(entries, 2), "visual.transformer.resblocks.1.mlp.c_fc.weight"
		}
		path := filepath.Join(t.TempDir(), "x.safetensors")
		write(t, filepath.Dir(path), "x.safetensors", string(encode(t, entries, "", 0)))
		c := open(t, path)
		dst := make([]float32, 640*160)
		refused(t, c.ReadRows(tower.Layer(1, "mlp.fc1.weight"), dst, 0, 640), path, name, want)
		row := at / 160
		refused(t, c.ReadRows(tower.Layer(1, "mlp.fc1.weight"), dst[:160], row, 1), path, name, want)
		if err := c.ReadRows(tower.Layer(1, "mlp.fc1.weight"), dst[:row*160], 0, row); err != nil {
			t.Errorf("the rows before: %v", err)
		}
	}
	f(false, "F32", 0, []byte{0, 0, 0xc0, 0x7f}, "element [0 0] is NaN; ")
	f(false, "F32", 640*160-1, []byte{1, 0, 0x80, 0xff}, "element [639 159] is NaN; ")
	f(true, "F32", 161, []byte{0, 0, 0x80, 0xff}, "element [1 1] is infinite (read as vision_model.encoder.layers.1.mlp.fc1.weight); ")
	f(false, "F16", 162, []byte{0, 0x7c}, "element [1 2] is infinite; ")
	f(false, "F16", 163, []byte{1, 0xfc}, "element [1 3] is NaN; ")
	f(true, "BF16", 639*160, []byte{0x80, 0x7f}, "element [639 0] is infinite (")
	f(false, "BF16", 638*160+3, []byte{0x81, 0xff}, "element [638 3] is NaN; ")
}

func TestClosed(t *testing.T) {
	c, err := Open(saved(t, "vit-tiny", 1))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := c.ReadRows(tower.ClassEmbedding, make([]float32, 160), 0, 160); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("ReadRows after Close: %v", err)
	}
	if _, err := c.Digest(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Digest after Close: %v", err)
	}
}

// TestTruncatedWhileOpen cuts the file under the mapping: an error, for good, and not the end of the process.
func TestTruncatedWhileOpen(t *testing.T) {
	path := saved(t, "vit-tiny", 1)
	c := open(t, path)
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	for _, f := range []func() error{
		func() error { return c.ReadRows(tower.VisualProjection, make([]float32, 96*160), 0, 96) },
		func() error { _, err := c.Digest(); return err },
		func() error { return c.ReadRows(tower.VisualProjection, nil, 0, 0) },
	} {
		refused(t, f(), path, "", "the file was truncated while in use")
	}
}

// TestOpenReadsOnlyTheHeader opens a sparse file of the size of ViT-H/14 and counts what that costs.
func TestOpenReadsOnlyTheHeader(t *testing.T) {
	s, err := newSynthetic("vit-h-14", 1)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "h.safetensors")
	write(t, filepath.Dir(path), "h.safetensors", string(s.header))
	if err := os.Truncate(path, 2528371304); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	var start, stop unix.Rusage
	runtime.ReadMemStats(&before)
	if err := unix.Getrusage(unix.RUSAGE_SELF, &start); err != nil {
		t.Fatal(err)
	}
	c := open(t, path)
	if err := unix.Getrusage(unix.RUSAGE_SELF, &stop); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
		t.Errorf("opening allocated %d bytes", got)
	}
	// A fault maps 64 KB at most, so reading the file would take 38,000.
	if got := stop.Minflt + stop.Majflt - start.Minflt - start.Majflt; got > 4000 {
		t.Errorf("opening touched memory %d times", got)
	}
	if c.Name() != "vit-h-14" {
		t.Errorf("Name() = %q", c.Name())
	}
	dst := make([]float32, 1024*1280)
	if err := c.ReadRows(tower.VisualProjection, dst, 0, 1024); err != nil {
		t.Error(err)
	}
}

// A read lets go of what it may have mapped, not of all pages of the tensor before it, which another may be reading.
func TestReadsForgetTheirOwnPages(t *testing.T) {
	const values, size = 1 << 20, 4
	s := straight{data: make([]byte, values*size), size: size, mapped: true}
	for _, x := range []struct{ i, n, from, to int }{
		{0, 100, 0, 400},
		{10_000, 100, 0, 40_400},
		{100_000, 100, 400_000 - 64<<10, 400_400},
		{values - 1, 1, (values-1)*size - 64<<10, values * size},
		{values, 0, values*size - 64<<10, values * size},
	} {
		got := s.faulted(x.i, x.n)
		if from := values*size - cap(got); from != x.from || from+len(got) != x.to {
			t.Errorf("elements [%d, %d): bytes [%d, %d), want [%d, %d)", x.i, x.i+x.n, from, from+len(got), x.from, x.to)
		}
	}
}
