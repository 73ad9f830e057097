package server

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// A forward pass this recent proves that the model answers.
	readyFor = 30 * time.Second

	// probeTimeout bounds the forward pass that is made when there is none.
	probeTimeout = 10 * time.Second

	// gray is the value of every sample of the probe's image.
	gray = 0x80
)

// readiness remembers when the model last answered.
type readiness struct {
	last    atomic.Int64  // Unix nanoseconds; 0: never
	probing chan struct{} // holds one element while a probe runs
}

// note notes that a forward pass has succeeded or failed. After a failure nothing
// but another pass proves that the model answers.
func (rd *readiness) note(ok bool) {
	if ok {
		rd.last.Store(time.Now().UnixNano())
	} else {
		rd.last.Store(0)
	}
}

func (rd *readiness) recent() bool {
	return time.Since(time.Unix(0, rd.last.Load())) < readyFor
}

// healthLive answers GET /health/live. It fails when only a new process can help:
// no device has come back from its batch.
func (s *Server) healthLive(r *request) error {
	if s.batcher.allStuck() {
		return errStuck
	}
	return writeStatus(r, "live")
}

// healthReady answers GET /health/ready. When no forward pass has succeeded
// lately, or the last one failed, it makes one; while that one runs, nobody else
// makes another.
func (s *Server) healthReady(r *request) error {
	if s.gate.isClosed() {
		return errDraining
	}
	if s.batcher.allStuck() {
		return errStuck
	}
	if s.ready.recent() {
		return writeStatus(r, "ready")
	}
	if err := s.probe(); err != nil {
		return fmt.Errorf("%w: %w", errNotReady, err)
	}
	return writeStatus(r, "ready")
}

// probe runs one gray image through the model.
func (s *Server) probe() error {
	ctx, cancel := context.WithTimeout(s.work, probeTimeout)
	defer cancel()
	select {
	case s.ready.probing <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("an earlier probe has not come back: %w", ctx.Err())
	}
	if s.ready.recent() { // thanks to the probe that was waited for
		<-s.ready.probing
		return nil
	}
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() {
			<-s.ready.probing
			done <- err
		}()
		defer catch(&err)
		in := bytes.Repeat([]byte{gray}, s.info.InBytes)
		out := make([]float32, size(s.info.Outputs[s.config.Output]))
		if err = s.engine.Embed(ctx, s.config.Output, 1, in, out); err != nil {
			return
		}
		if i := notFinite(out); i >= 0 {
			err = fmt.Errorf("value %d of the vector is %v", i, out[i])
			return
		}
		s.ready.note(true)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func writeStatus(r *request, status string) error {
	return writeJSON(r.RequestCtx, fasthttp.StatusOK, struct {
		Status string `json:"status"`
	}{status})
}
