package server

import (
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What users of other servers of embeddings complain about, one test a
// complaint, as PAINS.md lists them.

// TestOneBadImageHurtsNobody sends every kind of bad image, and images that make
// the decoder and the engine panic, beside good ones and in the same requests:
// each good one gets its vector, then and afterwards.
func TestOneBadImageHurtsNobody(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{MaxImagePixels: 23 * 17})
	good := picture(t, 1)
	want := wantVector(t, e, "pooled", good)
	poison := picture(t, 66)
	e.onPrepare = func(_ context.Context, img []byte) error {
		if slices.Equal(img, poison) {
			panic("a decoder has a bug")
		}
		return nil
	}
	bad := [][]byte{{}, []byte("text"), good[:len(good)/2], good[:8], sizedPicture(t, 1, 400, 400), {0xff, 0xd8, 0xff}}
	var wg sync.WaitGroup
	for _, img := range bad {
		wg.Go(func() {
			got := c.form("/api/embed", [][]byte{img, good, img}, nil).want(200).decode()
			if got.Data[0].Error == nil || got.Data[2].Error == nil || !slices.Equal(got.vector(t, 1), want) {
				t.Errorf("%q among good images: %+v", img[:min(len(img), 8)], got)
			}
		})
		wg.Go(func() {
			if got := c.do("POST", "/api/embed", good).want(200).decode(); !slices.Equal(got.vector(t, 0), want) {
				t.Error("a good image beside bad ones has another vector")
			}
		})
		wg.Go(func() { c.do("POST", "/api/embed", poison).wantError(500, "internal_error") })
	}
	wg.Wait()
	if got := c.do("POST", "/api/embed", good).want(200).decode(); !slices.Equal(got.vector(t, 0), want) {
		t.Error("afterwards a good image has another vector")
	}
	c.get("/health/ready").want(200)
	c.wantNothingHeld()
}

// TestHealthTellsThatInferenceIsDead has a model that fails while the process is
// well.
func TestHealthTellsThatInferenceIsDead(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{})
	c.get("/health").want(200)
	e.onEmbed = func(context.Context, int) error { return errors.New("device lost") }
	c.do("POST", "/api/embed", picture(t, 1)).wantError(503, "engine_failed")
	c.get("/health").wantError(503, "not_ready")
	c.get("/health/live").want(200)
	e.onEmbed = nil
	c.get("/health").want(200)
}

// TestVectorDoesNotDependOnNeighbours embeds an image alone, and at every place
// of batches of every size.
func TestVectorDoesNotDependOnNeighbours(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{})
	img := picture(t, 1)
	want := wantVector(t, e, "pooled", img)
	for n := 1; n <= 9; n++ {
		for at := range n {
			files := make([][]byte, n)
			for i := range files {
				files[i] = picture(t, 10+i)
			}
			files[at] = img
			if got := c.form("/api/embed", files, nil).want(200).decode(); !slices.Equal(got.vector(t, at), want) {
				t.Errorf("image %d of %d has another vector than alone", at, n)
			}
		}
	}
}

// TestOverloadIsOneRule refuses every form of request alike when the server is
// full: 429, with Retry-After.
func TestOverloadIsOneRule(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{MaxQueueSize: 2, MaxClientBatchSize: 2})
	entered, release := make(chan struct{}, 8), make(chan struct{})
	e.onEmbed = func(context.Context, int) error { entered <- struct{}{}; <-release; return nil }
	img := picture(t, 1)
	uri := "data:image/png;base64," + base64.StdEncoding.EncodeToString(img)
	var wg sync.WaitGroup
	wg.Go(func() { c.form("/api/embed", [][]byte{img, img}, nil).want(200) })
	<-entered
	for name, r := range map[string]reply{
		"one image":  c.do("POST", "/api/embed", img),
		"a form":     c.form("/api/embed", [][]byte{img}, nil),
		"JSON":       c.json(map[string]any{"images": []string{uri}}),
		"a list":     c.json(map[string]any{"images": []string{uri, uri}}),
		"similarity": c.form("/api/similarity", [][]byte{img, img}, nil),
		"OpenAI":     c.do("POST", "/v1/embeddings", []byte(`{"input":["`+uri+`"]}`), "Content-Type", "application/json"),
	} {
		if r.wantError(429, "queue_full"); r.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", name)
		}
	}
	close(release)
	wg.Wait()
}

// TestLimitNamesItsFlag says how to raise what a request ran into; nothing at all
// is not too much.
func TestLimitNamesItsFlag(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{MaxBodySize: 100, MaxClientBatchSize: 1})
	f := func(r reply, status int, code, flag string) {
		t.Helper()
		if e := r.wantError(status, code); !strings.Contains(e.Error.Message, flag) {
			t.Errorf("the message does not name %s: %s", flag, e.Error.Message)
		}
	}
	f(c.do("POST", "/api/embed", make([]byte, 101)), 413, "body_too_large", "--max-body-size")
	f(c.json(`{"images":["",""]}`), 413, "too_many_images", "--max-client-batch-size")
	f(c.json(`{"images":[]}`), 400, "no_images", "")
	f(c.do("POST", "/v1/embeddings", []byte(`{"input":[]}`), "Content-Type", "application/json"), 400, "no_images", "")
	f(c.do("POST", "/api/embed", nil), 400, "empty_body", "")
}

// TestCacheTellsImagesOfOneSizeApart has images that differ in nothing but their
// pixels.
func TestCacheTellsImagesOfOneSizeApart(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{CacheBytes: 1 << 20, CacheDir: t.TempDir()})
	for range 2 { // the second time from the cache
		for seed := range 8 {
			img := picture(t, seed)
			if got := c.do("POST", "/api/embed", img).want(200).decode(); !slices.Equal(got.vector(t, 0), wantVector(t, e, "pooled", img)) {
				t.Errorf("image %d has another's vector", seed)
			}
		}
	}
	if hits := c.scrape()["vith_cache_hits"]; hits != "8" {
		t.Errorf("%s hits, want 8", hits)
	}
}

// TestDimensionsAreNotCut refuses to shorten vectors: what is cut after it was
// normalised has no unit length.
func TestDimensionsAreNotCut(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{Normalize: true})
	uri := "data:image/png;base64," + base64.StdEncoding.EncodeToString(picture(t, 1))
	post := func(dimensions string) reply {
		return c.do("POST", "/v1/embeddings", []byte(`{"dimensions":`+dimensions+`,"input":"`+uri+`"}`), "Content-Type", "application/json")
	}
	post("13").want(200)
	for _, n := range []string{"1", "12", "14"} {
		post(n).wantError(400, "invalid_dimensions")
	}
}

// TestBatchingCanBeSeen finds the size of batches where people look for it.
func TestBatchingCanBeSeen(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{MaxQueueDelay: time.Minute}) // but a full batch goes at once
	files := [][]byte{picture(t, 1), picture(t, 2), picture(t, 3), picture(t, 4)}
	if n := c.form("/api/embed", files, nil).want(200).header.Get("x-vith-batch-size"); n != "4" {
		t.Errorf("x-vith-batch-size is %s, want 4", n)
	}
	samples := c.scrape()
	if samples[`vith_batch_flush_total{reason="full"}`] == "0" || samples["vith_batch_size_count"] == "0" || samples[`vith_batch_size_bucket{le="4"}`] == "0" {
		t.Errorf("metrics do not tell of batches: %v", samples)
	}
	if stats := string(c.get("/api/stats").want(200).body); !strings.Contains(stats, `"mean_size":`) || !strings.Contains(stats, `"full":`) {
		t.Errorf("GET /api/stats does not tell of batches: %s", stats)
	}
}

// TestPains holds PAINS.md to its word: each test that it names is there, and no
// row is without an answer.
func TestPains(t *testing.T) {
	page, err := os.ReadFile("PAINS.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	err = filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what") {
			continue
		}
		rows++
		if cells := strings.Split(line, "|"); len(cells) != 5 || strings.TrimSpace(cells[2]) == "" || strings.TrimSpace(cells[3]) == "" {
			t.Errorf("a row without an answer or what holds it: %s", line)
		}
	}
	if rows < 24 {
		t.Errorf("%d rows", rows)
	}
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(string(page), -1) {
		if !tests[name] {
			t.Errorf("PAINS.md names %s, which is no test", name)
		}
	}
}
