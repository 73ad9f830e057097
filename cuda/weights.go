package cuda

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"vith/kernels"
	"vith/kernels/tensor"
)

// A weightKey is what makes two uses of a weight the same bytes on the device: cublasLt wants the bias of a 16-bit
// result in that type.
type weightKey struct {
	weight *kernels.Weight
	as     tensor.DType
}

func (k weightKey) bytes() int { return k.weight.Rows * k.weight.Cols * k.as.Size() }

// missing are the weights among these that are not on the device, and their size there.
func (b *Backend) missing(keys []weightKey) (list []weightKey, bytes int64) {
	seen := map[weightKey]bool{}
	for _, k := range keys {
		if _, ok := b.weights[k]; ok || seen[k] {
			continue
		}
		seen[k] = true
		list = append(list, k)
		bytes += int64(align(k.bytes()))
	}
	return list, bytes
}

// place uploads weights, which take that many bytes, to an allocation of their own.
func (b *Backend) place(list []weightKey, bytes int64) (err error) {
	if len(list) == 0 {
		return nil
	}
	block, err := b.alloc(bytes)
	if err != nil {
		return err
	}
	placed := false
	defer func() { // also where reading a weight panics
		if !placed {
			err = join(err, b.free(block))
		}
	}()
	if err := b.fill(list, block.at); err != nil {
		return err
	}
	placed = true
	b.blocks = append(b.blocks, block)
	at := block.at
	for _, k := range list {
		b.weights[k] = at
		at += Ptr(align(k.bytes()))
	}
	return nil
}

// fill reads weights, several at a time, and writes them to the device one behind the other.
func (b *Backend) fill(list []weightKey, at Ptr) (err error) {
	row, total := 0, 0
	places := make([]Ptr, len(list))
	for i, k := range list {
		row, total = max(row, k.weight.Cols*k.as.Size()), total+k.bytes()
		places[i] = at
		if err := b.region(at, int64(k.bytes()), k.weight.Key, b.copyIn); err != nil {
			return err
		}
		at += Ptr(align(k.bytes()))
	}
	s, err := b.newStaging(row, total)
	if err != nil {
		return err
	}
	defer func() { err = join(err, b.device.StreamSynchronize(b.copyIn), s.close()) }()
	r := startReading(list, len(s.buffers[0]))
	defer r.stop()
	for c := range r.chunks {
		if c.panicked != nil {
			panic(c.panicked)
		}
		if c.err != nil {
			return c.err
		}
		buffer, err := s.take()
		if err != nil {
			return err
		}
		n := copy(buffer, c.data)
		r.spare <- c.data
		if err := s.upload(places[c.weight]+Ptr(c.offset), n, b.copyIn); err != nil {
			return fmt.Errorf("upload %s: %w", list[c.weight].weight.Key, err)
		}
	}
	return nil
}

// A chunk is rows of a weight in the device's type.
type chunk struct {
	weight   int // in the list
	offset   int // bytes
	data     []byte
	err      error
	panicked any
}

// A reading is goroutines that read weights, each of them one weight at a time from its first row to its last.
type reading struct {
	list    []weightKey
	size    int // of a chunk at most, bytes
	next    atomic.Int64
	stopped atomic.Bool
	chunks  chan chunk  // closed at the end
	spare   chan []byte // buffers for chunks; the consumer gives them back
}

func startReading(list []weightKey, size int) *reading {
	workers := min(len(list), runtime.GOMAXPROCS(0))
	r := &reading{list: list, size: size, chunks: make(chan chunk), spare: make(chan []byte, 2*workers)}
	for range 2 * workers {
		r.spare <- nil
	}
	var running sync.WaitGroup
	for range workers {
		running.Go(r.work)
	}
	go func() {
		running.Wait()
		close(r.chunks)
	}()
	return r
}

// stop ends the goroutines.
func (r *reading) stop() {
	r.stopped.Store(true)
	for c := range r.chunks {
		select {
		case r.spare <- c.data:
		default: // of a goroutine that panicked before it took a buffer
		}
	}
}

// work reads weights until none is left, or one fails.
func (r *reading) work() {
	defer func() {
		if p := recover(); p != nil {
			r.chunks <- chunk{panicked: fmt.Sprintf("%v\n\nreading a weight:\n%s", p, debug.Stack())}
		}
	}()
	var values []float32
	for {
		i := int(r.next.Add(1)) - 1
		if i >= len(r.list) {
			return
		}
		w, as := r.list[i].weight, r.list[i].as
		row := w.Cols * as.Size()
		most := min(w.Rows, r.size/row)
		values = slices.Grow(values[:0], most*w.Cols)
		for at := 0; at < w.Rows; at += most {
			rows := min(most, w.Rows-at)
			data := slices.Grow((<-r.spare)[:0], r.size)[:rows*row]
			if r.stopped.Load() {
				return
			}
			values = values[:rows*w.Cols]
			if err := w.Fill(values, at, rows); err != nil {
				r.chunks <- chunk{err: err}
				return
			}
			encode(data, as, values)
			r.chunks <- chunk{weight: i, offset: at * row, data: data}
		}
	}
}
