package emu

import (
	"slices"

	"vith/cuda"
)

// A stream is a queue of work.
type stream struct {
	handle cuda.Stream
	number int // in clocks
	queue  []*work
	clock  clock   // of the work that is done
	record []*work // during a capture
}

// An event stands for the place where it was last recorded.
type event struct {
	timing bool
	last   *mark // nil: never recorded
}

// A mark is a place in a stream, passed or not.
type mark struct {
	done    bool
	clock   clock
	time    float64 // nanoseconds
	capture bool    // recorded in a graph: it is passed in each launch
}

// work is what a stream does next. A graph's is queued again with each launch.
type work struct {
	call   string // that asked for it
	what   string
	run    func() error
	touch  func() []access // of device memory; nil: none
	cost   func() float64  // nanoseconds; nil: none
	wait   *mark           // work runs only when it is passed
	record *mark           // is passed with this work
	host   clock           // when the work was queued
}

// StreamCreate makes a stream.
func (d *Device) StreamCreate() (h cuda.Stream, err error) {
	err = d.call("cuStreamCreate", func() error {
		h = cuda.Stream(d.handle())
		d.streams[h] = &stream{handle: h, number: d.numbers}
		d.numbers++
		return nil
	})
	return h, err
}

// StreamDestroy ends a stream after its work.
func (d *Device) StreamDestroy(h cuda.Stream) error {
	const call = "cuStreamDestroy"
	return d.destroy(call, func() error {
		s, err := lookup(d.streams, h, call, "stream")
		if err != nil {
			return err
		}
		err = d.run(call, func() bool { return len(s.queue) == 0 })
		if d.capturing == s {
			d.capturing = nil
		}
		delete(d.streams, h)
		return err
	})
}

// StreamSynchronize runs the work of the stream, and what it waits for.
func (d *Device) StreamSynchronize(h cuda.Stream) error {
	const call = "cuStreamSynchronize"
	return d.call(call, func() error {
		s, err := lookup(d.streams, h, call, "stream")
		if err != nil {
			return err
		}
		if err := d.notCapturing(call); err != nil {
			return err
		}
		if err := d.run(call, func() bool { return len(s.queue) == 0 }); err != nil {
			return err
		}
		d.hostWaited(s.clock)
		return nil
	})
}

// StreamWaitEvent makes later work of the stream wait for the event's last record; an event that has none is passed.
func (d *Device) StreamWaitEvent(h cuda.Stream, e cuda.Event) error {
	const call = "cuStreamWaitEvent"
	return d.call(call, func() error {
		s, err := lookup(d.streams, h, call, "stream")
		if err != nil {
			return err
		}
		v, err := lookup(d.events, e, call, "event")
		if err != nil {
			return err
		}
		if v.last == nil {
			return nil
		}
		if v.last.capture != (d.capturing == s) {
			return &cuda.CallError{Call: call, Detail: "joins a captured stream and one that is not: here a graph is one stream's", Status: cuda.ErrNotSupported}
		}
		if v.last.capture {
			return nil // of the same stream
		}
		return d.enqueue(s, &work{call: call, what: "wait", wait: v.last})
	})
}

// EventCreate makes an event.
func (d *Device) EventCreate(timing bool) (h cuda.Event, err error) {
	err = d.call("cuEventCreate", func() error {
		h = cuda.Event(d.handle())
		d.events[h] = &event{timing: timing}
		return nil
	})
	return h, err
}

// EventDestroy ends an event; who waits for its last record goes on doing so.
func (d *Device) EventDestroy(h cuda.Event) error {
	const call = "cuEventDestroy"
	return d.destroy(call, func() error {
		_, err := lookup(d.events, h, call, "event")
		delete(d.events, h)
		return err
	})
}

// EventRecord records the event behind the work of the stream.
func (d *Device) EventRecord(h cuda.Event, sh cuda.Stream) error {
	const call = "cuEventRecord"
	return d.call(call, func() error {
		v, err := lookup(d.events, h, call, "event")
		if err != nil {
			return err
		}
		s, err := lookup(d.streams, sh, call, "stream")
		if err != nil {
			return err
		}
		v.last = &mark{capture: d.capturing == s}
		return d.enqueue(s, &work{call: call, what: "record", record: v.last})
	})
}

// EventSynchronize runs the work before the event's last record.
func (d *Device) EventSynchronize(h cuda.Event) error {
	const call = "cuEventSynchronize"
	return d.call(call, func() error {
		v, err := lookup(d.events, h, call, "event")
		if err != nil {
			return err
		}
		if err := d.notCapturing(call); err != nil {
			return err
		}
		m := v.last
		if m == nil {
			return nil
		}
		if m.capture {
			return invalid(call, "of an event that was recorded in a graph")
		}
		if err := d.run(call, func() bool { return m.done }); err != nil {
			return err
		}
		d.hostWaited(m.clock)
		return nil
	})
}

// EventElapsedTime is by a clock that only work moves: see cost.
func (d *Device) EventElapsedTime(start, end cuda.Event) (ms float32, err error) {
	const call = "cuEventElapsedTime"
	err = d.call(call, func() error {
		var at [2]float64
		for i, h := range [...]cuda.Event{start, end} {
			v, err := lookup(d.events, h, call, "event")
			if err != nil {
				return err
			}
			if !v.timing || v.last == nil || v.last.capture {
				return &cuda.CallError{Call: call, Detail: "of an event without timing or never recorded", Status: cuda.ErrInvalidHandle}
			}
			if !v.last.done {
				return &cuda.CallError{Call: call, Status: cuda.ErrNotReady}
			}
			at[i] = v.last.time
		}
		ms = float32((at[1] - at[0]) / 1e6)
		return nil
	})
	return ms, err
}

// enqueue gives work to a stream, or to the graph that is captured from it.
func (d *Device) enqueue(s *stream, w *work) error {
	if d.capturing == s {
		s.record = append(s.record, w)
		return nil
	}
	w.host = d.host.clone()
	s.queue = append(s.queue, w)
	if d.driver.options.Lazy {
		return nil
	}
	return d.run(w.call, func() bool { return len(s.queue) == 0 })
}

// drain runs all work.
func (d *Device) drain() error {
	return d.run("cuCtxSynchronize", func() bool { return d.ready() == nil })
}

// run lets streams work until done. It returns what ended the context, in the name of call.
func (d *Device) run(call string, done func() bool) error {
	for d.lost == nil {
		if d.running {
			d.idle.Wait()
			continue
		}
		if done() {
			return nil
		}
		s := d.ready()
		if s == nil {
			return &cuda.CallError{Call: call, Detail: "waits for work that nothing can begin", Status: cuda.ErrLaunchTimeout}
		}
		w := s.queue[0]
		d.running = true
		d.mu.Unlock()
		err := d.perform(s, w)
		d.mu.Lock()
		d.running = false
		s.queue = s.queue[1:]
		if w.record != nil {
			w.record.done = true
		}
		if err != nil {
			d.lost = fault(w.call, err)
		}
		d.idle.Broadcast()
	}
	return &cuda.CallError{Call: call, Detail: "after " + d.lost.Call + " " + d.lost.Detail, Status: d.lost.Status}
}

// ready draws one of the streams whose next work can run, or returns nil.
func (d *Device) ready() *stream {
	var list []*stream
	for _, s := range d.streams {
		if len(s.queue) > 0 && (s.queue[0].wait == nil || s.queue[0].wait.done) {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return nil
	}
	slices.SortFunc(list, func(a, b *stream) int { return a.number - b.number })
	return list[d.random.IntN(len(list))]
}

// perform runs work, without mu.
func (d *Device) perform(s *stream, w *work) error {
	if trace := d.driver.options.Trace; trace != nil && w.run != nil {
		trace(s.handle, w.what)
	}
	s.clock.join(w.host)
	if w.wait != nil {
		s.clock.join(w.wait.clock)
	}
	s.clock.tick(s.number)
	if w.touch != nil {
		if err := d.races.check(s, w.what, w.touch()); err != nil {
			return err
		}
	}
	if w.run != nil {
		if err := w.run(); err != nil {
			return err
		}
	}
	if w.cost != nil {
		d.now += w.cost()
	}
	if w.record != nil {
		w.record.clock, w.record.time = s.clock.clone(), d.now
	}
	return nil
}

// hostWaited orders what the host will queue behind what it waited for.
func (d *Device) hostWaited(c clock) {
	d.host.join(c)
	d.races.forget(d.host)
}
