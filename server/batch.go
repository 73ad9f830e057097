package server

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A batcher runs prepared images through an engine, in batches that it forms
// across requests by the rules of Triton's dynamic batcher:
//
//   - Each output has a queue. A large request lies in it image by image, beside
//     small ones, so that it is split and they are joined.
//   - A free worker takes a batch from a queue that has maxBatch images, or whose
//     oldest image has waited for delay; from the one with the oldest image, if
//     there are several. Devices have workers of their own, so that each takes as
//     much as it can.
//   - An image whose request is over, by deadline, failure or a client that has
//     gone, is dropped before it costs anything.
//
// Images of a batch that fails are tried once more, each alone, so that one that
// brings the engine down does it for itself only. A batch that does not come back
// within patience is given up: its images are tried by another worker, and its
// own worker takes no more until the engine has returned.
//
// Source: Triton Inference Server user guide, "Dynamic Batcher".
type batcher struct {
	engine   Engine
	inBytes  int // of one prepared image
	maxBatch int
	delay    time.Duration
	patience time.Duration
	metrics  *metrics
	health   func(ok bool) // told of batches that succeeded or failed
	log      *slog.Logger

	ctx      context.Context // ends what the engine does
	perImage atomic.Int64    // recent compute time of an image, in nanoseconds

	mu      sync.Mutex
	wake    sync.Cond // a queue may have something for a worker
	timer   *time.Timer
	queues  []*queue
	workers int
	stuck   int // workers
	closed  bool
}

// A flush is why a batch was not made larger.
type flush string

const (
	flushFull  flush = "full"  // it has maxBatch images
	flushDelay flush = "delay" // its oldest image had waited long enough
	flushRetry flush = "retry" // its image was in a batch that failed
)

// A worker runs one batch at a time.
type worker struct {
	ctx    context.Context
	cancel context.CancelFunc
	watch  *time.Timer // ends the batcher's patience
	in     []byte      // [batch, inBytes]
	out    []float32   // [batch, size]

	// Guarded by the batcher's mu.
	queue *queue // nil: no batch is running
	items []*item
	began time.Time
	stuck bool // its batch was given up
}

// newBatcher returns a batcher with a worker for each call that the engine's
// devices can take at once.
// They live until close, and ctx ends what the engine does.
func newBatcher(ctx context.Context, e Engine, c Config, m *metrics, health func(ok bool)) *batcher {
	info := e.Info()
	b := &batcher{
		engine: e, inBytes: info.InBytes, maxBatch: info.MaxBatch,
		delay: c.MaxQueueDelay, patience: c.ComputeTimeout, metrics: m, health: health, log: c.Logger,
		ctx: ctx, workers: max(1, info.Parallel) * max(1, len(e.Devices())),
	}
	b.wake.L = &b.mu
	b.timer = stoppedTimer(b.delayEnded)
	for output, shape := range info.Outputs {
		b.queues = append(b.queues, &queue{output: output, size: size(shape)})
	}
	for range b.workers {
		w := &worker{}
		w.ctx, w.cancel = context.WithCancel(ctx)
		w.watch = stoppedTimer(func() { b.giveUp(w) })
		go b.work(w)
	}
	return b
}

// stoppedTimer returns a timer that calls f when it has been reset and has
// run out.
func stoppedTimer(f func()) *time.Timer {
	t := time.AfterFunc(time.Hour, f)
	t.Stop()
	return t
}

// delayEnded wakes the workers when an image has waited long enough. The one
// that set the timer holds mu until it waits; without the lock it could miss this.
func (b *batcher) delayEnded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake.Broadcast()
}

// queueOf returns the queue of an output that the model has.
func (b *batcher) queueOf(output string) *queue {
	i := slices.IndexFunc(b.queues, func(q *queue) bool { return q.output == output })
	return b.queues[i]
}

// add puts a prepared image of a ticket into q. When it is done the image is
// finished.
func (b *batcher) add(q *queue, it *item) {
	t := it.ticket
	t.hold()
	t.left.Add(1)
	it.queued = time.Now()

	b.mu.Lock()
	if err := b.refusal(); err != nil {
		b.mu.Unlock()
		it.finish(err)
		return
	}
	q.pushBack(it)
	wake := q.n == 1 || q.n%b.maxBatch == 0
	b.mu.Unlock()
	if wake {
		b.wake.Signal()
	}
}

// refusal returns why no image can be queued, or nil. The caller holds mu.
func (b *batcher) refusal() error {
	switch {
	case b.closed:
		return errDraining
	case b.stuck == b.workers:
		return errStuck
	}
	return nil
}

// waiting returns the number of images in the queues.
func (b *batcher) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queued()
}

func (b *batcher) queued() (n int) {
	for _, q := range b.queues {
		n += q.n
	}
	return n
}

// close ends the workers that are free, the others when their batch is done,
// and fails the images that still wait.
func (b *batcher) close() {
	b.mu.Lock()
	b.closed = true
	dropped := b.takeAll()
	b.mu.Unlock()
	b.wake.Broadcast()
	finishAll(dropped, errDraining)
}

func (b *batcher) work(w *worker) {
	defer w.cancel()
	for {
		why, ok := b.next(w)
		if !ok {
			return
		}
		b.run(w, why)
	}
}

// next waits for a batch and makes it w's. It returns false when the batcher
// is closed.
func (b *batcher) next(w *worker) (why flush, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.closed {
		q, why, wait := b.pick(time.Now())
		if q == nil {
			if wait > 0 {
				b.timer.Reset(wait)
			}
			b.wake.Wait()
			continue
		}
		dropped := b.take(w, q)
		if len(dropped) > 0 { // their requests are over; nobody hurries
			b.mu.Unlock()
			for _, it := range dropped {
				it.finish(it.ticket.over())
			}
			b.mu.Lock()
		}
		if len(w.items) == 0 {
			continue
		}
		w.queue, w.began = q, time.Now()
		if b.queued() > 0 {
			b.wake.Signal() // another worker may want that
		}
		return why, true
	}
	return "", false
}

// pick returns the queue to serve now and why; or, if there is none, how long
// until there may be one: 0 if that takes another image.
func (b *batcher) pick(now time.Time) (best *queue, why flush, wait time.Duration) {
	for _, q := range b.queues {
		if q.n == 0 {
			continue
		}
		again, left := q.ring[q.head].again, b.delay-now.Sub(q.oldest())
		if q.n < b.maxBatch && left > 0 && !again {
			if wait == 0 || left < wait {
				wait = left
			}
			continue
		}
		if best != nil && !q.oldest().Before(best.oldest()) {
			continue
		}
		best, why = q, flushDelay
		switch {
		case again:
			why = flushRetry
		case q.n >= b.maxBatch:
			why = flushFull
		}
	}
	return best, why, wait
}

// take moves a batch from q to w.items, and returns the images that it left out
// because nobody waits for them.
func (b *batcher) take(w *worker, q *queue) (dropped []*item) {
	w.items = w.items[:0]
	var checked *ticket // the last one whose request is not over
	for q.n > 0 && len(w.items) < b.maxBatch {
		if q.ring[q.head].again && len(w.items) > 0 {
			break // it goes alone
		}
		it := q.popFront()
		if it.ticket != checked && it.ticket.over() != nil {
			dropped = append(dropped, it)
			continue
		}
		checked = it.ticket
		w.items = append(w.items, it)
		if it.again {
			break
		}
	}
	return dropped
}

// takeAll empties the queues.
func (b *batcher) takeAll() (items []*item) {
	for _, q := range b.queues {
		for q.n > 0 {
			items = append(items, q.popFront())
		}
	}
	return items
}

func finishAll(items []*item, err error) {
	for _, it := range items {
		it.finish(err)
	}
}

// run computes w's batch and delivers it.
func (b *batcher) run(w *worker, why flush) {
	n, q := len(w.items), w.queue
	b.metrics.noteFlush(why, n)
	in := w.items[0].frame.pixels
	if n > 1 {
		w.in = w.in[:0]
		for _, it := range w.items {
			w.in = append(w.in, it.frame.pixels...)
		}
		in = w.in
	}
	w.out = resize(w.out, n*q.size)
	w.watch.Reset(b.patience)
	err := b.call(w.ctx, q.output, n, in, w.out)
	w.watch.Stop()
	ended := time.Now()

	b.mu.Lock()
	given := w.stuck
	if given { // to other workers; what this one has is of no use
		w.stuck = false
		b.stuck--
		w.ctx, w.cancel = context.WithCancel(b.ctx)
	}
	w.queue = nil
	b.mu.Unlock()
	if given {
		b.log.Info("a batch that was given up has come back", "output", q.output, "images", n, "took", ended.Sub(w.began), "error", err)
		return
	}
	took := ended.Sub(w.began)
	if err == nil {
		b.noteSpeed(took / time.Duration(n))
		b.metrics.noteCompute(n, took)
	}
	b.deliver(w, q, err, ended)
}

// call calls the engine, whose panic is its error.
func (b *batcher) call(ctx context.Context, output string, n int, in []byte, out []float32) (err error) {
	defer catch(&err)
	return b.engine.Embed(ctx, output, n, in, out)
}

// deliver finishes the images of w's batch, or queues them once more. What is
// not finite is the model's failure: a vector with a NaN in it is near to
// nothing, and would be stored all the same.
func (b *batcher) deliver(w *worker, q *queue, err error, ended time.Time) {
	n, good := len(w.items), false
	if err != nil {
		b.health(false)
		b.log.Warn("a batch failed; its images are tried once more, each alone", "output", q.output, "images", n, "error", err)
	}
	var failed []*item
	for i, it := range w.items {
		row := w.out[i*q.size : (i+1)*q.size]
		waited := w.began.Sub(it.queued)
		fault := err
		if err != nil {
			fault = fmt.Errorf("%w: embed %d images: %w", errEngineFailed, n, err)
		} else if j := notFinite(row); j >= 0 {
			fault = fmt.Errorf("embed %d images: value %d of image %d of the batch is %v", n, j, i, row[j])
		}
		switch {
		case fault == nil:
			copy(it.out, row)
			if !good {
				good = true
				b.health(true)
			}
			it.ticket.noteBatch(n, waited, w.began, ended)
			b.metrics.noteQueued(waited)
			it.finish(nil)
		case it.again:
			it.finish(fault)
		default:
			failed = append(failed, it)
		}
	}
	b.retry(q, failed)
}

// notFinite returns the index of the first NaN or infinity in v, or -1.
func notFinite(v []float32) int {
	for i, x := range v {
		if x-x != 0 {
			return i
		}
	}
	return -1
}

// retry puts images that were in a failed batch back to the front of q, in their
// order.
func (b *batcher) retry(q *queue, items []*item) {
	if len(items) == 0 {
		return
	}
	b.mu.Lock()
	if err := b.refusal(); err != nil {
		b.mu.Unlock()
		finishAll(items, err)
		return
	}
	for _, it := range slices.Backward(items) {
		it.again = true
		q.pushFront(it)
	}
	b.mu.Unlock()
	b.wake.Signal()
}

// giveUp takes the batch away from a worker whose engine does not return.
func (b *batcher) giveUp(w *worker) {
	b.mu.Lock()
	if w.queue == nil || w.stuck || time.Since(w.began) < b.patience {
		b.mu.Unlock()
		return // it has just returned
	}
	q, items, cancel := w.queue, slices.Clone(w.items), w.cancel
	w.stuck = true
	b.stuck++
	var waiting []*item
	if b.stuck == b.workers {
		waiting = b.takeAll()
	}
	b.mu.Unlock()
	cancel()
	b.health(false)
	b.log.Error("a batch does not come back and is given up", "output", q.output, "images", len(items), "after", b.patience)

	finishAll(waiting, errStuck)
	var again []*item
	for _, it := range items {
		it.frame.lent = true
		if it.again {
			it.finish(errStuck)
			continue
		}
		again = append(again, it)
	}
	b.retry(q, again)
}

// noteSpeed takes the compute time of an image into the average of recent ones.
func (b *batcher) noteSpeed(d time.Duration) {
	const memory = 8 // batches
	old := b.perImage.Load()
	if old == 0 {
		old = int64(d)
	}
	b.perImage.Store(old + (int64(d)-old)/memory)
}

// allStuck reports whether there is no worker left.
func (b *batcher) allStuck() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stuck == b.workers
}

// clears returns the time in which so many images are likely to be computed.
func (b *batcher) clears(images int64) time.Duration {
	return time.Duration(images * b.perImage.Load() / int64(b.workers))
}
