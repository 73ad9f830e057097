package vit

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vith/kernels"
	"vith/kernels/host"
	"vith/vit/tower"
)

// source is a tower of normal values. It notes what is read.
type source struct {
	tower.Config
	mu   sync.Mutex
	read map[string]int // rows read of each tensor
	fail string         // name of a tensor that cannot be read
}

var errDamaged = errors.New("damaged")

func (s *source) ReadRows(name string, dst []float32, row0, rows int) error {
	if name == s.fail {
		return fmt.Errorf("%s: %w", name, errDamaged)
	}
	s.mu.Lock()
	s.read[name] += rows
	s.mu.Unlock()
	h := fnv.New64a()
	h.Write([]byte(name))
	cols := len(dst) / rows
	for r := range rows {
		g := rand.New(rand.NewPCG(h.Sum64(), uint64(row0+r)))
		for c := range cols {
			dst[r*cols+c] = float32(g.NormFloat64() * 0.1)
		}
	}
	return nil
}

func newSource(t testing.TB) *source {
	c, ok := tower.Lookup("vit-tiny")
	if !ok {
		t.Fatal("no vit-tiny")
	}
	return &source{Config: c, read: map[string]int{}}
}

func newEngine(t testing.TB, s *source, o Options) *Engine {
	t.Helper()
	b, err := host.New(host.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEngine(s.Config, s, b, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func pixels(n int) []byte {
	r := rand.New(rand.NewPCG(5, 6))
	in := make([]byte, n)
	for i := range in {
		in[i] = byte(r.IntN(256))
	}
	return in
}

// TestReads holds each output to read exactly the weights that it depends on.
func TestReads(t *testing.T) {
	for _, o := range Outputs(newSource(t).Config) {
		s := newSource(t)
		newEngine(t, s, Options{MaxBatch: 3, Outputs: []Output{o}})
		for _, w := range s.Tensors() {
			last := strings.HasPrefix(w.Name, tower.Layer(s.Layers-1, "")) || strings.HasPrefix(w.Name, tower.PostLayerNorm)
			head := w.Name == tower.VisualProjection
			want := w.Shape[0]
			switch {
			case last && o == Penultimate, head && o != Projected:
				want = 0
			case w.Name == tower.PatchEmbedding:
				want *= 2 // once for its bias
			}
			if got := s.read[w.Name]; got != want {
				t.Errorf("%s reads %d rows of %s, want %d", o, got, w.Name, want)
			}
		}
	}
}

// TestSplit embeds 1 to 11 images with buckets of 1, 2, 4 and 5 and expects each image's own bits.
func TestSplit(t *testing.T) {
	e := newEngine(t, newSource(t), Options{MaxBatch: 5})
	ctx := context.Background()
	in := pixels(11 * e.InBytes())
	for _, o := range Outputs(e.Config()) {
		shape, err := o.Shape(e.Config())
		if err != nil {
			t.Fatal(err)
		}
		width := shape[0]
		if len(shape) == 2 {
			width *= shape[1]
		}
		want := make([]float32, 11*width)
		for i := range 11 {
			if err := e.Embed(ctx, o, 1, in[i*e.InBytes():][:e.InBytes()], want[i*width:][:width]); err != nil {
				t.Fatal(err)
			}
			if i > 0 && slices.Equal(want[i*width:][:width], want[:width]) {
				t.Errorf("%s of images 0 and %d are equal", o, i)
			}
		}
		for n := 1; n <= 11; n++ {
			got := make([]float32, n*width)
			if err := e.Embed(ctx, o, n, in[:n*e.InBytes()], got); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want[:n*width]) {
				t.Errorf("%s of %d images differ from theirs alone", o, n)
			}
		}
	}
}

// TestFirstBuckets holds the split of a batch to the costs of passes.
func TestFirstBuckets(t *testing.T) {
	linear := []time.Duration{10, 20, 40, 80}
	h100 := []time.Duration{19, 25, 38, 61} // tenths of a millisecond of ViT-H-14
	flat := []time.Duration{30, 30, 30, 30}
	for _, c := range []struct {
		name    string
		buckets []int
		costs   []time.Duration
		want    []int
	}{
		{"no padding", []int{1, 2, 4, 8}, nil, []int{0, 0, 1, 1, 2, 2, 2, 2, 3}},
		{"nothing to gain", []int{1, 2, 4, 8}, linear, []int{0, 0, 1, 1, 2, 2, 2, 2, 3}},
		{"a GPU", []int{1, 2, 4, 8}, h100, []int{0, 0, 1, 2, 2, 2, 3, 3, 3}},
		{"launches are all there is", []int{1, 2, 4, 8}, flat, []int{0, 0, 1, 2, 2, 3, 3, 3, 3}},
		{"one bucket", []int{3}, nil, []int{0, 0, 0, 0}},
		{"no power of two", []int{1, 2, 3}, nil, []int{0, 0, 1, 2}},
	} {
		if got := firstBuckets(c.buckets, c.costs); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestPad fills batches up, as costs of passes say, and in one bucket. Each image keeps its bits.
func TestPad(t *testing.T) {
	plain := newEngine(t, newSource(t), Options{MaxBatch: 4, Outputs: []Output{Pooled}})
	in := pixels(7 * plain.InBytes())
	want := embed(t, plain, 7, in)
	width := plain.Config().Width
	for _, c := range []struct {
		name  string
		o     Options
		costs []time.Duration
		want  map[int][]int // passes by images
	}{
		{"pad", Options{MaxBatch: 4, Pad: true}, []time.Duration{19, 25, 38}, map[int][]int{1: {1}, 3: {4}, 5: {4, 1}, 7: {4, 4}}},
		{"one bucket", Options{MaxBatch: 4, OneBucket: true}, nil, map[int][]int{1: {4}, 3: {4}, 4: {4}, 5: {4, 4}}},
	} {
		d := newDevice(t, c.name)
		e := d.load(t, c.o)
		defer e.Close()
		if c.costs != nil { // in place of what was measured
			e.first = firstBuckets(e.buckets, c.costs)
		}
		for n, passes := range c.want {
			if got := embed(t, e, n, in[:n*e.InBytes()]); !slices.Equal(got, want[:n*width]) {
				t.Errorf("%s: other vectors of %d images", c.name, n)
			}
			if got := d.took(); !slices.Equal(got, passes) {
				t.Errorf("%s: %d images in passes of %v, want %v", c.name, n, got, passes)
			}
		}
	}
}

// TestPadMeasures has passes that all take the same time: then one is cheaper than two.
func TestPadMeasures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(t, "slow")
		d.takes = time.Minute
		e := d.load(t, Options{MaxBatch: 4, Pad: true})
		defer e.Close()
		embed(t, e, 3, pixels(3*e.InBytes()))
		if got := d.took(); !slices.Equal(got, []int{4}) {
			t.Errorf("3 images in passes of %v, want one of 4", got)
		}
	})
}

// TestShrink loads a batch that does not fit.
func TestShrink(t *testing.T) {
	d := newDevice(t, "small")
	d.most = 3
	e := d.load(t, Options{MaxBatch: 13})
	defer e.Close()
	if !slices.Equal(e.buckets, []int{1, 2, 3}) {
		t.Errorf("buckets %v", e.buckets)
	}
	embed(t, e, 5, pixels(5*e.InBytes()))

	d = newDevice(t, "tiny")
	defer d.Close()
	d.most = -1
	s := newSource(t)
	if _, err := NewEngine(s.Config, s, d, Options{MaxBatch: 4}); !errors.Is(err, kernels.ErrOutOfMemory) {
		t.Errorf("not even one image fits: %v", err)
	}
}

func TestNormalize(t *testing.T) {
	s := newSource(t)
	plain := newEngine(t, s, Options{Outputs: []Output{Projected}})
	unit := newEngine(t, s, Options{Outputs: []Output{Projected}, Normalize: true})
	in := pixels(plain.InBytes())
	a, b := make([]float32, s.Projection), make([]float32, s.Projection)
	if err := errors.Join(plain.Embed(context.Background(), Projected, 1, in, a), unit.Embed(context.Background(), Projected, 1, in, b)); err != nil {
		t.Fatal(err)
	}
	var aa, ab, bb float64
	for i := range a {
		aa += float64(a[i]) * float64(a[i])
		ab += float64(a[i]) * float64(b[i])
		bb += float64(b[i]) * float64(b[i])
	}
	if diff := bb - 1; diff > 1e-6 || diff < -1e-6 {
		t.Errorf("squared length %g, want 1", bb)
	}
	if diff := ab*ab/(aa*bb) - 1; diff > 1e-6 || diff < -1e-6 {
		t.Errorf("squared cosine %g to the vector as it was, want 1", ab*ab/(aa*bb))
	}
}

func TestConcurrentEmbed(t *testing.T) {
	e := newEngine(t, newSource(t), Options{MaxBatch: 2, Outputs: []Output{Pooled}})
	in := pixels(8 * e.InBytes())
	width := e.Config().Width
	want, got := make([]float32, 8*width), make([]float32, 8*width)
	if err := e.Embed(context.Background(), Pooled, 8, in, want); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			if err := e.Embed(context.Background(), Pooled, 1, in[i*e.InBytes():][:e.InBytes()], got[i*width:][:width]); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if !slices.Equal(got, want) {
		t.Error("concurrent calls mix up their images")
	}
}

func TestEmbedAllocatesNothing(t *testing.T) {
	e := newEngine(t, newSource(t), Options{MaxBatch: 2, Outputs: []Output{Pooled}})
	ctx, in, out := context.Background(), pixels(3*e.InBytes()), make([]float32, 3*e.Config().Width)
	if n := testing.AllocsPerRun(10, func() {
		if err := e.Embed(ctx, Pooled, 3, in, out); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%g allocations a call", n)
	}
}

func TestProgress(t *testing.T) {
	var mu sync.Mutex
	var last, total int64
	newEngine(t, newSource(t), Options{Progress: func(done, all int64) {
		mu.Lock()
		defer mu.Unlock()
		last, total = max(last, done), all
	}})
	if last != total || total < 2_900_000 {
		t.Errorf("progress ended at %d of %d bytes", last, total)
	}
}

func TestErrors(t *testing.T) {
	f := func(want string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	build := func(change func(*source, *Options)) error {
		s, o := newSource(t), Options{MaxBatch: 2}
		change(s, &o)
		b, err := host.New(host.Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		_, err = NewEngine(s.Config, s, b, o)
		return err
	}
	f("hidden_size is 0", build(func(s *source, _ *Options) { s.Width = 0 }))
	f("a batch of -1 images", build(func(_ *source, o *Options) { o.MaxBatch = -1 }))
	f(`no output "cls"`, build(func(_ *source, o *Options) { o.Outputs = []Output{"cls"} }))
	f(`no output "projected": choose one of ["pooled" "penultimate"]`, build(func(s *source, o *Options) {
		s.Projection, o.Outputs = 0, []Output{Projected}
	}))
	f("penultimate is a matrix", build(func(_ *source, o *Options) { o.Normalize = true }))
	damaged := build(func(s *source, _ *Options) { s.fail = tower.Layer(1, "self_attn.k_proj.bias") })
	f("layers.1.self_attn.k_proj.bias: damaged", damaged)
	if !errors.Is(damaged, errDamaged) {
		t.Errorf("%v does not wrap the source's error", damaged)
	}

	e := newEngine(t, newSource(t), Options{MaxBatch: 2, Outputs: []Output{Pooled}})
	ctx, in, out := context.Background(), pixels(3*e.InBytes()), make([]float32, 3*e.Config().Width)
	f(`output "projected" is not loaded`, e.Embed(ctx, Projected, 1, in, out))
	f("0 images", e.Embed(ctx, Pooled, 0, nil, nil))
	f("want 9408 bytes and 160 values an image", e.Embed(ctx, Pooled, 2, in, out))
	f("want 9408 bytes and 160 values an image", e.Embed(ctx, Pooled, 3, in, out[1:]))
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := e.Embed(cancelled, Pooled, 3, in, out); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
