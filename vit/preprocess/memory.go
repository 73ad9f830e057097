package preprocess

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// Decoded bytes in flight have two budgets for the process, so that small images
// do not queue behind large ones: images that need up to smallImage bytes share
// smallImages, the others share largeImages, and one that needs more than all of
// it is decoded alone. Baseline JPEG, which is streamed, is small at any size;
// progressive JPEG, PNG, GIF, WebP and BMP are held whole while they are decoded,
// up to 8 bytes a pixel.
const (
	smallImage  = 32 << 20
	smallImages = 1 << 29
	largeImages = 1 << 30
)

var (
	small = semaphore.NewWeighted(smallImages)
	large = semaphore.NewWeighted(largeImages)
)

// reserve waits until n bytes may be allocated and returns what ends that. An
// error is ctx.Err().
func reserve(ctx context.Context, n int64) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	budget := small
	if n > smallImage {
		budget, n = large, min(n, largeImages)
	}
	if err := budget.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { budget.Release(n) }, nil
}
