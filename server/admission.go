package server

import "sync/atomic"

// An admission counts what requests hold and refuses what would be too much.
// One rule serves every endpoint: a request is refused whole, with 429, or
// served whole.
type admission struct {
	maxImages, maxBytes int64

	images atomic.Int64 // admitted and not yet answered
	bytes  atomic.Int64 // of bodies, encoded and prepared images, and vectors
}

// admitImages counts n more images, or reports that they are too many.
func (a *admission) admitImages(n int) bool {
	if a.images.Add(int64(n)) > a.maxImages {
		a.images.Add(int64(-n))
		return false
	}
	return true
}

// admitBytes counts n more bytes for a request that holds held already, or
// reports that they are too many. A request that holds all there is goes on: the
// limits of a single request are others.
func (a *admission) admitBytes(held, n int64) bool {
	if after := a.bytes.Add(n); after > a.maxBytes && after > held+n {
		a.bytes.Add(-n)
		return false
	}
	return true
}

func (a *admission) release(images int, bytes int64) {
	a.images.Add(int64(-images))
	a.bytes.Add(-bytes)
}
