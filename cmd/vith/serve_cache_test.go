package main

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

// The folder of a cache answers after a restart, and only for what it was filled with.
func TestServeCache(t *testing.T) {
	dir := t.TempDir()
	image := readFile(t, photos+"chelsea_451x300.png")
	var first string
	f := func(hits string, args ...string) {
		t.Helper()
		s := serve(t, append(args, "--cache-size", "1MiB", "--cache-dir", dir)...)
		status, body := s.post(t, "/api/embed", nil, image)
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		res, err := http.Get(s.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		metrics, err := io.ReadAll(res.Body)
		if err != nil || !strings.Contains(string(metrics), "\nvith_cache_hits "+hits+"\n") {
			t.Errorf("%v: there are not %s hits in\n%s", err, hits, metrics)
		}
		vector := string(body[strings.Index(string(body), `"embedding"`):strings.Index(string(body), "]")])
		if first == "" {
			first = vector
		}
		if same := vector == first; same != (len(args) == 0) {
			t.Errorf("%q: the vector is the first one: %v", args, same)
		}
		s.cmd.Process.Signal(os.Interrupt)
		if code, logs := s.wait(); code != 0 {
			t.Errorf("exit %d\n%s", code, logs)
		}
	}
	f("0")
	f("1")
	f("0", "--activation", "quick_gelu")
	f("0", "--output", "projected")
	f("1")
}
