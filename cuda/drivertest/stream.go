package drivertest

import (
	"slices"

	"vith/cuda"
)

// long is how often count counts: long enough that work that does not wait for it comes too early, exact in float32.
const long = 6000

// Work of one stream runs in order.
func testStreams(b *bench) {
	f, add := b.function(count), b.function(accumulate)
	x, y := b.upload(make([]byte, 4*block)), b.upload(bytes32(ramp(0, block)...))
	got := b.host(4 * block)
	for range 3 {
		b.must(b.MemsetD8Async(x, 0, 4*block, b.stream))
		b.must(b.LaunchKernel(f, oneBlock, threads, 0, b.stream, []uint64{uint64(x), long}))
		b.must(b.LaunchKernel(add, oneBlock, threads, 0, b.stream, []uint64{uint64(x), uint64(y), block}))
		b.must(b.MemcpyDtoHAsync(got, x, b.stream))
		b.sync()
		if want := ramp(long, block); !slices.Equal(floats(got), want) {
			b.Fatalf("got %v", floats(got))
		}
	}
}

// An event orders the work of two streams.
func testEvents(b *bench) {
	f, add := b.function(count), b.function(accumulate)
	other := b.newStream()
	x, y := b.upload(make([]byte, 4*block)), b.upload(bytes32(ramp(0, block)...))
	got := b.host(4 * block)
	counted, added := b.newEvent(false), b.newEvent(false)
	b.must(b.StreamWaitEvent(other, counted)) // never recorded: nothing to wait for
	b.must(b.EventSynchronize(counted))
	for range 5 {
		b.must(b.MemsetD8Async(x, 0, 4*block, b.stream))
		b.must(b.LaunchKernel(f, oneBlock, threads, 0, b.stream, []uint64{uint64(x), long}))
		b.must(b.EventRecord(counted, b.stream))
		b.must(b.StreamWaitEvent(other, counted))
		b.must(b.LaunchKernel(add, oneBlock, threads, 0, other, []uint64{uint64(x), uint64(y), block}))
		b.must(b.EventRecord(added, other))
		b.must(b.StreamWaitEvent(b.stream, added))
		b.must(b.MemcpyDtoHAsync(got, x, b.stream))
		b.must(b.EventRecord(added, b.stream))
		b.must(b.EventSynchronize(added))
		if want := ramp(long, block); !slices.Equal(floats(got), want) {
			b.Fatalf("got %v", floats(got))
		}
	}
	b.sync()

	start, end := b.newEvent(true), b.newEvent(true)
	_, err := b.EventElapsedTime(start, end) // never recorded
	b.fails(err, anyStatus)
	b.must(b.EventRecord(start, b.stream))
	b.must(b.LaunchKernel(f, oneBlock, threads, 0, b.stream, []uint64{uint64(x), long}))
	b.must(b.EventRecord(end, b.stream))
	b.must(b.EventSynchronize(end))
	if ms, err := b.EventElapsedTime(start, end); err != nil || ms <= 0 {
		b.Errorf("the time of a kernel is %v ms, %v", ms, err)
	}
	_, err = b.EventElapsedTime(added, end) // made without timing
	b.fails(err, anyStatus)
}

// A graph does what was captured, again with each launch, on what memory then holds.
func testGraph(b *bench) {
	f := b.function(accumulate)
	const n = 1000
	x, y := b.upload(make([]byte, 4*n)), b.upload(bytes32(ramp(1, n)...))
	params := []uint64{uint64(x), uint64(y), n}
	b.must(b.StreamBeginCapture(b.stream))
	b.must(b.LaunchKernel(f, blocks(n), threads, 0, b.stream, params))
	b.must(b.LaunchKernel(f, blocks(n), threads, 0, b.stream, params))
	g, err := b.StreamEndCapture(b.stream)
	b.must(err)
	clear(params)

	other, err := b.GraphInstantiate(g) // a graph may be instantiated more than once
	b.must(err)
	e := b.exec(g)
	if got := floats(b.download(x, 4*n)); slices.Max(got) != 0 {
		b.Errorf("work ran while it was captured: %v", got[:8])
	}
	b.must(b.GraphUpload(other, b.stream))
	factor := float32(0)
	for launch := range 4 {
		exec := []cuda.Exec{e, other}[launch%2]
		b.must(b.GraphLaunch(exec, b.stream))
		factor += 2
		b.must(b.LaunchKernel(f, blocks(n), threads, 0, b.stream, []uint64{uint64(x), uint64(y), n})) // the stream is as before
		factor++
	}
	b.sync()
	for i, v := range floats(b.download(x, 4*n)) {
		if v != factor*float32(i+1) {
			b.Fatalf("element %d is %v after the launches, want %v", i, v, factor*float32(i+1))
		}
	}

	src := b.host(4 * n) // new inputs, between launches
	copy(src, bytes32(ramp(100, n)...))
	b.must(b.MemcpyHtoDAsync(y, src, b.stream))
	b.must(b.MemsetD8Async(x, 0, 4*n, b.stream))
	b.must(b.GraphLaunch(e, b.stream))
	b.sync()
	for i, v := range floats(b.download(x, 4*n)) {
		if v != 2*float32(100+i) {
			b.Fatalf("element %d is %v with other inputs, want %v", i, v, 2*(100+i))
		}
	}
	b.must(b.GraphExecDestroy(other))
}

// What a capture refuses leaves the stream usable.
func testCapture(b *bench) {
	_, err := b.StreamEndCapture(b.stream)
	b.fails(err, anyStatus)

	f := b.function(accumulate)
	x := b.upload(bytes32(1, 2, 3))
	b.must(b.StreamBeginCapture(b.stream))
	b.fails(b.StreamBeginCapture(b.stream), anyStatus)
	if g, err := b.StreamEndCapture(b.stream); err == nil {
		b.must(b.GraphDestroy(g))
	}
	b.must(b.StreamBeginCapture(b.stream))
	b.fails(b.StreamSynchronize(b.stream), anyStatus)
	if g, err := b.StreamEndCapture(b.stream); err == nil {
		b.must(b.GraphDestroy(g))
	}
	b.must(b.LaunchKernel(f, oneBlock, threads, 0, b.stream, []uint64{uint64(x), uint64(x), 3}))
	b.sync()
	if got := floats(b.download(x, 12)); !slices.Equal(got, []float32{2, 4, 6}) {
		b.Errorf("after failed captures a launch gives %v", got)
	}
}
