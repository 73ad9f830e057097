package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"

	"vith/server/answer"
	"vith/server/cache"
)

// A memory keeps embeddings that were computed, and knows those that are being
// computed, so that nothing is computed twice.
type memory struct {
	cache    *cache.Cache
	identity map[string][]byte // by output: what a vector depends on besides the image

	mu      sync.Mutex
	flights map[cache.Key]*flight
}

// A flight is one image on its way to its embedding, which other requests can
// wait for.
type flight struct {
	memory *memory
	key    cache.Key
	landed chan struct{} // closed when one of these is set
	vector []float32     // not to be modified
	fault  *answer.Error // of the image
	err    error         // of the engine
	lost   bool          // of the request that it was for: try again
}

func newMemory(c *cache.Cache, info Info, variant string) *memory {
	m := &memory{cache: c, identity: map[string][]byte{}, flights: map[cache.Key]*flight{}}
	for output := range info.Outputs {
		m.identity[output] = fmt.Appendf(nil, "vith 1 %q %q %q %q %q ", info.ModelDigest, info.Precision, info.Preprocessing, variant, output)
	}
	return m
}

// key returns the key of an image's embedding.
func (m *memory) key(output string, img []byte) cache.Key {
	digest := sha256.Sum256(img)
	return sha256.Sum256(append(slices.Clone(m.identity[output]), digest[:]...))
}

// join returns the flight of a key. If it leads, it is the caller's, who must
// see to it that it lands.
func (m *memory) join(k cache.Key) (f *flight, leads bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.flights[k]; f != nil {
		return f, false
	}
	f = &flight{memory: m, key: k, landed: make(chan struct{})}
	m.flights[k] = f
	return f, true
}

// land ends a flight: with a copy of the vector, which is also kept; or, if they
// are not nil, with the image's fault or the reason why it got no vector.
func (f *flight) land(vector []float32, fault *answer.Error, err error) {
	switch {
	case fault != nil:
		f.fault = fault
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, errClientGone), errors.Is(err, errAbandoned):
		f.lost = true
	case err != nil:
		f.err = err
	default:
		f.vector = slices.Clone(vector)
		f.memory.cache.Put(f.key, f.vector)
	}
	f.memory.mu.Lock()
	delete(f.memory.flights, f.key)
	f.memory.mu.Unlock()
	close(f.landed)
}

// A follower is an image that waits for another request's flight.
type follower struct {
	image  int
	flight *flight
}

// recall answers image i from memory, or makes it a follower, or gives it a
// flight of its own; it returns false in the last case, when there is work to
// do.
func (u *intake) recall(i int) bool {
	data := u.in[i].data
	if u.memory == nil || u.o.crop || len(data) == 0 { // a crop is not kept
		return false
	}
	it, key := &u.items[i], u.memory.key(u.o.output, data)
	if v := u.memory.cache.Get(key, len(it.out)); v != nil {
		copy(it.out, v)
		return true
	}
	f, leads := u.memory.join(key)
	if leads {
		it.flight = f
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.followers = append(u.followers, follower{i, f})
	return true
}

// follow waits for the flights of the followers and returns the images that must
// be tried again, since their flights were lost.
func (u *intake) follow() (again []int, err error) {
	for _, w := range u.followers {
		select {
		case <-w.flight.landed:
		case <-u.ctx.Done():
			return nil, u.ctx.Err()
		}
		switch f := w.flight; {
		case f.fault != nil:
			u.results[w.image].Err = f.fault
			u.bad.Add(1)
		case f.err != nil:
			return nil, f.err
		case f.lost:
			again = append(again, w.image)
		default:
			copy(u.items[w.image].out, f.vector)
		}
	}
	u.followers = u.followers[:0]
	return again, nil
}
