package loader

import (
	"path/filepath"
	"slices"
	"testing"

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
