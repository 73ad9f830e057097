package cache

import (
	"bytes"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var quiet = slog.New(slog.DiscardHandler)

func key(n int) (k Key) {
	k[0], k[1], k[31] = byte(n), byte(n>>8), 1
	return k
}

func values(n, count int) []float32 {
	v := make([]float32, count)
	for i := range v {
		v[i] = float32(n) + float32(i)/3
	}
	return v
}

func open(t *testing.T, maxBytes int, dir string) *Cache {
	t.Helper()
	c, err := New(maxBytes, dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMemory(t *testing.T) {
	const size = 100
	c := open(t, 10*(4*size+entryBytes), "")
	defer c.Close()
	if c.Get(key(1), size) != nil {
		t.Error("something is in an empty cache")
	}
	c.Put(key(1), values(1, size))
	if got := c.Get(key(1), size); !slices.Equal(got, values(1, size)) {
		t.Error("another vector came out")
	}
	if c.Get(key(1), size+1) != nil {
		t.Error("a vector of another size came out")
	}
	if s := c.Stats(); s != (Stats{Hits: 1, Misses: 2, Entries: 1, Bytes: 4*size + entryBytes}) {
		t.Errorf("%+v", s)
	}
	for i := range 1000 {
		c.Put(key(i), values(i, size))
	}
	if s := c.Stats(); s.Entries > 10 || s.Bytes > 10*(4*size+entryBytes) {
		t.Errorf("more than the bound: %+v", s)
	}
	for i := range 1000 {
		if got := c.Get(key(i), size); got != nil && !slices.Equal(got, values(i, size)) {
			t.Errorf("%d: another vector came out", i)
		}
	}
}

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	odd := []float32{float32(math.Copysign(0, -1)), math.MaxFloat32, math.SmallestNonzeroFloat32, 1. / 3}
	c := open(t, 1<<20, dir)
	c.Put(key(1), odd)
	c.Put(key(2), values(2, 5))
	c.Put(key(3), []float32{})
	c.Close()

	for _, maxBytes := range []int{0, 1 << 20} {
		c = open(t, maxBytes, dir)
		got := c.Get(key(1), len(odd))
		if len(got) != len(odd) {
			t.Fatalf("after a restart: %v", got)
		}
		for i, v := range got {
			if math.Float32bits(v) != math.Float32bits(odd[i]) {
				t.Errorf("value %d is %v, want %v", i, v, odd[i])
			}
		}
		if c.Get(key(2), 6) != nil || c.Get(key(4), 5) != nil {
			t.Error("something came out that was not put in")
		}
		want := Stats{Hits: 1, Misses: 2}
		if maxBytes > 0 {
			want.Entries, want.Bytes = 1, uint64(4*len(odd)+entryBytes)
		}
		if s := c.Stats(); s != want {
			t.Errorf("%+v, want %+v", s, want)
		}
		c.Close()
	}
}

// TestDamage changes, cuts and removes files.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	c := open(t, 0, dir)
	c.Put(key(1), values(1, 9))
	c.Close()
	c = open(t, 0, dir)
	path := c.folder.path(key(1))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := func(what string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if c.Get(key(1), 9) != nil {
			t.Errorf("%s: a vector came out", what)
		}
	}
	for i := range whole {
		changed := bytes.Clone(whole)
		changed[i] ^= 0x10
		f("a changed byte", changed)
	}
	f("cut", whole[:len(whole)-4])
	f("longer", append(bytes.Clone(whole), 0, 0, 0, 0))
	f("empty", nil)
	f("zeros", make([]byte, len(whole)))
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	if c.Get(key(1), 9) != nil {
		t.Error("a vector came out of nothing")
	}
	c.Put(key(1), values(1, 9))
	c.Close()
	c = open(t, 0, dir)
	defer c.Close()
	if !slices.Equal(c.Get(key(1), 9), values(1, 9)) {
		t.Error("the folder does not recover")
	}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || strings.HasPrefix(d.Name(), ".") {
			t.Errorf("left behind: %s, %v", path, err)
		}
		return nil
	})
}

func TestBadFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if c, err := New(1, dir, quiet); err == nil || c != nil {
			t.Errorf("%s is accepted", dir)
		}
	}
}

// TestFolderGone takes the folder away while the cache is in use.
func TestFolderGone(t *testing.T) {
	var b bytes.Buffer
	dir := filepath.Join(t.TempDir(), "cache")
	c, err := New(1<<20, dir, slog.New(slog.NewTextHandler(&b, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		c.Put(key(i), values(i, 3))
	}
	if !slices.Equal(c.Get(key(9), 3), values(9, 3)) {
		t.Error("memory lost a vector")
	}
	c.Close()
	c.Put(key(11), values(11, 3))
	c.Close()
	if n := strings.Count(b.String(), "cannot be written"); n != 1 {
		t.Errorf("%d complaints, want 1:\n%s", n, b.String())
	}
}

func TestConcurrency(t *testing.T) {
	c := open(t, 1<<16, t.TempDir())
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 200 {
				n := (i*7 + w) % 300
				if got := c.Get(key(n), 50); got == nil {
					c.Put(key(n), values(n, 50))
				} else if !slices.Equal(got, values(n, 50)) {
					t.Errorf("%d: another vector came out", n)
				}
			}
		})
	}
	wg.Wait()
	c.Close()
}

func BenchmarkGet(b *testing.B) {
	for name, maxBytes := range map[string]int{"memory": 1 << 20, "folder": 0} {
		b.Run("from="+name, func(b *testing.B) {
			dir := b.TempDir()
			c, err := New(maxBytes, dir, quiet)
			if err != nil {
				b.Fatal(err)
			}
			c.Put(key(1), values(1, 1280))
			c.Close()
			if c, err = New(maxBytes, dir, quiet); err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			b.ReportAllocs()
			for b.Loop() {
				if c.Get(key(1), 1280) == nil {
					b.Fatal("a miss")
				}
			}
		})
	}
}
