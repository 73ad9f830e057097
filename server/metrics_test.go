package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scrape returns the samples of GET /metrics by name with labels.
func (c *client) scrape() map[string]string {
	c.t.Helper()
	r := c.get("/metrics").want(200)
	if got := r.header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		c.t.Fatalf("Content-Type %q", got)
	}
	samples := map[string]string{}
	for line := range strings.Lines(string(r.body)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(line, "#") {
			samples[name] = value
		}
	}
	return samples
}

func TestMetrics(t *testing.T) {
	e := newFakeEngine()
	e.devices = []Device{
		{ID: "cpu", State: "ok", Memory: Memory{Total: 8, Free: 5, Weights: 2, Arena: 1}},
		{ID: "cuda:0", UUID: "GPU-1", State: DeviceDown, Load: 0.25, Memory: Memory{Total: 100, Free: 60, Workspace: 7}, Power: Power{55, 300, 1234}},
		{ID: "cuda:1", UUID: "GPU-2", State: DeviceSilent},
	}
	c := serve(t, e, Config{MaxClientBatchSize: 3, MaxQueueSize: 3})
	good, bad := picture(t, 1), []byte("no image")
	c.form("/api/embed", [][]byte{good, bad, good}, nil).want(200)
	c.do("POST", "/api/embed", bad).want(415)
	c.get("/api/jobs/7").want(501)
	c.get("/nothing").want(404)
	e.onEmbed = func(context.Context, int) error { return errors.New("device lost") }
	c.do("POST", "/api/embed", good).want(503)
	c.wantNothingHeld()

	got := c.scrape()
	for name, want := range map[string]string{
		`vith_requests_total{code="200",endpoint="/api/embed"}`:                       "1",
		`vith_requests_total{code="415",endpoint="/api/embed"}`:                       "1",
		`vith_requests_total{code="503",endpoint="/api/embed"}`:                       "1",
		`vith_requests_total{code="501",endpoint="/api/jobs/{id}"}`:                   "1",
		`vith_requests_total{code="404",endpoint="none"}`:                             "1",
		`vith_images_total{result="ok"}`:                                              "2",
		`vith_images_total{result="bad"}`:                                             "2",
		`vith_images_total{result="failed"}`:                                          "1",
		`vith_images_total{result="rejected"}`:                                        "0",
		`vith_request_duration_seconds_count`:                                         "3",
		`vith_queue_duration_seconds_count`:                                           "2",
		`vith_preprocess_duration_seconds_count`:                                      "5",
		`vith_batch_flush_total{reason="retry"}`:                                      "1",
		`vith_batch_size_bucket{le="4"}`:                                              got["vith_batch_size_count"],
		`vith_queue_images`:                                                           "0",
		`vith_inflight_images`:                                                        "0",
		`vith_inflight_bytes`:                                                         "0",
		`vith_device_up{gpu_uuid="cpu"}`:                                              "1",
		`vith_device_up{gpu_uuid="GPU-1"}`:                                            "0",
		`vith_device_up{gpu_uuid="GPU-2"}`:                                            "0",
		`vith_device_memory_bytes{gpu_uuid="cpu",kind="weights"}`:                     "2",
		`vith_device_memory_bytes{gpu_uuid="GPU-1",kind="workspace"}`:                 "7",
		`vith_device_memory_bytes{gpu_uuid="GPU-1",kind="free"}`:                      "60",
		`nv_gpu_utilization{gpu_uuid="GPU-1"}`:                                        "0.25",
		`nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"}`:                                  "40",
		`nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"}`:                                 "100",
		`nv_gpu_power_usage{gpu_uuid="GPU-1"}`:                                        "55",
		`nv_gpu_power_limit{gpu_uuid="GPU-1"}`:                                        "300",
		`nv_energy_consumption{gpu_uuid="GPU-1"}`:                                     "1234",
		`nv_gpu_utilization{gpu_uuid="cpu"}`:                                          "",
		`vith_inference_duration_seconds_bucket{bucket="8",device="cpu",le="0.0001"}`: "",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	for _, name := range []string{
		`vith_inference_duration_seconds_count{bucket="1",device="cpu"}`, `vith_inference_duration_seconds_count{bucket="4",device="cpu"}`,
		"process_resident_memory_bytes", "process_open_fds", "go_goroutines",
	} {
		if got[name] == "" {
			t.Errorf("there is no %s", name)
		}
	}
}

func TestStats(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{MaxQueueSize: 300})
	c.form("/api/embed", [][]byte{picture(t, 1), []byte("bad"), picture(t, 2)}, nil).want(200)
	c.wantNothingHeld()
	var got struct {
		UptimeSeconds float64 `json:"uptime_seconds"`
		Inflight      map[string]int64
		Images        map[string]int
		Batches       struct {
			Count    int
			MeanSize float64 `json:"mean_size"`
			Flushed  map[string]int
		}
		Latency map[string]map[string]float64 `json:"latency_ms"`
	}
	if err := json.Unmarshal(c.get("/api/stats").want(200).body, &got); err != nil {
		t.Fatal(err)
	}
	if got.UptimeSeconds <= 0 || got.Inflight["max_images"] != 300 || got.Inflight["max_bytes"] != 1<<30 || got.Inflight["images"] != 0 {
		t.Errorf("%+v", got)
	}
	if got.Images["ok"] != 2 || got.Images["bad"] != 1 || float64(got.Batches.Count)*got.Batches.MeanSize != 2 || got.Batches.Flushed["delay"] != got.Batches.Count {
		t.Errorf("images %v, batches %+v", got.Images, got.Batches)
	}
	for part, count := range map[string]float64{"request": 1, "queue": 2, "preprocess": 3, "inference": float64(got.Batches.Count)} {
		d := got.Latency[part]
		if d["count"] != count || d["mean"] <= 0 || d["p50"] <= 0 || d["p50"] > d["p90"] || d["p90"] > d["p99"] {
			t.Errorf("%s: %v", part, d)
		}
	}
}

func TestQuantile(t *testing.T) {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Help: "h", Buckets: []float64{1, 2, 4}})
	if got := merge(h).summary(); got != (summary{}) {
		t.Errorf("without samples: %+v", got)
	}
	for _, v := range []float64{0.5, 1.5, 1.5, 3, 100} {
		h.Observe(v)
	}
	for q, want := range map[float64]float64{0.2: 1, 0.4: 1.5, 0.6: 2, 0.7: 3, 0.8: 4, 0.9: 4} {
		if got := merge(h).quantile(q); math.Abs(got-want) > 1e-9 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}

// TestAccessLog reads the lines that requests leave behind.
func TestAccessLog(t *testing.T) {
	var b bytes.Buffer
	e := newFakeEngine()
	c := serve(t, e, Config{Logger: slog.New(slog.NewJSONHandler(&b, nil)), APIKeys: []string{"secret-key"}})
	c.form("/api/embed?normalize=true", [][]byte{picture(t, 1), []byte("bad")}, nil, "x-request-id", "mine", "Authorization", "Bearer secret-key").want(200)
	c.get("/health/live").want(200)
	c.do("POST", "/api/embed", nil, "x-request-id", "other", "Authorization", "Bearer secret-key").want(400)
	e.onPrepare = func(context.Context, []byte) error { panic("at the disco") }
	c.do("POST", "/api/embed", picture(t, 1), "Authorization", "Bearer secret-key").want(500)
	if err := c.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(b.String()))
	if len(lines) != 3 || strings.Contains(b.String(), "secret-key") {
		t.Fatalf("the log is\n%s", b.String())
	}
	var first map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"level": "INFO", "msg": "request", "request_id": "mine", "method": "POST", "path": "/api/embed",
		"status": 200.0, "images": 2.0, "bad": 1.0, "batch": 1.0,
	} {
		if first[name] != want {
			t.Errorf("%s is %v, want %v", name, first[name], want)
		}
	}
	for _, name := range []string{"total", "queue", "preprocess", "compute"} {
		if d, ok := first[name].(float64); !ok || d < 0 || time.Duration(d) > time.Minute {
			t.Errorf("%s is %v", name, first[name])
		}
	}
	if !strings.Contains(lines[1], `"status":400`) || !strings.Contains(lines[1], `"request_id":"other"`) || !strings.Contains(lines[1], `"error":"the body is empty`) {
		t.Errorf("the refused request: %s", lines[1])
	}
	if !strings.Contains(lines[2], `"level":"ERROR"`) || !strings.Contains(lines[2], "at the disco") {
		t.Errorf("the panic: %s", lines[2])
	}
}
