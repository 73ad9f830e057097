package server

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func TestReadiness(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{})
	c.get("/health/live").want(200)

	e.onEmbed = func(context.Context, int) error { return errors.New("device lost") }
	r := c.get("/health/ready")
	r.wantError(503, "not_ready")
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	e.onEmbed = func(context.Context, int) error { panic("device lost") }
	c.get("/health").wantError(503, "not_ready")
	c.get("/health/live").want(200)

	e.onEmbed = nil
	c.get("/health/ready").want(200)
	probes := len(e.batches)
	c.get("/health").want(200)
	if probes != 3 || len(e.batches) != probes {
		t.Errorf("%d forward passes, then %d; want 3 and no more", probes, len(e.batches))
	}

	c.server.ready.last.Store(0) // as after a long time
	c.do("POST", "/api/embed", picture(t, 1)).want(200)
	c.get("/health/ready").want(200)
	if len(e.batches) != probes+1 {
		t.Error("a request's success did not count as readiness")
	}
}

// TestOneProbe asks for readiness many times while the first probe runs.
func TestOneProbe(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{})
	entered, release := make(chan struct{}, 8), make(chan struct{})
	e.onEmbed = func(context.Context, int) error { entered <- struct{}{}; <-release; return nil }
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { c.get("/health/ready").want(200) })
	}
	<-entered
	close(release)
	wg.Wait()
	if len(e.batches) != 1 {
		t.Errorf("%d forward passes, want 1", len(e.batches))
	}
}

// TestReadinessAfterFaults has a model that has answered a moment ago, and then
// fails or hangs.
func TestReadinessAfterFaults(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{ComputeTimeout: 20 * ms})
	c.get("/health/ready").want(200)

	e.onEmbed = func(context.Context, int) error { return errors.New("device lost") }
	c.do("POST", "/api/embed", picture(t, 1)).wantError(503, "engine_failed")
	c.get("/health/ready").wantError(503, "not_ready")

	release := make(chan struct{})
	e.onEmbed = func(context.Context, int) error { <-release; return nil }
	r := c.do("POST", "/api/embed", picture(t, 1))
	r.wantError(503, "engine_stuck")
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	c.get("/health/ready").wantError(503, "engine_stuck")
	c.do("POST", "/api/embed", picture(t, 1)).wantError(503, "engine_stuck")
	c.get("/health/live").wantError(503, "engine_stuck")
	close(release)
	for c.server.batcher.allStuck() {
		time.Sleep(ms)
	}
	c.get("/health/live").want(200)
	c.get("/health/ready").want(200)
	c.do("POST", "/api/embed", picture(t, 1)).want(200)
	c.wantNothingHeld()
}
