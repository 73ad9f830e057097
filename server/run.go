package server

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"vith/server/answer"
)

// maxAnswerValues bounds the float32 values of one answer, 256 MiB of them:
// 257 tokens of 1280 for each of 256 images would be more.
const maxAnswerValues = 64 << 20

// run turns the images into embeddings of the given shape and returns the ticket
// that has them, or the reason of each that has none; or it fails as a whole: too
// much is under way, time is up, the client is gone, the engine failed. The
// ticket is r's, until the request ends.
//
// It returns when time is up even if the engine does not; the images that the
// engine still has count as under way until it is done.
func (s *Server) run(r *request, in []input, o options, shape []int) (t *ticket, err error) {
	defer func() { s.metrics.noteImages(t, len(in), err) }()
	values := size(shape)
	if len(in)*values > maxAnswerValues {
		return nil, tooLarge("answer_too_large", "output %s of %d images is too large for one answer; send at most %d at once",
			o.output, len(in), maxAnswerValues/values)
	}
	if !s.admission.admitImages(len(in)) {
		return nil, s.tryLater(errQueueFull)
	}
	bytes := int64(len(in)) * int64(s.info.InBytes+4*values)
	if !s.admission.admitBytes(r.held, bytes) {
		s.admission.release(len(in), 0)
		return nil, s.tryLater(errMemoryFull)
	}
	ctx, cancel := context.WithTimeout(s.work, s.config.RequestTimeout)
	defer cancel()
	client, _ := r.Conn().(*conn)
	t = s.tickets.get(ctx, client, len(in), values, bytes)
	r.ticket = t
	for i := range in {
		t.results[i] = answer.Item{Index: i, ID: in[i].id, Image: in[i].name}
	}
	if err := s.fetchAll(ctx, r, in); err != nil {
		return t, err
	}
	u := &intake{Server: s, ticket: t, in: in, o: o, queue: s.batcher.queueOf(o.output)}
	if err := u.embed(); err != nil {
		return t, err
	}
	for i := range t.results {
		it := &t.results[i]
		if it.Err != nil {
			continue
		}
		it.Embedding = t.items[i].out
		if o.normalize {
			normalize(it.Embedding)
		}
	}
	return t, nil
}

// tryLater returns a refusal that says when what is under way is likely to be
// done.
func (s *Server) tryLater(e *apiError) *apiError {
	const most = 30 * time.Second
	later := *e
	wait := min(most, s.batcher.clears(s.admission.images.Load()))
	later.retryAfter = int(math.Ceil(wait.Seconds()))
	return &later
}

// An intake takes the images of one request to the batcher.
type intake struct {
	*Server
	*ticket
	in    []input
	o     options
	queue *queue

	followers []follower // guarded by ticket.mu while images are prepared
}

// embed prepares the images, hands each to the batcher as soon as it is
// prepared, and waits for them all, and for other requests that have the same
// images. A request that is to fail at a bad image does not wait.
func (u *intake) embed() error {
	u.begin()
	u.prepareAll()
	for {
		if u.stops() {
			u.fail(errAbandoned)
			return nil
		}
		if err := u.wait(); err != nil {
			return err
		}
		if err := u.failure(); err != nil || len(u.followers) == 0 {
			return err
		}
		again, err := u.follow()
		if err != nil {
			return err
		}
		u.begin()
		for _, i := range again {
			u.prepare(i)
		}
	}
}

// stops reports whether a bad image has made the request fail.
func (u *intake) stops() bool { return u.o.failFast && u.bad.Load() > 0 }

// prepareAll prepares the images in order, as many at once as there are cores.
func (u *intake) prepareAll() {
	if len(u.in) == 1 {
		u.prepare(0)
		return
	}
	var next atomic.Int64
	work := func() {
		for !u.stops() {
			i := int(next.Add(1)) - 1
			if i >= len(u.in) {
				return
			}
			u.prepare(i)
		}
	}
	var helpers sync.WaitGroup
	for range min(len(u.in), runtime.GOMAXPROCS(0)) - 1 {
		helpers.Go(work)
	}
	work()
	helpers.Wait()
}

// prepare prepares image i and queues it, unless its embedding is known. A bad
// image becomes its item's error; what is not the image's fault fails the
// request.
func (u *intake) prepare(i int) {
	if u.recall(i) {
		return
	}
	f := u.frames.get()
	err := u.decode(f, i)
	if err == nil {
		u.items[i].frame = f
		u.batcher.add(u.queue, &u.items[i])
		return
	}
	f.free()
	fault, err := imageFault(u.ctx, err)
	if flight := u.items[i].flight; flight != nil {
		flight.land(nil, fault, err)
	}
	if err != nil {
		u.fail(err)
		return
	}
	u.results[i].Err = fault
	u.bad.Add(1)
}

// decode decodes image i into f, in a slot of its own.
func (u *intake) decode(f *frame, i int) (err error) {
	in := &u.in[i]
	if in.err != nil {
		return in.err
	}
	if len(in.data) == 0 {
		return &answer.Error{Code: codeEmptyImage, Message: "the image has no bytes"}
	}
	if err := u.over(); err != nil {
		return err
	}
	arrived := time.Now()
	select {
	case u.slots <- struct{}{}:
	case <-u.ctx.Done():
		return u.ctx.Err()
	}
	defer func() { <-u.slots }()
	defer catch(&err)
	began := time.Now()
	err = u.engine.Prepare(u.ctx, f.pixels, in.data, PrepareOptions{MaxPixels: u.config.MaxImagePixels})
	if err == nil && u.o.crop {
		u.results[i].Crop = cropURI(f.pixels, u.info.ImageSize)
	}
	u.metrics.preprocess.Observe(u.notePrepared(began.Sub(arrived), began).Seconds())
	return err
}

// imageFault tells an image's fault from the server's: it returns the one or
// the other.
func imageFault(ctx context.Context, err error) (*answer.Error, error) {
	if e, ok := errors.AsType[*answer.Error](err); ok {
		return e, nil
	}
	if e, ok := errors.AsType[imageError](err); ok {
		return &answer.Error{Code: e.ImageErrorCode(), Message: err.Error()}, nil
	}
	if _, ok := errors.AsType[*panicError](err); ok {
		return nil, err
	}
	if _, ok := errors.AsType[*apiError](err); ok {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return &answer.Error{Code: codeInvalidImage, Message: err.Error()}, nil
}

// normalize divides v by its L2 norm, in float64. A vector of zeros has no
// direction and stays as it is.
func normalize(v []float32) {
	n := norm(v)
	if n == 0 {
		return
	}
	for i, x := range v {
		v[i] = float32(float64(x) / n)
	}
}

// norm returns the L2 norm of v.
func norm(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// size returns the number of values in an array of that shape.
func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
