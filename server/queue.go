package server

import "time"

// A queue holds the prepared images that wait for one output, oldest first. It
// is a ring that grows and never shrinks. Not safe for concurrent use.
type queue struct {
	output string
	size   int // values of one embedding

	ring []*item // len is a power of two, or 0
	head int
	n    int
}

// oldest returns when the first image was queued. The queue must not be empty.
func (q *queue) oldest() time.Time { return q.ring[q.head].queued }

func (q *queue) pushBack(it *item) {
	q.reserve()
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = it
	q.n++
}

func (q *queue) pushFront(it *item) {
	q.reserve()
	q.head = (q.head - 1) & (len(q.ring) - 1)
	q.ring[q.head] = it
	q.n++
}

// popFront removes the first image. The queue must not be empty.
func (q *queue) popFront() *item {
	it := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return it
}

// reserve makes room for one more.
func (q *queue) reserve() {
	if q.n < len(q.ring) {
		return
	}
	ring := make([]*item, max(16, 2*len(q.ring)))
	for i := range q.n {
		ring[i] = q.ring[(q.head+i)&(len(q.ring)-1)]
	}
	q.ring, q.head = ring, 0
}
