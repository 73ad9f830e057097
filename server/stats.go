package server

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/valyala/fasthttp"

	"vith/server/cache"
)

// describeStats answers GET /api/stats: the main figures of GET /metrics for
// people and scripts. Durations are since the server's start.
func (s *Server) describeStats(r *request) error {
	type durations struct {
		Request    summary `json:"request"`
		Queue      summary `json:"queue"`
		Preprocess summary `json:"preprocess"`
		Inference  summary `json:"inference"`
	}
	type inflight struct {
		Images    int64 `json:"images"` // admitted and not yet answered
		MaxImages int64 `json:"max_images"`
		Queued    int   `json:"queued"` // of them: prepared, waiting for a batch
		Bytes     int64 `json:"bytes"`
		MaxBytes  int64 `json:"max_bytes"`
	}
	type batches struct {
		Count    uint64           `json:"count"`
		MeanSize float64          `json:"mean_size"`
		Flushed  map[flush]uint64 `json:"flushed"`
	}
	m := s.metrics
	b := merge(m.batch)
	stats := struct {
		UptimeSeconds float64                `json:"uptime_seconds"`
		Inflight      inflight               `json:"inflight"`
		Images        map[imageResult]uint64 `json:"images"`
		Batches       batches                `json:"batches"`
		Cache         *cache.Stats           `json:"cache,omitempty"` // absent: no cache
		Latency       durations              `json:"latency_ms"`
	}{
		UptimeSeconds: time.Since(s.started).Seconds(),
		Inflight: inflight{
			Images: s.admission.images.Load(), MaxImages: s.admission.maxImages, Queued: s.batcher.waiting(),
			Bytes: s.admission.bytes.Load(), MaxBytes: s.admission.maxBytes,
		},
		Images:  map[imageResult]uint64{},
		Batches: batches{Count: b.count, MeanSize: b.mean(), Flushed: map[flush]uint64{}},
		Latency: durations{
			merge(m.request).summary(), merge(m.queue).summary(), merge(m.preprocess).summary(), merge(m.computed).summary(),
		},
	}
	if s.memory != nil {
		kept := s.memory.cache.Stats()
		stats.Cache = &kept
	}
	for result, c := range m.images {
		stats.Images[result] = count(c)
	}
	for why, c := range m.flushes {
		stats.Batches.Flushed[why] = count(c)
	}
	return writeJSON(r.RequestCtx, fasthttp.StatusOK, stats)
}

// A summary is a histogram of durations in milliseconds.
type summary struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
}

// read returns a metric's value.
func read(m prometheus.Metric) *dto.Metric {
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		panic(fmt.Sprintf("server: reading %s: %v", m.Desc(), err)) // only a metric made wrongly cannot be read
	}
	return &out
}

func count(c prometheus.Counter) uint64 { return uint64(read(c).GetCounter().GetValue()) }

// A histogram is the sum of some with the same bounds.
type histogram struct {
	count  uint64
	sum    float64
	bounds []float64 // upper bounds
	atMost []uint64  // by bound
}

// merge adds up the histograms of a collector.
func merge(c prometheus.Collector) (h histogram) {
	metrics := make(chan prometheus.Metric)
	go func() {
		c.Collect(metrics)
		close(metrics)
	}()
	for m := range metrics {
		one := read(m).GetHistogram()
		h.count += one.GetSampleCount()
		h.sum += one.GetSampleSum()
		for i, b := range one.GetBucket() {
			if i == len(h.bounds) {
				h.bounds, h.atMost = append(h.bounds, b.GetUpperBound()), append(h.atMost, 0)
			}
			h.atMost[i] += b.GetCumulativeCount()
		}
	}
	return h
}

func (h histogram) mean() float64 {
	if h.count == 0 {
		return 0
	}
	return h.sum / float64(h.count)
}

// quantile estimates the value below which a share q of the samples lies, as
// Prometheus's histogram_quantile: samples are taken to lie evenly in a bucket.
func (h histogram) quantile(q float64) float64 {
	rank := q * float64(h.count)
	lower, below := 0.0, 0.0
	for i, bound := range h.bounds {
		if n := float64(h.atMost[i]); n > 0 && n >= rank {
			return lower + (bound-lower)*(rank-below)/(n-below)
		}
		lower, below = bound, float64(h.atMost[i])
	}
	return lower // beyond the last bound, or no samples
}

func (h histogram) summary() summary {
	if h.count == 0 {
		return summary{}
	}
	const ms = 1e3
	return summary{h.count, ms * h.mean(), ms * h.quantile(0.5), ms * h.quantile(0.9), ms * h.quantile(0.99)}
}
