package http

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// A gauge is a server's figures at a moment, by the names of GET /metrics with
// labels added up; of a histogram NAME_sum and NAME_count. Those of the endpoint
// /metrics itself are left out: it is we who ask for it.
type gauge map[string]float64

// scrape asks the server for its figures.
func (c *client) scrape(ctx context.Context) (gauge, error) {
	if _, err := c.do(ctx, c.target.get("/metrics"), time.Now().Add(10*time.Second)); err != nil {
		return nil, err
	}
	if status := c.answer.StatusCode(); status != http.StatusOK {
		return nil, fmt.Errorf("GET /metrics: %d", status)
	}
	return readGauge(c.answer.Body())
}

func readGauge(text []byte) (gauge, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("GET /metrics: %w", err)
	}
	ours := func(l *dto.LabelPair) bool { return l.GetName() == "endpoint" && l.GetValue() == "/metrics" }
	g := gauge{}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			if slices.ContainsFunc(m.GetLabel(), ours) {
				continue
			}
			if h := m.GetHistogram(); h != nil {
				g[name+"_sum"] += h.GetSampleSum()
				g[name+"_count"] += float64(h.GetSampleCount())
				continue
			}
			g[name] += m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
		}
	}
	return g, nil
}

// mean returns the mean of what a histogram took between two moments.
func mean(from, to gauge, name string) float64 {
	n := to[name+"_count"] - from[name+"_count"]
	if n == 0 {
		return 0
	}
	return (to[name+"_sum"] - from[name+"_sum"]) / n
}

// about asks the server what it serves; what it does not tell stays empty.
func (g *generator) about(ctx context.Context) (m Model) {
	c := client{target: &g.target}
	defer c.close()
	if _, err := c.do(ctx, g.target.get("/api/info"), time.Now().Add(10*time.Second)); err == nil && c.answer.StatusCode() == http.StatusOK {
		json.Unmarshal(c.answer.Body(), &m)
	}
	return m
}

// A watch follows a server's figures during a level.
type watch struct {
	from, to  gauge
	peak      float64 // resident memory
	err       error   // of the last look: the server does not tell
	stop, end chan struct{}
}

// follow starts a watch. stopped ends it.
func (g *generator) follow(ctx context.Context) *watch {
	w := &watch{stop: make(chan struct{}), end: make(chan struct{})}
	c := &client{target: &g.target}
	if w.from, w.err = c.scrape(ctx); w.err != nil {
		c.close()
		close(w.end)
		return w
	}
	w.peak = w.from[residentMemory]
	go func() {
		defer close(w.end)
		defer c.close()
		for {
			select {
			case <-w.stop:
				w.note(c.scrape(ctx))
				return
			case <-time.After(time.Second):
				w.note(c.scrape(ctx))
			}
		}
	}()
	return w
}

const residentMemory = "process_resident_memory_bytes"

// note takes a look at the server in. Of those that failed only the last one, at
// the end, leaves a level without figures.
func (w *watch) note(now gauge, err error) {
	if w.err = err; err != nil {
		return
	}
	w.to = now
	w.peak = max(w.peak, now[residentMemory])
}

// stopped ends the watch and returns what the server did meanwhile; nil if it
// did not tell.
func (w *watch) stopped() *Server {
	close(w.stop)
	<-w.end
	if w.err != nil {
		return nil
	}
	const us = 1e6
	return &Server{
		QueueMicros:      us * mean(w.from, w.to, "vith_queue_duration_seconds"),
		PreprocessMicros: us * mean(w.from, w.to, "vith_preprocess_duration_seconds"),
		InferenceMicros:  us * mean(w.from, w.to, "vith_inference_duration_seconds"),
		BatchSize:        mean(w.from, w.to, "vith_batch_size"),
		Images:           int(w.to["vith_batch_size_sum"] - w.from["vith_batch_size_sum"]),
		Requests:         int(w.to["vith_requests_total"] - w.from["vith_requests_total"]),
		CPUSeconds:       w.to["process_cpu_seconds_total"] - w.from["process_cpu_seconds_total"],
		MemoryStart:      int64(w.from[residentMemory]),
		MemoryPeak:       int64(w.peak),
		MemoryEnd:        int64(w.to[residentMemory]),
	}
}
