//go:build browser

package server

import (
	"context"
	"net"
	"testing"
)

// servePage serves a model of real dimensions on a port of this machine and
// returns its URL.
func servePage(t *testing.T, e *fakeEngine, c Config) string {
	t.Helper()
	e.info.Model = "vit-h-14"
	e.info.Synthetic = true
	e.info.ImageSize = 224
	e.info.InBytes = 3 * 224 * 224
	e.info.Outputs = map[string][]int{"pooled": {1280}, "projected": {1024}, "penultimate": {257, 1280}}
	s, err := New(e, c)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(ln)
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	return "http://" + ln.Addr().String()
}
