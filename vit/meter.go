package vit

import (
	"sync"
	"time"
)

// A meter measures for which share of the last second at least one piece of work was under way. Its zero value is
// ready, and its methods may be called concurrently.
type meter struct {
	mu     sync.Mutex
	inside int       // pieces under way
	since  time.Time // when inside left 0
	spans  []span    // of the last second
}

type span struct{ from, to time.Time }

// begin starts a piece of work, end ends one.
func (m *meter) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inside++; m.inside == 1 {
		m.since = time.Now()
	}
}

func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inside--; m.inside > 0 {
		return
	}
	now := time.Now()
	m.forget(now)
	m.spans = append(m.spans, span{m.since, now})
}

// forget drops what ended more than a second ago.
func (m *meter) forget(now time.Time) {
	old := 0
	for old < len(m.spans) && now.Sub(m.spans[old].to) > time.Second {
		old++
	}
	m.spans = m.spans[old:]
}

// lastSecond is from 0, idle, to 1.
func (m *meter) lastSecond() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.forget(now)
	spans := m.spans
	if m.inside > 0 {
		spans = append(spans[:len(spans):len(spans)], span{m.since, now})
	}
	busy := time.Duration(0)
	for _, s := range spans {
		busy += s.to.Sub(s.from) - max(0, now.Add(-time.Second).Sub(s.from))
	}
	return busy.Seconds()
}
