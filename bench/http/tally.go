package http

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A tally adds up what became of a level's requests. Safe for concurrent use.
type tally struct {
	mu       sync.Mutex
	count    [outcomes]int
	reasons  map[string]int
	inexact  int
	worst    float64
	images   int // whose vectors came in the measured time
	requests int // right or rejected in that time

	answered *hdrhistogram.Histogram // latency of right ones, from due to the last byte
	refused  *hdrhistogram.Histogram // of refused ones
	taken    *hdrhistogram.Histogram // the same from when it was begun
	late     *hdrhistogram.Histogram // from due to the first byte sent: the generator's share
	send     time.Duration           // sums over all that were answered
	receive  time.Duration
}

func newTally() *tally {
	histogram := func() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(10*time.Minute/time.Microsecond), 3) }
	return &tally{reasons: map[string]int{}, answered: histogram(), taken: histogram(), refused: histogram(), late: histogram()}
}

// note takes a request in: counted says that it was due in the measured time,
// ended that it was answered in it.
func (t *tally) note(due time.Time, at times, v verdict, counted, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ended && (v.outcome == right || v.outcome == rejected) {
		t.requests++
		t.images += v.images
	}
	if !counted {
		return
	}
	t.count[v.outcome]++
	if v.why != "" {
		t.reasons[v.why]++
	}
	record(t.late, at.began.Sub(due))
	if v.outcome == lost {
		return
	}
	t.send += at.sent.Sub(at.began)
	t.receive += at.ended.Sub(at.first)
	switch v.outcome {
	case right:
		record(t.answered, at.ended.Sub(due))
		record(t.taken, at.ended.Sub(at.began))
		t.inexact += v.inexact
		t.worst = max(t.worst, v.worst)
	case refused:
		record(t.refused, at.ended.Sub(due))
	}
}

// record notes a time in microseconds; one beyond the histogram's range counts as
// its end.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	h.RecordValue(min(max(d.Microseconds(), 0), h.HighestTrackableValue()))
}

// point returns the figures of a level that was measured for so long.
func (t *tally) point(level Level, measured time.Duration) Point {
	n := Counts{
		Right: t.count[right], Rejected: t.count[rejected], Refused: t.count[refused],
		Failed: t.count[failed], Wrong: t.count[wrong], Lost: t.count[lost],
	}
	for _, c := range t.count {
		n.Offered += c
	}
	answered := max(1, n.Offered-n.Lost)
	seconds := measured.Seconds()
	return Point{
		Level: level.String(), Concurrency: level.Concurrency, Rate: level.Rate, OfCapacity: level.OfCapacity, Seconds: seconds,
		Requests: n, Reasons: t.reasons, Inexact: t.inexact, WorstDistance: t.worst,
		ImagesPerSecond: float64(t.images) / seconds, RequestsPerSecond: float64(t.requests) / seconds,
		Latency: quantiles(t.answered), Taken: quantiles(t.taken), Refusal: quantiles(t.refused), Late: quantiles(t.late),
		SendMicros: micros(t.send) / float64(answered), ReceiveMicros: micros(t.receive) / float64(answered),
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func quantiles(h *hdrhistogram.Histogram) Quantiles {
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) }
	return Quantiles{
		Count: int(h.TotalCount()), Mean: h.Mean(),
		P50: at(50), P90: at(90), P95: at(95), P99: at(99), P999: at(99.9), Max: float64(h.Max()),
	}
}
