package server

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestRouting(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{})
	for _, path := range []string{"/nothing", "/api/", "/api/embed/", "/api/jobs/", "/api/jobs/7/results", "/v1", "/page/", "/page/page.go"} {
		c.get(path).wantError(404, "not_found")
	}
	f := func(method, path, allow string) {
		t.Helper()
		r := c.do(method, path, nil)
		r.wantError(405, "method_not_allowed")
		if got := r.header.Get("Allow"); got != allow {
			t.Errorf("%s %s: Allow is %q, want %q", method, path, got, allow)
		}
	}
	f("GET", "/api/embed", "POST")
	f("PUT", "/api", "GET, HEAD, POST")
	f("POST", "/health", "GET, HEAD")
	f("DELETE", "/", "GET, HEAD")
	f("PUT", "/api/jobs/7", "GET, HEAD, DELETE")

	for path, method := range map[string]string{"/api/jobs": "POST", "/api/jobs/7": "DELETE", "/api/jobs/7/result": "GET"} {
		c.do(method, path, []byte("{}")).wantError(501, "not_available")
	}
}

func TestHead(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{})
	for _, path := range []string{"/", "/api", "/health/live"} {
		if r := c.do("HEAD", path, nil).want(200); len(r.body) != 0 || r.header.Get("Content-Length") == "0" {
			t.Errorf("HEAD %s: %d bytes, Content-Length %s", path, len(r.body), r.header.Get("Content-Length"))
		}
	}
}

func TestMatch(t *testing.T) {
	f := func(pattern, path string, want bool) {
		t.Helper()
		if got := (&route{path: pattern}).match(path); got != want {
			t.Errorf("%s matches %s: %v, want %v", pattern, path, got, want)
		}
	}
	f("/a/{id}", "/a/7", true)
	f("/a/{id}", "/a/{id}", true)
	f("/a/{id}", "/a/", false)
	f("/a/{id}", "/a", false)
	f("/a/{id}", "/b/7", false)
	f("/a/{id}", "/a/7/", false)
	f("/a/{id}/b", "/a/7/b", true)
	f("/a/{id}/b", "/a/7/c", false)
	f("/a/{id}/b", "/a//b", false)
	f("/a/b", "/a/b", true)
}

func TestAPIKeys(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{APIKeys: []string{"one", "two"}})
	img := picture(t, 1)
	for _, path := range []string{"/", "/page/app.js", "/health", "/health/live", "/health/ready"} {
		c.get(path).want(200)
	}
	c.get("/metrics").want(200)
	for _, header := range []string{"", "one", "Bearer", "Bearer ", "Bearer on", "Bearer onee", "Basic one", "Bearer one two"} {
		for _, path := range []string{"/api", "/api/embed", "/v1/models", "/nothing"} {
			r := c.do("POST", path, img, "Authorization", header)
			r.wantError(401, "invalid_api_key")
			if got := r.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") {
				t.Errorf("WWW-Authenticate %q", got)
			}
		}
	}
	for _, header := range []string{"Bearer one", "bearer two"} {
		c.do("POST", "/api/embed", img, "Authorization", header).want(200)
		c.get("/nothing", "Authorization", header).want(404)
	}
}

func TestDescriptions(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{ModelName: "served", MaxClientBatchSize: 9, Version: Version{Version: "v1.2.3", Commit: "abc", Go: "go1.26", Tags: []string{"cuda"}}})
	var api struct {
		Model   string
		Output  string
		Outputs map[string][]int
		Limits  map[string]int
		Digest  string `json:"model_digest"`

		Endpoints []struct{ Method, Path, About string }
	}
	if err := json.Unmarshal(c.get("/api").want(200).body, &api); err != nil {
		t.Fatal(err)
	}
	if api.Model != "served" || api.Output != "pooled" || api.Limits["max_client_batch_size"] != 9 || api.Limits["max_body_size"] != 64<<20 ||
		api.Digest != e.info.ModelDigest || !slices.Equal(api.Outputs["penultimate"], []int{3, 5}) {
		t.Errorf("GET /api: %+v", api)
	}
	for _, endpoint := range api.Endpoints {
		if r := c.do(endpoint.Method, endpoint.Path, nil); r.status == 404 || r.status == 405 || r.status == 501 {
			t.Errorf("%s %s is listed but answers %d", endpoint.Method, endpoint.Path, r.status)
		}
	}
	var info map[string]any
	if err := json.Unmarshal(c.get("/api/info").want(200).body, &info); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"model": "served", "version": "v1.2.3", "commit": "abc", "go": "go1.26", "preprocessing": "fake-1", "device": "cpu"} {
		if info[name] != want {
			t.Errorf("GET /api/info: %s is %v, want %v", name, info[name], want)
		}
	}
	var devices struct{ Devices []Device }
	if err := json.Unmarshal(c.get("/api/devices").want(200).body, &devices); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(devices.Devices, e.devices) {
		t.Errorf("GET /api/devices: %+v", devices)
	}
}

func TestPage(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{})
	for path, mediaType := range map[string]string{
		"/": "text/html; charset=utf-8", "/page/style.css": "text/css; charset=utf-8",
		"/page/app.js": "text/javascript; charset=utf-8", "/page/icon.svg": "image/svg+xml",
	} {
		r := c.get(path).want(200)
		if r.header.Get("Content-Type") != mediaType || r.header.Get("X-Content-Type-Options") != "nosniff" || len(r.body) == 0 {
			t.Errorf("%s: %v", path, r.header)
		}
		if csp := r.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if again := c.get(path, "If-None-Match", r.header.Get("ETag")).want(http.StatusNotModified); len(again.body) != 0 {
			t.Errorf("%s: a body with 304", path)
		}
	}
}

func TestConfig(t *testing.T) {
	f := func(c Config, spoil func(*Info)) {
		t.Helper()
		e := newFakeEngine()
		spoil(&e.info)
		if s, err := New(e, c); err == nil || s != nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	asIs := func(*Info) {}
	f(Config{Output: "hidden"}, asIs)
	f(Config{Output: "penultimate", Normalize: true}, asIs)
	f(Config{MaxBodySize: -1}, asIs)
	f(Config{MaxQueueSize: 10}, asIs) // fewer than one request may have
	f(Config{APIKeys: []string{"a", ""}}, asIs)
	f(Config{}, func(i *Info) { i.MaxBatch = 0 })
	f(Config{}, func(i *Info) { i.InBytes-- })
	f(Config{}, func(i *Info) { i.Outputs = nil })
}
