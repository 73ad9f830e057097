package cuda

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"vith/kernels"
)

// Profile tells how long each call of a runner of this backend takes on the device: the median of n passes on what the
// first slot holds. The calls are launched one by one with events around them, so that a call which takes less than its
// launch counts as long as that. No pass is in flight meanwhile.
func (b *Backend) Profile(of kernels.Runner, n int) ([]time.Duration, error) {
	r, ok := of.(*runner)
	if !ok || r.backend != b || n < 1 {
		return nil, fmt.Errorf("%s: %d passes of a %T cannot be profiled", b.name, n, of)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || r.closed {
		return nil, ErrClosed
	}
	b.drain()
	defer b.refill()
	var medians []time.Duration
	err := b.main.do(func() (err error) {
		medians, err = r.profile(n)
		return err
	})
	return medians, b.failed(err)
}

// profile records an event before the first call and after every call.
func (r *runner) profile(n int) (medians []time.Duration, err error) {
	d, stream := r.backend.device, r.backend.compute
	var events []Event
	defer func() {
		for _, e := range events {
			err = errors.Join(err, d.EventDestroy(e))
		}
	}()
	for range len(r.steps) + 1 {
		e, err := d.EventCreate(true)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	times := make([][]time.Duration, len(r.steps))
	for pass := range n + 1 { // the first warms up
		if err := d.EventRecord(events[0], stream); err != nil {
			return nil, err
		}
		err := r.issueEach(&r.backend.all[0], func(i int) error { return d.EventRecord(events[i+1], stream) })
		if err := join(err, d.StreamSynchronize(stream)); err != nil {
			return nil, err
		}
		for i := range times {
			ms, err := d.EventElapsedTime(events[i], events[i+1])
			if err != nil {
				return nil, err
			}
			if pass > 0 {
				times[i] = append(times[i], time.Duration(float64(ms)*float64(time.Millisecond)))
			}
		}
	}
	for _, list := range times {
		slices.Sort(list)
		medians = append(medians, list[len(list)/2])
	}
	return medians, nil
}
