package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"vith/server/answer"
)

// maxAnswerValues bounds the float32 values of one answer, 256 MiB of them:
// 257 tokens of 1280 for each of 256 images would be more.
const maxAnswerValues = 64 << 20

// A result is what became of a request's images.
type result struct {
	items  []answer.Item
	usable int // items with an embedding
	batch  int // images in the largest forward pass
	timing answer.Timing
}

// run turns the images into embeddings of the given shape, or fails as a whole:
// the queue is full, time is up, the engine failed.
//
// It returns when time is up even if the engine does not; the engine then works
// on for nobody, and its images count as queued until it is done.
func (s *Server) run(start time.Time, in []input, o options, shape []int) (*result, error) {
	n := int64(len(in))
	if s.queue.Add(n) > int64(s.config.MaxQueueSize) {
		s.queue.Add(-n)
		return nil, errQueueFull
	}
	ctx, cancel := context.WithTimeout(s.work, s.config.RequestTimeout)
	defer cancel()

	type outcome struct {
		res *result
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		var out outcome
		defer func() { done <- out }()
		defer s.queue.Add(-n)
		defer catch(&out.err)
		out.res, out.err = s.compute(ctx, in, o, shape)
	}()
	select {
	case out := <-done:
		if out.err != nil {
			return nil, out.err
		}
		out.res.timing.Total = time.Since(start)
		return out.res, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *Server) compute(ctx context.Context, in []input, o options, shape []int) (*result, error) {
	size := size(shape)
	if len(in)*size > maxAnswerValues {
		return nil, tooLarge("answer_too_large", "output %s of %d images is too large for one answer; send at most %d at once",
			o.output, len(in), maxAnswerValues/size)
	}
	res := &result{items: make([]answer.Item, len(in))}
	for i := range in {
		res.items[i] = answer.Item{Index: i, ID: in[i].id, Image: in[i].name}
	}
	pixels, err := s.prepare(ctx, in, o, res)
	if err != nil || o.failFast && res.usable < len(in) {
		return res, err
	}
	began := time.Now()
	vectors := make([]float32, res.usable*size)
	inBytes := s.info.InBytes
	for at := 0; at < res.usable; at += s.info.MaxBatch {
		n := min(s.info.MaxBatch, res.usable-at)
		err := s.forward(ctx, o.output, n, pixels[at*inBytes:(at+n)*inBytes], vectors[at*size:(at+n)*size])
		if err != nil {
			return nil, err
		}
		res.batch = max(res.batch, n)
	}
	res.timing.Compute = time.Since(began)

	for i := range res.items {
		it := &res.items[i]
		if it.Err != nil {
			continue
		}
		it.Embedding, vectors = vectors[:size:size], vectors[size:]
		if o.normalize {
			normalize(it.Embedding)
		}
	}
	return res, nil
}

// forward runs n prepared images through the model and notes that it works. What
// is not finite is the model's failure: a vector with a NaN in it is near to
// nothing, and would be stored all the same.
func (s *Server) forward(ctx context.Context, output string, n int, in []byte, out []float32) error {
	if err := s.engine.Embed(ctx, output, n, in, out); err != nil {
		return fmt.Errorf("embed %d images: %w", n, err)
	}
	for i, x := range out {
		if x-x != 0 { // NaN, +Inf, -Inf
			size := len(out) / n
			return fmt.Errorf("embed %d images: value %d of image %d of the batch is %v", n, i%size, i/size, x)
		}
	}
	s.ready.succeeded()
	return nil
}

// prepare decodes the images, each in a slot of its own, and returns the usable
// ones one after the other. A bad image becomes its item's error.
func (s *Server) prepare(ctx context.Context, in []input, o options, res *result) ([]byte, error) {
	arrived := time.Now()
	began := arrived
	inBytes := s.info.InBytes
	pixels := make([]byte, len(in)*inBytes)
	errs := make([]error, len(in))
	var wg sync.WaitGroup
	for i := range in {
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			wg.Wait()
			return nil, ctx.Err()
		}
		if i == 0 {
			began = time.Now()
		}
		wg.Go(func() {
			defer func() { <-s.slots }()
			defer catch(&errs[i])
			dst := pixels[i*inBytes : (i+1)*inBytes]
			errs[i] = s.prepareOne(ctx, dst, &in[i])
			if errs[i] == nil && o.crop {
				res.items[i].Crop = cropURI(dst, s.info.ImageSize)
			}
		})
	}
	wg.Wait()
	res.timing.Queue = began.Sub(arrived)
	res.timing.Preprocess = time.Since(began)

	usable := pixels[:0]
	for i, err := range errs {
		if err == nil {
			usable = append(usable, pixels[i*inBytes:(i+1)*inBytes]...)
			res.usable++
			continue
		}
		itemErr, err := imageFault(ctx, err)
		if err != nil {
			return nil, fmt.Errorf("prepare image %d: %w", i, err)
		}
		res.items[i].Err = itemErr
	}
	return usable, nil
}

func (s *Server) prepareOne(ctx context.Context, dst []byte, in *input) error {
	if in.err != nil {
		return in.err
	}
	if len(in.data) == 0 {
		return &answer.Error{Code: codeEmptyImage, Message: "the image has no bytes"}
	}
	return s.engine.Prepare(ctx, dst, in.data, PrepareOptions{MaxPixels: s.config.MaxImagePixels})
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
