package server

import (
	"context"
	"errors"
	"math/bits"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"

	"vith/server/cache"
)

// metrics are what GET /metrics exposes. Names, and the base units in them, are
// part of the interface.
type metrics struct {
	registry *prometheus.Registry
	handler  fasthttp.RequestHandler

	requests   *prometheus.CounterVec // by endpoint and code
	images     map[imageResult]prometheus.Counter
	request    prometheus.Histogram
	queue      prometheus.Histogram
	preprocess prometheus.Histogram
	inference  []prometheus.Observer // by the logarithm of the bucket
	computed   *prometheus.HistogramVec
	batch      prometheus.Histogram
	flushes    map[flush]prometheus.Counter
}

// An imageResult is what became of an image.
type imageResult string

const (
	imageOK       imageResult = "ok"
	imageBad      imageResult = "bad"      // it has an error of its own
	imageRejected imageResult = "rejected" // by admission: 429
	imageCanceled imageResult = "canceled" // deadline, client gone, request failed at another image
	imageFailed   imageResult = "failed"   // the server or the model failed
)

// durationBuckets are the bounds of all durations: from 100 µs to 52 s, each
// twice the one before.
var durationBuckets = prometheus.ExponentialBuckets(100e-6, 2, 20)

func newMetrics(s *Server) *metrics {
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: durationBuckets})
	}
	buckets := bits.Len(uint(s.info.MaxBatch-1)) + 1 // 1, 2, 4 ... the first that holds MaxBatch
	m := &metrics{
		registry:   prometheus.NewRegistry(),
		images:     map[imageResult]prometheus.Counter{},
		flushes:    map[flush]prometheus.Counter{},
		request:    histogram("vith_request_duration_seconds", "Time of a POST request from the end of its header to its answer."),
		queue:      histogram("vith_queue_duration_seconds", "Time of an image between its preparation and the start of its batch."),
		preprocess: histogram("vith_preprocess_duration_seconds", "Time to decode, resize and crop an image."),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "vith_batch_size", Help: "Images in a batch.", Buckets: prometheus.ExponentialBuckets(1, 2, buckets),
		}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vith_requests_total", Help: "Requests answered, by endpoint and status code.",
		}, []string{"endpoint", "code"}),
		computed: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "vith_inference_duration_seconds", Help: "Time of a forward pass; bucket is the power of two that holds the batch.",
			Buckets: durationBuckets,
		}, []string{"device", "bucket"}),
	}
	for i := range buckets {
		m.inference = append(m.inference, m.computed.WithLabelValues(s.info.Device, strconv.Itoa(1<<i)))
	}
	images := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vith_images_total", Help: "Images of requests, by what became of them."}, []string{"result"})
	for _, result := range []imageResult{imageOK, imageBad, imageRejected, imageCanceled, imageFailed} {
		m.images[result] = images.WithLabelValues(string(result))
	}
	flushes := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vith_batch_flush_total", Help: "Batches, by why they were not made larger."}, []string{"reason"})
	for _, why := range []flush{flushFull, flushDelay, flushRetry} {
		m.flushes[why] = flushes.WithLabelValues(string(why))
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	cached := func() (stats cache.Stats) {
		if s.memory != nil {
			stats = s.memory.cache.Stats()
		}
		return stats
	}
	counter := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value)
	}
	m.registry.MustRegister(
		counter("vith_cache_hits", "Images whose embedding was in the cache.", func() float64 { return float64(cached().Hits) }),
		counter("vith_cache_misses", "Images whose embedding was not in the cache.", func() float64 { return float64(cached().Misses) }),
		gauge("vith_cache_entries", "Embeddings in the cache's memory.", func() float64 { return float64(cached().Entries) }),
		gauge("vith_cache_bytes", "The cache's memory.", func() float64 { return float64(cached().Bytes) }),
		m.request, m.queue, m.preprocess, m.batch, m.requests, m.computed, images, flushes,
		gauge("vith_queue_images", "Prepared images that wait for a batch.", func() float64 { return float64(s.batcher.waiting()) }),
		gauge("vith_inflight_images", "Images admitted and not yet answered.", func() float64 { return float64(s.admission.images.Load()) }),
		gauge("vith_inflight_bytes", "Memory held by bodies, images and vectors of requests.", func() float64 { return float64(s.admission.bytes.Load()) }),
		&deviceCollector{s.engine},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.handler = fasthttpadaptor.NewFastHTTPHandler(promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return m
}

// exposeMetrics answers GET /metrics.
func (s *Server) exposeMetrics(r *request) error {
	s.metrics.handler(r.RequestCtx)
	return nil
}

// statusTexts are the status codes as labels.
var statusTexts = func() (texts [600]string) {
	for code := range texts {
		texts[code] = strconv.Itoa(code)
	}
	return texts
}()

func (m *metrics) noteRequest(rt *route, status int, took time.Duration) {
	m.requests.WithLabelValues(rt.label(), statusTexts[status]).Inc()
	if rt != nil && rt.works() {
		m.request.Observe(took.Seconds())
	}
}

// noteImages counts the n images of a request that ended with err; t is nil if
// they were not admitted.
func (m *metrics) noteImages(t *ticket, n int, err error) {
	bad := 0
	if t != nil {
		bad = int(t.bad.Load())
	}
	result := imageOK
	switch e, _ := errors.AsType[*apiError](err); {
	case err == nil:
		if t.failed.Load() { // at a bad image, as it was asked to
			result = imageCanceled
		}
	case e == errClientGone, errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		result = imageCanceled
	case e != nil && e.status < http.StatusInternalServerError:
		result = imageRejected
	default:
		result = imageFailed
	}
	m.images[imageBad].Add(float64(bad))
	m.images[result].Add(float64(n - bad))
}

func (m *metrics) noteFlush(why flush, n int) {
	m.flushes[why].Inc()
	m.batch.Observe(float64(n))
}

func (m *metrics) noteQueued(d time.Duration) { m.queue.Observe(d.Seconds()) }

func (m *metrics) noteCompute(n int, d time.Duration) {
	m.inference[bits.Len(uint(n-1))].Observe(d.Seconds())
}
