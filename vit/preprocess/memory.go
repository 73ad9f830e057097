package preprocess

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// Progressive JPEG, PNG, GIF and WebP are held whole while they are decoded, up
// to 8 bytes a pixel. Images that need more than smallImage bytes share
// largeImages bytes and wait for each other; one that needs more than all of it
// is decoded alone. Smaller images, and baseline JPEG, which is streamed, never wait.
const (
	smallImage  = 32 << 20
	largeImages = 1 << 30
)

var large = semaphore.NewWeighted(largeImages)

// reserve waits until n bytes may be allocated and returns what ends that. An
// error is ctx.Err().
func reserve(ctx context.Context, n int64) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if n <= smallImage {
		return func() {}, nil
	}
	n = min(n, largeImages)
	if err := large.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { large.Release(n) }, nil
}
