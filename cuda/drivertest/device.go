package drivertest

import (
	"errors"
	"math"
	"regexp"
	"runtime"

	"vith/cuda"
)

var uuid = regexp.MustCompile(`^(GPU|MIG)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func testDevices(b *bench) {
	if v, err := b.driver.Version(); err != nil || v < 11000 || v > 30000 {
		b.Errorf("the version is %d, %v", v, err)
	}
	infos, err := b.driver.Devices()
	if err != nil || len(infos) == 0 {
		b.Fatalf("%d devices, %v", len(infos), err)
	}
	seen := map[string]bool{}
	for i, info := range infos {
		if info.Ordinal != i || info.Name == "" || !uuid.MatchString(info.UUID) || seen[info.UUID] || info.Capability < 50 ||
			info.SMs < 1 || info.Memory < 1<<20 || info.SharedPerBlock < 48<<10 || info.L2 < 1 {
			b.Errorf("device %d: %+v", i, info)
		}
		seen[info.UUID] = true
	}
	if b.Info() != infos[0] {
		b.Errorf("device 0 says it is %+v, the driver %+v", b.Info(), infos[0])
	}
	for _, ordinal := range []int{-1, len(infos), math.MaxInt32} {
		_, err := b.driver.Open(ordinal)
		b.fails(err, []cuda.Status{cuda.ErrInvalidDevice})
	}
}

// A closed device refuses calls, and can be opened again.
func testClose(b *bench) {
	p, err := b.MemAlloc(4096)
	b.must(err)
	b.must(b.MemFree(p))
	b.must(b.StreamDestroy(b.stream))
	b.must(b.Close())
	_, err = b.MemAlloc(4096)
	b.fails(err, anyStatus)
	b.fails(b.Close(), anyStatus)
	b.openDevice()
	b.alloc(4096)
}

// Handles that are none, of the wrong type or destroyed are refused.
func testHandles(b *bench) {
	x := b.upload(make([]byte, 4*block))
	h := b.host(16)
	f := b.function(accumulate)
	s, err := b.StreamCreate()
	b.must(err)
	e, err := b.EventCreate(true)
	b.must(err)
	b.must(b.StreamBeginCapture(s))
	b.must(b.MemsetD8Async(x, 0, 16, s))
	g, err := b.StreamEndCapture(s)
	b.must(err)
	exec, err := b.GraphInstantiate(g)
	b.must(err)
	good, live := b.newEvent(true), b.stream // made first: a driver may give a new object the handle of one destroyed
	b.must(b.StreamDestroy(s))
	b.must(b.EventDestroy(e))
	b.must(b.GraphDestroy(g))
	b.must(b.GraphExecDestroy(exec))

	for _, s := range []cuda.Stream{0, s, cuda.Stream(good)} {
		b.fails(b.MemcpyHtoDAsync(x, h, s), invalidHandle)
		b.fails(b.MemcpyDtoHAsync(h, x, s), invalidHandle)
		b.fails(b.MemsetD8Async(x, 0, 16, s), invalidHandle)
		b.fails(b.LaunchKernel(f, oneBlock, threads, 0, s, []uint64{uint64(x), uint64(x), 1}), invalidHandle)
		b.fails(b.StreamSynchronize(s), invalidHandle)
		b.fails(b.StreamWaitEvent(s, good), invalidHandle)
		b.fails(b.EventRecord(good, s), invalidHandle)
		b.fails(b.StreamBeginCapture(s), invalidHandle)
		b.fails(b.StreamDestroy(s), invalidHandle)
		_, err = b.StreamEndCapture(s)
		b.fails(err, invalidHandle)
	}
	for _, e := range []cuda.Event{0, e, cuda.Event(live)} {
		b.fails(b.EventRecord(e, live), invalidHandle)
		b.fails(b.EventSynchronize(e), invalidHandle)
		b.fails(b.StreamWaitEvent(live, e), invalidHandle)
		b.fails(b.EventDestroy(e), invalidHandle)
		_, err = b.EventElapsedTime(e, good)
		b.fails(err, invalidHandle)
	}
	for _, g := range []cuda.Graph{0, g} {
		_, err = b.GraphInstantiate(g)
		b.fails(err, invalidHandle)
		b.fails(b.GraphDestroy(g), invalidHandle)
	}
	for _, e := range []cuda.Exec{0, exec} {
		b.fails(b.GraphUpload(e, live), invalidHandle)
		b.fails(b.GraphLaunch(e, live), invalidHandle)
		b.fails(b.GraphExecDestroy(e), invalidHandle)
	}
	for _, f := range []cuda.Function{0, cuda.Function(live)} {
		b.fails(b.LaunchKernel(f, oneBlock, threads, 0, live, nil), invalidHandle)
		b.fails(b.SetMaxDynamicShared(f, 0), invalidHandle)
		_, err = b.FuncAttributes(f)
		b.fails(err, invalidHandle)
	}
	b.fails(b.ModuleUnload(0), invalidHandle)
	_, err = b.ModuleGetFunction(0, "f")
	b.fails(err, invalidHandle)
}

// A thread on which the context is not current is refused, until it is.
func testThreads(b *bench) {
	x := b.upload(make([]byte, 64))
	f := b.function(accumulate)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		_, err := b.MemAlloc(64)
		b.fails(err, invalidContext)
		b.fails(b.MemFree(x), invalidContext)
		b.fails(b.MemsetD8Async(x, 0, 64, b.stream), invalidContext)
		b.fails(b.LaunchKernel(f, oneBlock, threads, 0, b.stream, []uint64{uint64(x), uint64(x), 1}), invalidContext)
		b.fails(b.StreamSynchronize(b.stream), invalidContext)
		_, err = b.ModuleLoadData(accumulate.text())
		b.fails(err, invalidContext)
		_, _, err = b.MemGetInfo()
		b.fails(err, invalidContext)
		b.fails(b.Close(), invalidContext)

		if err := errors.Join(b.SetCurrent(), b.MemsetD8Async(x, 1, 64, b.stream), b.StreamSynchronize(b.stream)); err != nil {
			b.Errorf("with the context: %v", err)
		}
	}()
	<-done
	if got := b.download(x, 64); got[0] != 1 || got[63] != 1 {
		b.Errorf("the memory that another thread set holds %v", got)
	}
}

// One thread waits for events while another goes on.
func testWaiter(b *bench) {
	f := b.function(count)
	x, y := b.upload(make([]byte, 4*block)), b.upload(make([]byte, 64))
	recorded, passed := make(chan cuda.Event), make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := b.SetCurrent()
		for e := range recorded {
			passed <- errors.Join(err, b.EventSynchronize(e))
		}
	}()
	defer close(recorded)
	const passes = 20
	for range passes {
		e, err := b.EventCreate(false)
		b.must(err)
		b.must(b.LaunchKernel(f, oneBlock, threads, 0, b.stream, []uint64{uint64(x), 100}))
		b.must(b.EventRecord(e, b.stream))
		recorded <- e
		b.must(b.MemsetD8Async(y, 1, 64, b.stream))
		other, err := b.StreamCreate()
		b.must(err)
		h, err := b.MemHostAlloc(64)
		b.must(err)
		b.must(b.MemFreeHost(h))
		b.must(b.StreamDestroy(other))
		b.must(<-passed)
		b.must(b.EventDestroy(e))
	}
	if got := floats(b.download(x, 4*block)); got[0] != 100*passes {
		b.Errorf("counted to %v, want %d", got[0], 100*passes)
	}
}

// A fault ends the context: every later call fails alike.
func testFault(b *bench, recovers bool) {
	f := b.function(accumulate)
	h := b.host(16)
	x := b.upload(make([]byte, 16))
	err := b.LaunchKernel(f, oneBlock, threads, 0, b.stream, []uint64{16, 16, block})
	if err == nil {
		err = b.StreamSynchronize(b.stream)
	}
	b.fails(err, anyStatus)
	sticky := func(err error) {
		b.Helper()
		b.fails(err, anyStatus)
		if call, ok := errors.AsType[*cuda.CallError](err); ok && !call.Status.Sticky() {
			b.Errorf("after a fault: %v, which is not sticky", err)
		}
	}
	sticky(err)
	_, err = b.MemAlloc(64)
	sticky(err)
	sticky(b.MemcpyDtoHAsync(h, x, b.stream))
	sticky(b.LaunchKernel(f, oneBlock, threads, 0, b.stream, []uint64{uint64(x), uint64(x), 1}))
	sticky(b.StreamSynchronize(b.stream))
	sticky(b.Close())
	b.Device = nil // nothing of it can be undone
	if !recovers {
		return
	}
	b.openDevice()
	if got := floats(b.download(b.upload(bytes32(1, 2)), 8)); got[1] != 2 {
		b.Errorf("in a new context, copies give %v", got)
	}
}
