package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A response is an answer that was read to its end.
type response struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   []byte
}

// do sends a request; header is pairs of name and value.
func (s *running) do(t *testing.T, method, path string, body []byte, header ...string) response {
	t.Helper()
	req, err := http.NewRequest(method, s.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	r := response{t: t, what: method + " " + path, status: res.StatusCode, header: res.Header}
	if r.body, err = io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	return r
}

// want fails the test if the response has another status or does not say all of what it must.
func (r response) want(status int, says ...string) response {
	r.t.Helper()
	if r.status != status {
		r.t.Errorf("%s: %d, want %d: %.300s", r.what, r.status, status, r.body)
	}
	for _, s := range says {
		if !bytes.Contains(r.body, []byte(s)) {
			r.t.Errorf("%s: %.600s does not say %s", r.what, r.body, s)
		}
	}
	return r
}

// wantError fails the test unless the response is that error, in the shape that all errors have.
func (r response) wantError(status int, code string) response {
	r.t.Helper()
	var e struct {
		Error *struct{ Code, Message, Type string }
	}
	if err := json.Unmarshal(r.body, &e); err != nil || e.Error == nil || e.Error.Code != code || e.Error.Message == "" || e.Error.Type == "" {
		r.t.Errorf("%s: error %.300s, want code %s with message and type", r.what, r.body, code)
	}
	if r.header.Get("x-request-id") == "" {
		r.t.Errorf("%s: no x-request-id", r.what)
	}
	return r.want(status)
}

// form encodes files as multipart/form-data.
func form(t *testing.T, files ...[]byte) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i, file := range files {
		part, err := w.CreateFormFile("any", fmt.Sprintf("%d.jpg", i))
		if err != nil {
			t.Fatal(err)
		}
		part.Write(file)
	}
	w.Close()
	return b.Bytes(), w.FormDataContentType()
}

// TestServeContract has each row of the HTTP interface, but for jobs, answered by the program over a socket. What needs
// a server in a state of its own is in the tests below, and a failing device in those of package server.
func TestServeContract(t *testing.T) {
	s := serve(t, "--max-body-size", "1MiB", "--max-client-batch-size", "3", "--max-image-pixels", "150000")
	cat, coffee, broken := readFile(t, photos+"chelsea_451x300.png"), readFile(t, photos+"coffee_120x80.bmp"), readFile(t, photos+"chelsea_451x300.png")[:1000]
	uri := func(b []byte) string { return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b) }
	asJSON := func(t *testing.T, path string, v any) response {
		t.Helper()
		body, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return s.do(t, "POST", path, body, "Content-Type", "application/json")
	}
	first := parse(t, string(s.do(t, "POST", "/api/embed", cat).want(200).body)).Data[0].Embedding
	if len(first) != 160 {
		t.Fatalf("%d values", len(first))
	}

	t.Run("page and descriptions", func(t *testing.T) {
		s.do(t, "GET", "/", nil).want(200, "<html")
		s.do(t, "GET", "/docs", nil).want(200, "curl")
		s.do(t, "GET", "/openapi.json", nil).want(200, `"/api/embed"`)
		s.do(t, "GET", "/api", nil).want(200, `"max_client_batch_size":3`, `/api/similarity`)
		s.do(t, "GET", "/api/info", nil).want(200, `"model_digest":"sha256:`, `"preprocessing":"`, `"precision":"fp32"`, `"device":"cpu"`, `"version"`)
		s.do(t, "GET", "/api/devices", nil).want(200, `"weights"`, `"arena"`, `"state":"ok"`)
		s.do(t, "GET", "/api/stats", nil).want(200, `"queue"`, `"p99"`, `"inflight"`)
		s.do(t, "GET", "/v1/models", nil).want(200, `"vit-tiny"`)
	})
	t.Run("health", func(t *testing.T) {
		for _, path := range []string{"/health", "/health/live", "/health/ready"} {
			s.do(t, "GET", path, nil).want(200, `"status"`)
		}
	})
	t.Run("metrics", func(t *testing.T) {
		r := s.do(t, "GET", "/metrics", nil).want(200)
		for _, name := range strings.Fields(`requests_total images_total request_duration_seconds queue_duration_seconds preprocess_duration_seconds
			inference_duration_seconds batch_size batch_flush_total queue_images inflight_bytes cache_hits cache_misses cache_entries cache_bytes
			device_memory_bytes device_up`) {
			r.want(200, "# TYPE vith_"+name+" ")
		}
		r.want(200, "process_resident_memory_bytes", "go_goroutines", `vith_requests_total{code="200",endpoint="/api/embed"}`)
	})
	t.Run("inputs", func(t *testing.T) {
		files, contentType := form(t, cat, coffee)
		for name, r := range map[string]response{
			"raw, no type":    s.do(t, "POST", "/api/embed", cat),
			"raw, wrong type": s.do(t, "POST", "/api", cat, "Content-Type", "text/plain"),
			"multipart":       s.do(t, "POST", "/api/embed", files, "Content-Type", contentType),
			"data URI":        asJSON(t, "/api/embed", map[string]any{"images": []any{uri(cat)}}),
			"bare base64":     asJSON(t, "/api/embed", map[string]any{"images": []any{base64.StdEncoding.EncodeToString(cat), uri(coffee)}}),
			"object":          asJSON(t, "/api/embed", map[string]any{"images": []any{map[string]string{"id": "one", "data": uri(cat)}}}),
		} {
			data := parse(t, string(r.want(200).body)).Data
			if !same(data[0].Embedding, first) {
				t.Errorf("%s: another vector", name)
			}
			if name == "object" {
				r.want(200, `"id":"one"`)
			}
		}
	})
	t.Run("answers", func(t *testing.T) {
		r := s.do(t, "POST", "/api/embed", cat, "x-request-id", "mine").want(200, `"timing_ms":{"queue":`, `"preprocess":`, `"compute":`, `"total":`, `"normalized":false`, `"synthetic":true`)
		for _, name := range []string{"x-vith-batch-size", "x-vith-model-digest", "x-vith-preprocessing", "x-total-time", "x-queue-time", "x-preprocess-time", "x-inference-time"} {
			if r.header.Get(name) == "" {
				t.Errorf("no %s", name)
			}
		}
		if got := r.header.Get("x-request-id"); got != "mine" {
			t.Errorf("x-request-id %q", got)
		}
		raw := s.do(t, "POST", "/api/embed", cat, "Accept", "application/octet-stream").want(200)
		if !same(floats(raw.body), first) {
			t.Error("application/octet-stream: another vector")
		}
		npy := s.do(t, "POST", "/api/embed", cat, "Accept", "application/x-npy").want(200, "\x93NUMPY\x01\x00", "(1, 160)")
		if !same(floats(npy.body[len(npy.body)-4*160:]), first) {
			t.Error("application/x-npy: another vector")
		}
		coded := asJSON(t, "/api/embed", map[string]any{"images": []any{uri(cat)}, "encoding_format": "base64"}).want(200)
		text := regexp.MustCompile(`"embedding":"([^"]+)"`).FindSubmatch(coded.body)
		if text == nil {
			t.Fatalf("base64: %s", coded.body)
		}
		if b, err := base64.StdEncoding.DecodeString(string(text[1])); err != nil || !same(floats(b), first) {
			t.Errorf("base64: another vector, %v", err)
		}
		s.do(t, "POST", "/api/embed?output=projected&normalize=true", cat).want(200, `"dim":96`, `"normalized":true`)
		s.do(t, "POST", "/api/embed?output=penultimate", cat).want(200, `"shape":[17,160]`)
	})
	t.Run("similarity", func(t *testing.T) {
		files, contentType := form(t, cat, coffee, cat)
		r := s.do(t, "POST", "/api/similarity", files, "Content-Type", contentType).want(200)
		var m struct{ Similarity [][]float64 }
		if err := json.Unmarshal(r.body, &m); err != nil || len(m.Similarity) != 3 || m.Similarity[0][2] != 1 || m.Similarity[0][1] >= 1 {
			t.Errorf("%v: %s", err, r.body)
		}
	})
	t.Run("OpenAI", func(t *testing.T) {
		for _, path := range []string{"/v1/embeddings", "/embeddings"} {
			r := asJSON(t, path, map[string]any{"model": "vit-tiny", "input": []string{uri(cat)}}).want(200, `"object":"list"`, `"object":"embedding"`, `"usage"`)
			var a struct {
				Data []struct{ Embedding []float32 }
			}
			if err := json.Unmarshal(r.body, &a); err != nil || !same(a.Data[0].Embedding, first) {
				t.Errorf("%s: another vector, %v", path, err)
			}
		}
		asJSON(t, "/v1/embeddings", map[string]any{"input": []string{uri(cat)}, "dimensions": 7}).wantError(400, "invalid_dimensions")
		asJSON(t, "/v1/embeddings", map[string]any{"input": []string{}}).wantError(400, "no_images")
	})
	t.Run("a bad image among good ones", func(t *testing.T) {
		images := map[string]any{"images": []any{uri(cat), uri(broken), uri(coffee)}}
		got := parse(t, string(asJSON(t, "/api/embed", images).want(200, `"code":"truncated_image"`).body))
		if !same(got.Data[0].Embedding, first) || got.Data[1].Embedding != nil || got.Data[2].Embedding == nil {
			t.Errorf("%+v", got.Data)
		}
		images["on_error"] = "fail"
		asJSON(t, "/api/embed", images).wantError(400, "truncated_image")
		asJSON(t, "/api/embed", map[string]any{"images": []any{uri(broken), ""}}).wantError(400, "no_usable_image").want(400, "empty_image")
		asJSON(t, "/api/embed", map[string]any{"images": []any{"https://example.org/cat.jpg"}}).wantError(400, "url_fetch_off")
	})
	t.Run("errors", func(t *testing.T) {
		s.do(t, "POST", "/api/embed", nil).wantError(400, "empty_body")
		s.do(t, "POST", "/api/embed", []byte(`{"images":[`), "Content-Type", "application/json").wantError(400, "malformed_json")
		asJSON(t, "/api/embed", map[string]any{"images": []any{}}).wantError(400, "no_images")
		s.do(t, "POST", "/api/embed", broken).wantError(400, "truncated_image")
		s.do(t, "GET", "/nothing", nil).wantError(404, "not_found")
		s.do(t, "POST", "/api/embed?model=other", cat).wantError(404, "model_not_found")
		if r := s.do(t, "PUT", "/api/embed", cat).wantError(405, "method_not_allowed"); r.header.Get("Allow") == "" {
			t.Error("405 without Allow")
		}
		s.do(t, "POST", "/api/embed", make([]byte, 2<<20)).wantError(413, "body_too_large").want(413, "--max-body-size")
		files, contentType := form(t, cat, cat, cat, cat)
		s.do(t, "POST", "/api/embed", files, "Content-Type", contentType).wantError(413, "too_many_images")
		var large bytes.Buffer
		if err := png.Encode(&large, image.NewGray(image.Rect(0, 0, 400, 400))); err != nil {
			t.Fatal(err)
		}
		s.do(t, "POST", "/api/embed", large.Bytes()).wantError(413, "image_too_large")
		s.do(t, "POST", "/api/embed", []byte("no image")).wantError(415, "unsupported_image_format")
		asJSON(t, "/api/embed", map[string]any{"images": "one"}).wantError(422, "invalid_value")
		s.do(t, "POST", "/api/embed?output=cls", cat).wantError(422, "invalid_value")
		s.do(t, "POST", "/api/embed?output=penultimate&normalize=true", cat).wantError(422, "invalid_value")
	})
	if r := s.do(t, "POST", "/api/embed", cat).want(200); !same(parse(t, string(r.body)).Data[0].Embedding, first) {
		t.Error("after all that: another vector")
	}
}

// TestServeFull has a server whose only place is taken by an image that waits for others: the next one is refused at
// once.
func TestServeFull(t *testing.T) {
	s := serve(t, "--max-queue-size", "1", "--max-client-batch-size", "1", "--max-queue-delay", "1h", "--request-timeout", "1h")
	coffee := readFile(t, photos+"coffee_120x80.bmp")
	go http.Post(s.url+"/api/embed", "", bytes.NewReader(coffee)) // until the server is killed
	for !bytes.Contains(s.do(t, "GET", "/api/stats", nil).body, []byte(`"inflight":{"images":1`)) {
		time.Sleep(time.Millisecond)
	}
	if r := s.do(t, "POST", "/api/embed", coffee).wantError(429, "queue_full"); r.header.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
}

// TestServeDeadline has an image wait for others until its time is up.
func TestServeDeadline(t *testing.T) {
	s := serve(t, "--max-queue-delay", "1h", "--request-timeout", "50ms")
	s.do(t, "POST", "/api/embed", readFile(t, photos+"coffee_120x80.bmp")).wantError(504, "deadline_exceeded")
}

// TestServePprof serves profiles, and not where others can reach them.
func TestServePprof(t *testing.T) {
	s := serve(t, "--pprof", "127.0.0.1:0")
	at := regexp.MustCompile(`http://127\.0\.0\.1:\d+/debug/pprof/`).FindString(s.said)
	if at == "" {
		t.Fatalf("the log does not say where the profiles are:\n%s", s.said)
	}
	res, err := http.Get(at + "goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || !bytes.HasPrefix(body, []byte("goroutine profile:")) {
		t.Errorf("%v: %.200s", err, body)
	}
	s.do(t, "GET", "/debug/pprof/", nil).wantError(404, "not_found")
	s.cmd.Process.Signal(syscall.SIGTERM)
	if code, logs := s.wait(); code != 0 {
		t.Errorf("exit %d\n%s", code, logs)
	}
}
