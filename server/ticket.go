package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"vith/server/answer"
)

// A ticket is what one request has in the batcher: its images on their way, and
// the memory for their vectors. It outlives a request that does not wait for its
// end; else it is used again when nobody holds it any more.
type ticket struct {
	pool   *ticketPool
	ctx    context.Context // of the request
	client *conn           // nil: it cannot be told whether the client is there
	images int             // admitted
	bytes  int64           // admitted

	items   []item
	results []answer.Item
	vectors []float32 // [images, values]

	holders atomic.Int32  // the request, and each image in the batcher
	left    atomic.Int32  // images in the batcher, plus one while more may come
	done    chan struct{} // has an element when left has become 0 behind wait's back
	settled bool          // wait has seen left become 0: the batcher does not know the ticket any more
	failed  atomic.Bool   // err is set
	bad     atomic.Int32  // images with an error of their own

	mu       sync.Mutex
	err      error // why the request as a whole has failed
	batch    int   // images in the largest batch
	waited   time.Duration
	prepared span
	computed span
}

// An item is one prepared image on its way through the batcher. Until it is
// finished, the batcher owns it.
type item struct {
	ticket *ticket
	frame  *frame
	out    []float32 // where the embedding goes; part of ticket.vectors
	flight *flight   // who else waits for it; nil: nobody can
	queued time.Time
	again  bool // it was in a batch that failed
}

// A ticketPool gives out the tickets of what an admission lets in.
type ticketPool struct {
	admission *admission
	pool      sync.Pool
}

func newTicketPool(a *admission) *ticketPool {
	p := &ticketPool{admission: a}
	p.pool.New = func() any { return &ticket{pool: p, done: make(chan struct{}, 1)} }
	return p
}

// keepVectors is the largest memory for vectors, in values, that a ticket keeps
// for its next request.
const keepVectors = 256 << 10

// get returns a ticket for n images with embeddings of size values, admitted
// with so many bytes. The caller holds it.
func (p *ticketPool) get(ctx context.Context, client *conn, n, size int, bytes int64) *ticket {
	t := p.pool.Get().(*ticket)
	t.ctx, t.client, t.images, t.bytes = ctx, client, n, bytes
	t.items = resize(t.items, n)
	t.results = resize(t.results, n)
	t.vectors = resize(t.vectors, n*size)
	for i := range t.items {
		t.items[i] = item{ticket: t, out: t.vectors[i*size : (i+1)*size : (i+1)*size]}
	}
	clear(t.results)
	t.err, t.batch, t.waited, t.prepared, t.computed = nil, 0, 0, span{}, span{}
	t.failed.Store(false)
	t.bad.Store(0)
	t.holders.Store(1)
	t.left.Store(0)
	t.settled = true
	return t
}

func resize[T any](s []T, n int) []T {
	if n <= cap(s) {
		return s[:n]
	}
	return make([]T, n)
}

// hold adds a holder; release takes one away.
func (t *ticket) hold() { t.holders.Add(1) }

func (t *ticket) release() {
	if t.holders.Add(-1) > 0 {
		return
	}
	t.pool.admission.release(t.images, t.bytes)
	if !t.settled {
		return // an image may be about to set left and done
	}
	if cap(t.vectors) > keepVectors {
		t.vectors = nil
	}
	clear(t.items)
	clear(t.results)
	t.ctx, t.client = nil, nil
	t.pool.pool.Put(t)
}

// begin says that images may come; wait, that no more will, and waits for those
// that came. It returns what ended the ticket's context before them.
func (t *ticket) begin() {
	t.settled = false
	t.left.Add(1)
}

func (t *ticket) wait() error {
	if t.left.Add(-1) > 0 {
		select {
		case <-t.done:
		case <-t.ctx.Done():
			return t.ctx.Err()
		}
	}
	t.settled = true
	return nil
}

// finish ends an image's way: err is nil if out has its embedding, else why the
// request as a whole fails. The batcher must not use it afterwards.
func (it *item) finish(err error) {
	t := it.ticket
	it.frame.free()
	if it.flight != nil {
		it.flight.land(it.out, nil, err)
	}
	if err != nil {
		t.fail(err)
	}
	t.release() // first, so that what a request held is given back when it is answered
	if t.left.Add(-1) == 0 {
		t.done <- struct{}{}
	}
}

// fail makes the request fail with the first err that is given.
func (t *ticket) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
		t.failed.Store(true)
	}
}

func (t *ticket) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// over returns why nothing more should be done for the request, or nil.
func (t *ticket) over() error {
	if t.failed.Load() {
		return t.failure()
	}
	if err := t.ctx.Err(); err != nil {
		return err
	}
	if t.client != nil && t.client.gone() {
		t.fail(errClientGone)
		return errClientGone
	}
	return nil
}

// usable returns the number of images that are not bad.
func (t *ticket) usable() int { return t.images - int(t.bad.Load()) }

// notePrepared notes that an image waited for a place to be prepared, and was
// prepared from began until now. It returns how long that took.
func (t *ticket) notePrepared(waited time.Duration, began time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.waited = max(t.waited, waited)
	t.prepared.add(began, now)
	return now.Sub(began)
}

// noteBatch notes that an image that had waited was in a batch of n.
func (t *ticket) noteBatch(n int, waited time.Duration, began, ended time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.batch = max(t.batch, n)
	t.waited = max(t.waited, waited)
	t.computed.add(began, ended)
}

// largestBatch returns the images of the largest batch so far that had one of the
// ticket's.
func (t *ticket) largestBatch() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.batch
}

// timing returns where the time of a request went that started then.
func (t *ticket) timing(start time.Time) answer.Timing {
	t.mu.Lock()
	defer t.mu.Unlock()
	return answer.Timing{Queue: t.waited, Preprocess: t.prepared.length(), Compute: t.computed.length(), Total: time.Since(start)}
}

// A span is the time from the earliest start to the latest end of some work.
type span struct{ from, to time.Time }

func (s *span) add(from, to time.Time) {
	if s.from.IsZero() || from.Before(s.from) {
		s.from = from
	}
	if to.After(s.to) {
		s.to = to
	}
}

func (s *span) length() time.Duration { return s.to.Sub(s.from) }

// A frame is the memory of one prepared image.
type frame struct {
	pixels []byte // [side, side, 3] RGB
	pool   *framePool
	lent   bool // an engine that was given up may still read it: not to be used again
}

// A framePool lends frames of one size.
type framePool struct {
	pool sync.Pool
}

func newFramePool(size int) *framePool {
	p := &framePool{}
	p.pool.New = func() any { return &frame{pixels: make([]byte, size), pool: p} }
	return p
}

func (p *framePool) get() *frame { return p.pool.Get().(*frame) }

func (f *frame) free() {
	if !f.lent {
		f.pool.pool.Put(f)
	}
}
