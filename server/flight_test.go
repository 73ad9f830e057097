package server

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// images returns the number of images that went through the engine, and forgets
// them.
func (f *fakeEngine) images() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, batch := range f.batches {
		n += batch
	}
	f.batches = nil
	return n
}

func TestCache(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{CacheBytes: 1 << 20})
	img, other := picture(t, 1), picture(t, 2)
	want := wantVector(t, e, "pooled", img)
	var prepared atomic.Int32
	e.onPrepare = func(context.Context, []byte) error { prepared.Add(1); return nil }
	f := func(what, query string, computed int) {
		t.Helper()
		prepared.Store(0)
		c.do("POST", "/api/embed"+query, img).want(200)
		if n := e.images(); n != computed || int(prepared.Load()) != computed {
			t.Errorf("%s: %d images prepared, %d computed, want %d", what, prepared.Load(), n, computed)
		}
	}
	f("first", "", 1)
	f("again", "", 0)
	f("normalised", "?normalize=true", 0)
	f("another output", "?output=projected", 1)
	f("that output again", "?output=projected", 0)
	f("with its crop", "?crop=true", 1)
	if got := c.do("POST", "/api/embed", img).decode(); !slices.Equal(got.vector(t, 0), want) {
		t.Error("the kept vector differs")
	}
	if got := c.do("POST", "/api/embed?normalize=true", img).decode(); math.Abs(norm(got.vector(t, 0))-1) > 1e-6 {
		t.Error("the kept vector is not normalised")
	}
	r := c.form("/api/embed", [][]byte{img, []byte("bad"), other, img}, nil).want(200)
	got := r.decode()
	if e.images() != 1 || !slices.Equal(got.vector(t, 0), want) || !slices.Equal(got.vector(t, 3), want) || got.Data[1].Error == nil {
		t.Errorf("a request of known and new images: %s", r.body)
	}
	if h := c.do("POST", "/api/embed", img).header.Get("x-vith-batch-size"); h != "0" {
		t.Errorf("x-vith-batch-size is %s for no batch", h)
	}
	samples := c.scrape()
	for name, want := range map[string]string{"vith_cache_hits": "8", "vith_cache_misses": "4", "vith_cache_entries": "3"} {
		if samples[name] != want {
			t.Errorf("%s is %s, want %s", name, samples[name], want)
		}
	}
	c.wantNothingHeld()
}

func TestCacheDir(t *testing.T) {
	dir := t.TempDir()
	img := picture(t, 1)
	f := func(what string, computed int, spoil func(*Info, *Config)) {
		t.Helper()
		e := newFakeEngine()
		config := Config{CacheDir: dir}
		spoil(&e.info, &config)
		c := serve(t, e, config)
		want := wantVector(t, e, "pooled", img)
		got := c.do("POST", "/api/embed", img).want(200).decode()
		if n := e.images(); n != computed || !slices.Equal(got.vector(t, 0), want) {
			t.Errorf("%s: %d images computed, want %d", what, n, computed)
		}
		if err := c.server.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f("first", 1, func(*Info, *Config) {})
	f("after a restart", 0, func(*Info, *Config) {})
	f("another model", 1, func(i *Info, _ *Config) { i.ModelDigest = "sha256:0" })
	f("another precision", 1, func(i *Info, _ *Config) { i.Precision = "fp16" })
	f("another preprocessing", 1, func(i *Info, _ *Config) { i.Preprocessing = "fake-2" })
	f("another variant", 1, func(_ *Info, c *Config) { c.Variant = "quick_gelu" })
	f("the first again", 0, func(*Info, *Config) {})
	if _, err := New(newFakeEngine(), Config{CacheDir: "/dev/null/cache"}); err == nil {
		t.Error("a folder that cannot be is accepted")
	}
}

// TestSameImageAtOnce sends one image in many requests while the first of them
// is computed.
func TestSameImageAtOnce(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{CacheBytes: 1 << 20})
	img := picture(t, 1)
	want := wantVector(t, e, "pooled", img)
	entered, release := make(chan struct{}, 1), make(chan struct{})
	e.onEmbed = func(context.Context, int) error { entered <- struct{}{}; <-release; return nil }
	var wg sync.WaitGroup
	ask := func() {
		got := c.form("/api/embed", [][]byte{img, img}, nil).want(200).decode()
		if !slices.Equal(got.vector(t, 0), want) || !slices.Equal(got.vector(t, 1), want) {
			t.Error("another vector came out")
		}
	}
	wg.Go(ask)
	<-entered
	for range 5 {
		wg.Go(ask)
	}
	for c.server.admission.images.Load() < 12 {
		time.Sleep(ms)
	}
	close(release)
	wg.Wait()
	if n := e.images(); n != 1 {
		t.Errorf("%d images computed, want 1", n)
	}
	c.wantNothingHeld()
}

// TestLostFlight ends a request that others wait for, in each way there is.
func TestLostFlight(t *testing.T) {
	img := picture(t, 1)
	f := func(name string, status int, land func(f *flight, vector []float32)) {
		t.Run(name, func(t *testing.T) {
			e := newFakeEngine()
			c := serve(t, e, Config{CacheBytes: 1 << 20})
			want := wantVector(t, e, "pooled", img)
			m := c.server.memory
			leader, leads := m.join(m.key("pooled", img))
			if !leads {
				t.Fatal("there is a flight already")
			}
			answered := make(chan reply)
			go func() { answered <- c.do("POST", "/api/embed", img) }()
			for c.server.admission.images.Load() == 0 {
				time.Sleep(ms)
			}
			time.Sleep(10 * ms) // so that it likely waits; the outcome is the same if it does not
			land(leader, want)
			r := (<-answered).want(status)
			if status == 200 && !slices.Equal(r.decode().vector(t, 0), want) {
				t.Error("another vector came out")
			}
			if len(m.flights) != 0 {
				t.Errorf("%d flights are left", len(m.flights))
			}
		})
	}
	failed := func(err error) func(*flight, []float32) {
		return func(f *flight, _ []float32) { f.land(nil, nil, err) }
	}
	f("cancelled", 200, failed(context.Canceled))
	f("client gone", 200, failed(errClientGone))
	f("abandoned", 200, failed(errAbandoned))
	f("engine failed", 503, failed(errEngineFailed))
	f("computed", 200, func(f *flight, vector []float32) { f.land(vector, nil, nil) })
}

// TestFlightsEnd runs what goes wrong with a cache and sees that no flight stays
// in the air, for others to wait for.
func TestFlightsEnd(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{CacheBytes: 1 << 20, RequestTimeout: 100 * ms})
	img, bad := picture(t, 1), []byte("no image")
	c.form("/api/embed", [][]byte{img, bad, bad}, []string{"on_error", "fail"}).wantError(400, "unsupported_image_format")
	got := c.form("/api/embed", [][]byte{bad, picture(t, 2), bad}, nil).want(200).decode()
	if got.Data[0].Error == nil || got.Data[2].Error == nil {
		t.Error("a bad image has no error")
	}
	e.onPrepare = func(context.Context, []byte) error { panic("no") }
	c.do("POST", "/api/embed", picture(t, 3)).wantError(500, "internal_error")
	e.onPrepare = func(ctx context.Context, _ []byte) error { <-ctx.Done(); return ctx.Err() }
	c.do("POST", "/api/embed", picture(t, 3)).wantError(504, "deadline_exceeded")
	e.onPrepare = nil
	e.onEmbed = func(context.Context, int) error { return errors.New("no") }
	c.do("POST", "/api/embed", picture(t, 3)).wantError(503, "engine_failed")
	e.onEmbed = nil
	c.do("POST", "/api/embed", picture(t, 3)).want(200)
	c.wantNothingHeld()
	if n := len(c.server.memory.flights); n != 0 {
		t.Errorf("%d flights are left", n)
	}
}

func BenchmarkCacheHit(b *testing.B) {
	run := newLoad(b, newFreeEngine(16), Config{CacheBytes: 1 << 20}, "Accept: application/octet-stream\r\n", picture(b, 1))
	b.ReportAllocs()
	for b.Loop() {
		run.one(b)
	}
}
