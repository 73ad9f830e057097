package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vith/loader"
)

// hubToken opens the hub of the tests.
const hubToken = "hf_SecretOfTheTests"

// startHub starts a hub that has defaultID, which is vit-tiny/1, and is overloaded at the first download.
func startHub(t *testing.T) (endpoint string) {
	t.Helper()
	var weights bytes.Buffer
	if err := loader.WriteSynthetic(t.Context(), &weights, "vit-tiny", 1, nil); err != nil {
		t.Fatal(err)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(weights.Bytes()))
	var downloads atomic.Int64
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer "+hubToken {
			t.Errorf("%s with Authorization %q", r.URL, got)
		}
		switch {
		case !strings.HasPrefix(r.URL.Path, "/"+defaultID+"/resolve/") || filepath.Base(r.URL.Path) != "model.safetensors":
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodGet && downloads.Add(1) == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.Header().Set("X-Repo-Commit", strings.Repeat("0123456789", 4))
			w.Header().Set("ETag", `"`+sum+`"`)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(weights.Bytes()))
		}
	}))
	t.Cleanup(hub.Close)
	return hub.URL
}

// A pulled checkpoint is a model by its id.
func TestPull(t *testing.T) {
	env := []string{"HF_ENDPOINT=" + startHub(t), "HF_HUB_CACHE=" + t.TempDir(), "HF_TOKEN=" + hubToken}
	pull := func(args ...string) result {
		t.Helper()
		r := finish(t, command(t, env, append([]string{"weights", "pull"}, args...)...))
		if strings.Contains(r.stdout+r.stderr, hubToken) {
			t.Errorf("vith weights pull %q shows the token: %q, %q", args, r.stdout, r.stderr)
		}
		return r
	}
	r := pull()
	if r.code != 0 || !strings.Contains(r.stderr, "503 Service Unavailable; trying again in 500ms") ||
		!strings.Contains(r.stdout, "2.93 MB  downloaded, sha256 checked\n") || !strings.HasSuffix(r.stdout, "vith serve --model "+defaultID+"\n") {
		t.Errorf("exit %d, %q, %q", r.code, r.stdout, r.stderr)
	}
	if r := pull("--vision-only"); r.code != 0 || r.stderr != "" || !strings.Contains(r.stdout, "model.vision.safetensors") || !strings.Contains(r.stdout, "the hub has no sha256 of it") {
		t.Errorf("exit %d, %q, %q", r.code, r.stdout, r.stderr)
	}
	for _, args := range [][]string{nil, {"--revision", "v2"}} {
		args = append(args, "--file", "model.safetensors", defaultID)
		if r := pull(args...); r.code != 0 || r.stderr != "" || !strings.Contains(r.stdout, "was there") {
			t.Errorf("%q: exit %d, %q, %q", args, r.code, r.stdout, r.stderr)
		}
	}
	inspect := finish(t, command(t, env, "weights", "inspect", defaultID+"@v2"))
	if inspect.code != 0 || !strings.Contains(inspect.stdout, "vit-tiny") {
		t.Errorf("exit %d, %q, %q", inspect.code, inspect.stdout, inspect.stderr)
	}
	if r := pull("org/none"); r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, "org/none: revision main has none of model.safetensors") {
		t.Errorf("exit %d, %q, %q", r.code, r.stdout, r.stderr)
	}
}
