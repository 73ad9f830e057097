package server

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestOverload offers a device twice what it can do for a minute, in fake time:
// every image is answered once, with its own vector or a refusal, and the device
// is never idle for it. Some clients leave, and some batches fail the first time.
func TestOverload(t *testing.T) {
	const (
		pass     = 10 * ms // of a batch
		maxBatch = 4
		queue    = 32 // images admitted at once
		minute   = 60 * time.Second
		every    = pass / maxBatch / 2 // an image: twice the capacity
		offered  = int(minute / every)
	)
	passes, failures := 0, 0
	e := &tagEngine{maxBatch: maxBatch, forget: true}
	e.embed = func(_ context.Context, in []byte) error {
		time.Sleep(pass)
		if passes++; passes%500 == 0 && len(in) > 1 {
			failures++
			return errors.New("a hiccup")
		}
		return nil
	}
	inBubble(t, e, Config{MaxQueueDelay: 2 * ms}, func(b *bench) {
		b.admission.maxImages, b.admission.maxBytes = queue, 1<<30
		var (
			mu                           sync.Mutex
			answers                      = make([]int, offered) // of each image
			served, refused, left, amiss int
			wg                           sync.WaitGroup
		)
		answer := func(i int, count *int) {
			mu.Lock()
			defer mu.Unlock()
			answers[i]++
			*count++
		}
		for i := range offered {
			time.Sleep(every)
			if !b.admission.admitImages(1) {
				answer(i, &refused)
				continue
			}
			b.admission.images.Add(-1) // put counts it
			wg.Go(func() {
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				if i%97 == 0 {
					time.AfterFunc(3*ms, cancel) // the client does not wait
				}
				tag := byte(1 + i%250)
				tk := b.put(ctx, "a", string([]byte{tag}))
				err := tk.wait()
				if err == nil {
					err = tk.failure()
				}
				switch {
				case errors.Is(err, context.Canceled):
					answer(i, &left)
				case err != nil || tk.vectors[0] != float32(tag):
					answer(i, &amiss)
				default:
					answer(i, &served)
				}
				tk.release()
			})
		}
		wg.Wait()
		synctest.Wait()
		if i := slices.IndexFunc(answers, func(n int) bool { return n != 1 }); i >= 0 {
			t.Errorf("image %d has %d answers", i, answers[i])
		}
		if served+refused+left != offered || amiss != 0 {
			t.Errorf("%d served, %d refused, %d left, %d with another's vector or none, of %d", served, refused, left, amiss, offered)
		}
		if refused == 0 || left == 0 || failures == 0 {
			t.Errorf("%d refused, %d left, %d failed passes: nothing was tested", refused, left, failures)
		}
		// A failed batch of 4 costs its pass and four more of one image each.
		capacity := (int(minute/pass) - 5*failures) * maxBatch
		if served < capacity*95/100 {
			t.Errorf("%d images served, want nearly the %d that the device can do", served, capacity)
		}
	})
}
