// Package model measures how fast a tower turns prepared images into embeddings on a device, by batch and precision, and
// sets that beside what the device could do at most.
package model

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"vith/vit"
)

// An Embedder is what is measured: an Engine or a Pool of package vit.
type Embedder interface {
	Embed(ctx context.Context, output vit.Output, n int, in []byte, out []float32) error
	InBytes() int
	Depth() int
}

// A Timing is how fast passes of one size are, copies to and from the device included.
type Timing struct {
	Milliseconds    float64 `json:"ms"`                // of a pass alone, the median
	ImagesPerSecond float64 `json:"images_per_second"` // with passes in flight
	Passes          int     `json:"passes"`
}

const (
	warmUps = 2
	fewest  = 3 // measured passes, however long they take
)

// Measure times passes of random pixels: alone for a third of the time given, then as many in flight as the device
// overlaps, and one more that is about to start. An image's output has that many values.
func Measure(ctx context.Context, e Embedder, output vit.Output, values, batch int, limit time.Duration) (Timing, error) {
	in := make([]byte, batch*e.InBytes())
	r := rand.New(rand.NewPCG(1, 2))
	for i := range in {
		in[i] = byte(r.Uint32())
	}
	var alone []time.Duration
	out := make([]float32, batch*values)
	for start := time.Now(); len(alone) < warmUps+fewest || time.Since(start) < limit/3; {
		began := time.Now()
		if err := e.Embed(ctx, output, batch, in, out); err != nil {
			return Timing{}, err
		}
		alone = append(alone, time.Since(began))
	}
	alone = alone[warmUps:]
	slices.Sort(alone)
	callers := 1
	if e.Depth() > 1 {
		callers = e.Depth() + 1
	}
	passes, elapsed, err := fly(callers, limit*2/3, func() error { return e.Embed(ctx, output, batch, in, make([]float32, batch*values)) })
	return Timing{
		Milliseconds:    1e3 * alone[len(alone)/2].Seconds(),
		ImagesPerSecond: float64(passes*batch) / elapsed.Seconds(),
		Passes:          len(alone) + passes,
	}, err
}

// fly makes callers repeat a pass for the time given, and tells how many there were until the last had ended.
func fly(callers int, limit time.Duration, pass func() error) (passes int, elapsed time.Duration, err error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	start := time.Now()
	for range callers {
		group.Go(func() {
			for n := 0; n < fewest || time.Since(start) < limit; n++ {
				failed := pass()
				mu.Lock()
				passes++
				if err == nil {
					err = failed
				}
				failed = err
				mu.Unlock()
				if failed != nil {
					return
				}
			}
		})
	}
	group.Wait()
	return passes, time.Since(start), err
}
