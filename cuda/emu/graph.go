package emu

import "vith/cuda"

const captureUnsupported cuda.Status = 900 // CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED

// StreamBeginCapture makes the stream record.
func (d *Device) StreamBeginCapture(h cuda.Stream) error {
	const call = "cuStreamBeginCapture"
	return d.call(call, func() error {
		s, err := lookup(d.streams, h, call, "stream")
		if err != nil {
			return err
		}
		if err := d.notCapturing(call); err != nil {
			return err
		}
		s.record = nil
		d.capturing = s
		return nil
	})
}

// StreamEndCapture returns what the stream recorded.
func (d *Device) StreamEndCapture(h cuda.Stream) (g cuda.Graph, err error) {
	const call = "cuStreamEndCapture"
	err = d.destroy(call, func() error {
		s, err := lookup(d.streams, h, call, "stream")
		if err != nil {
			return err
		}
		if d.capturing != s {
			return &cuda.CallError{Call: call, Detail: "of a stream that is not captured, or whose capture failed", Status: cuda.ErrInvalidValue}
		}
		d.capturing = nil
		g = cuda.Graph(d.handle())
		d.graphs[g] = s.record
		return nil
	})
	if err != nil {
		d.forget(g)
		return 0, err
	}
	return g, nil
}

func (d *Device) forget(g cuda.Graph) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.graphs, g)
}

// notCapturing refuses a call that a capture does not allow, which also ends the capture.
func (d *Device) notCapturing(call string) error {
	if d.capturing == nil {
		return nil
	}
	d.capturing = nil
	return &cuda.CallError{Call: call, Detail: "during a capture", Status: captureUnsupported}
}

// GraphDestroy ends a graph; what was instantiated from it stays.
func (d *Device) GraphDestroy(g cuda.Graph) error {
	const call = "cuGraphDestroy"
	return d.destroy(call, func() error {
		_, err := lookup(d.graphs, g, call, "graph")
		delete(d.graphs, g)
		return err
	})
}

// GraphInstantiate makes a graph executable.
func (d *Device) GraphInstantiate(g cuda.Graph) (e cuda.Exec, err error) {
	const call = "cuGraphInstantiate"
	err = d.call(call, func() error {
		list, err := lookup(d.graphs, g, call, "graph")
		if err != nil {
			return err
		}
		e = cuda.Exec(d.handle())
		d.execs[e] = list
		return nil
	})
	return e, err
}

// GraphExecDestroy ends an executable graph; launches that are queued go on.
func (d *Device) GraphExecDestroy(e cuda.Exec) error {
	const call = "cuGraphExecDestroy"
	return d.destroy(call, func() error {
		_, err := lookup(d.execs, e, call, "executable graph")
		delete(d.execs, e)
		return err
	})
}

// GraphUpload has nothing to place.
func (d *Device) GraphUpload(e cuda.Exec, h cuda.Stream) error {
	const call = "cuGraphUpload"
	return d.call(call, func() error {
		if _, err := lookup(d.execs, e, call, "executable graph"); err != nil {
			return err
		}
		_, err := lookup(d.streams, h, call, "stream")
		return err
	})
}

// GraphLaunch queues the work of a graph.
func (d *Device) GraphLaunch(e cuda.Exec, h cuda.Stream) error {
	const call = "cuGraphLaunch"
	return d.call(call, func() error {
		list, err := lookup(d.execs, e, call, "executable graph")
		if err != nil {
			return err
		}
		s, err := lookup(d.streams, h, call, "stream")
		if err != nil {
			return err
		}
		for _, w := range list {
			again := *w
			if err := d.enqueue(s, &again); err != nil {
				return err
			}
		}
		return nil
	})
}
