package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"vith/vit"
	"vith/vit/tower"
)

// A Timing is how fast passes of one size are, copies to and from the device included.
type Timing struct {
	Milliseconds    float64 `json:"ms"`                // of a pass alone, the median
	ImagesPerSecond float64 `json:"images_per_second"` // with passes in flight
	Passes          int     `json:"passes"`
}

const (
	warmUps = 2
	fewest  = 3 // measured passes, however long they take
	callers = 3 // that keep passes in flight: one computes, one copies, one is about to start
)

// measure times passes of random pixels: alone for a third of the time given, then in flight.
func measure(ctx context.Context, e *vit.Engine, batch int, limit time.Duration) (Timing, error) {
	in := make([]byte, batch*e.InBytes())
	r := rand.New(rand.NewPCG(1, 2))
	for i := range in {
		in[i] = byte(r.Uint32())
	}
	values := batch * e.Config().Projection
	var alone []time.Duration
	out := make([]float32, values)
	for start := time.Now(); len(alone) < warmUps+fewest || time.Since(start) < limit/3; {
		began := time.Now()
		if err := e.Embed(ctx, vit.Projected, batch, in, out); err != nil {
			return Timing{}, err
		}
		alone = append(alone, time.Since(began))
	}
	alone = alone[warmUps:]
	slices.Sort(alone)
	passes, elapsed, err := fly(limit*2/3, func() error { return e.Embed(ctx, vit.Projected, batch, in, make([]float32, values)) })
	return Timing{
		Milliseconds:    1e3 * alone[len(alone)/2].Seconds(),
		ImagesPerSecond: float64(passes*batch) / elapsed.Seconds(),
		Passes:          len(alone) + passes,
	}, err
}

// fly makes callers repeat a pass for the time given, and tells how many there were until the last had ended.
func fly(limit time.Duration, pass func() error) (passes int, elapsed time.Duration, err error) {
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

// name is what the results call an engine's tower.
func name(e *vit.Engine) string { return tower.Name(e.Config()) }
