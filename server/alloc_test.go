//go:build !race

package server

import (
	"testing"

	"github.com/valyala/fasthttp"
)

// TestAllocations holds the way of a request through router and batcher to no
// allocation at all.
func TestAllocations(t *testing.T) {
	f := func(name string, do func()) {
		t.Helper()
		do() // fills pools
		if n := testing.AllocsPerRun(1000, do); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	c := serve(t, newFakeEngine(), Config{APIKeys: []string{"key"}})
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.SetRequestURI("/api/embed")
	ctx.Request.Header.Set("Authorization", "Bearer key")
	f("find", func() {
		if _, err := c.server.find(&ctx); err != nil {
			t.Fatal(err)
		}
	})
	var id []byte
	f("appendRequestID", func() { id = appendRequestID(id[:0], &ctx) })
	f("noteRequest", func() { c.server.metrics.noteRequest(&routes[0], 200, 0) })
	var r request
	f("admission", func() {
		if !c.server.admission.admitImages(1) || c.server.holdBytes(&r, 1) != nil {
			t.Fatal("refused")
		}
		c.server.admission.release(1, r.held)
		r.held = 0
	})

	b := newBench(t, &tagEngine{maxBatch: 4}, Config{})
	defer b.close()
	b.engine.forget = true
	for _, tags := range []string{"1", "1234567"} {
		f("batcher, images "+tags, func() {
			tk := b.put(t.Context(), "a", tags)
			if err := tk.wait(); err != nil {
				t.Fatal(err)
			}
			tk.release()
		})
	}
}
