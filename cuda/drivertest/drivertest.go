// Package drivertest is the contract of a cuda.Driver and of a cuda.Blas, as a test: what the interfaces' comments say,
// and what package cuda's backend relies on besides. Every driver passes it, the emulator as well as a GPU:
//
//	func TestDriver(t *testing.T) {
//		drivertest.Run(t, func(t *testing.T) cuda.Driver { return emu.New(emu.Options{}) }, drivertest.Options{Blas: emu.NewBlas})
//	}
//
// Statuses are asserted where drivers agree on them, failure alone where they do not.
package drivertest

import (
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"

	"vith/cuda"
)

// Options say what there is to test.
type Options struct {
	// Blas opens the driver's cublasLt on a device; nil: there is none.
	Blas func(cuda.Device) (cuda.Blas, error)
	// Recovers says that a device can be opened again after a fault, in the same process, when it was closed.
	Recovers bool
}

// Run tests device 0 of a driver. open is called for each part of the test, and may return the same driver; it may use
// the Cleanup of that part.
func Run(t *testing.T, open func(*testing.T) cuda.Driver, o Options) {
	parts := []struct {
		name string
		test func(*bench)
	}{
		{"Devices", testDevices},
		{"Close", testClose},
		{"Memory", testMemory},
		{"HostMemory", testHostMemory},
		{"Copies", testCopies},
		{"Module", testModule},
		{"Attributes", testAttributes},
		{"Launch", testLaunch},
		{"DynamicShared", testDynamicShared},
		{"Streams", testStreams},
		{"Events", testEvents},
		{"Graph", testGraph},
		{"Capture", testCapture},
		{"Handles", testHandles},
		{"Threads", testThreads},
		{"Waiter", testWaiter},
	}
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) { p.test(start(t, open)) })
	}
	if o.Blas != nil {
		t.Run("Blas", func(t *testing.T) { runBlas(t, open, o.Blas) })
	}
	t.Run("Fault", func(t *testing.T) { testFault(start(t, open), o.Recovers) }) // the last: it may cost the process its GPU
}

// A bench is device 0, current on the thread of a test, and a stream on it. What its methods make is destroyed in the end.
type bench struct {
	*testing.T
	cuda.Device
	driver cuda.Driver
	stream cuda.Stream
}

func start(t *testing.T, open func(*testing.T) cuda.Driver) *bench {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	b := &bench{T: t, driver: open(t)}
	b.openDevice()
	return b
}

// openDevice opens device 0 and makes a stream.
func (b *bench) openDevice() {
	b.Helper()
	d, err := b.driver.Open(0)
	b.must(err)
	b.Device = d
	b.must(d.SetCurrent())
	b.Cleanup(func() {
		if b.Device == d { // the test has not closed it
			b.must(d.Close())
		}
	})
	b.stream = b.newStream()
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// fails checks that an error is a CallError with one of the statuses, and that its text names all parts.
func (b *bench) fails(err error, statuses []cuda.Status, parts ...string) {
	b.Helper()
	call, ok := errors.AsType[*cuda.CallError](err)
	if !ok {
		b.Errorf("got error %v, want a *cuda.CallError with one of %v", err, statuses)
		return
	}
	matches := len(statuses) == 0
	for _, s := range statuses {
		matches = matches || call.Status == s
	}
	if !matches {
		b.Errorf("got %v, want one of %v", err, statuses)
	}
	for _, p := range append(parts, call.Call) {
		if p == "" || !strings.Contains(err.Error(), p) {
			b.Errorf("error %q does not name %q", err, p)
		}
	}
}

// Sets of statuses that drivers may choose from.
var (
	anyStatus      []cuda.Status
	invalidValue   = []cuda.Status{cuda.ErrInvalidValue}
	invalidHandle  = []cuda.Status{cuda.ErrInvalidHandle}
	invalidContext = []cuda.Status{cuda.ErrInvalidContext}
)

func (b *bench) alloc(size int64) cuda.Ptr {
	b.Helper()
	p, err := b.MemAlloc(size)
	b.must(err)
	b.undo(func(d cuda.Device) error { return d.MemFree(p) })
	return p
}

func (b *bench) host(size int) []byte {
	b.Helper()
	h, err := b.MemHostAlloc(size)
	b.must(err)
	b.undo(func(d cuda.Device) error { return d.MemFreeHost(h) })
	return h
}

func (b *bench) newStream() cuda.Stream {
	b.Helper()
	s, err := b.StreamCreate()
	b.must(err)
	b.undo(func(d cuda.Device) error { return d.StreamDestroy(s) })
	return s
}

func (b *bench) newEvent(timing bool) cuda.Event {
	b.Helper()
	e, err := b.EventCreate(timing)
	b.must(err)
	b.undo(func(d cuda.Device) error { return d.EventDestroy(e) })
	return e
}

// function loads the module of a program and finds it.
func (b *bench) function(p program) cuda.Function {
	b.Helper()
	m, err := b.ModuleLoadData(p.text())
	b.must(err)
	b.undo(func(d cuda.Device) error { return d.ModuleUnload(m) })
	f, err := b.ModuleGetFunction(m, p.name)
	b.must(err)
	return f
}

// exec instantiates a graph, which it destroys, and uploads it.
func (b *bench) exec(g cuda.Graph) cuda.Exec {
	b.Helper()
	e, err := b.GraphInstantiate(g)
	b.must(err)
	b.must(b.GraphDestroy(g))
	b.must(b.GraphUpload(e, b.stream))
	b.undo(func(d cuda.Device) error { return d.GraphExecDestroy(e) })
	return e
}

// undo destroys something at the end, if its device is still open then.
func (b *bench) undo(f func(cuda.Device) error) {
	d := b.Device
	b.Cleanup(func() {
		if b.Device == d {
			b.must(f(d))
		}
	})
}

func (b *bench) sync() {
	b.Helper()
	b.must(b.StreamSynchronize(b.stream))
}

// upload copies bytes into new device memory.
func (b *bench) upload(data []byte) cuda.Ptr {
	b.Helper()
	p, h := b.alloc(int64(len(data))), b.host(len(data))
	copy(h, data)
	b.must(b.MemcpyHtoDAsync(p, h, b.stream))
	b.sync()
	return p
}

// download copies bytes of device memory.
func (b *bench) download(p cuda.Ptr, size int) []byte {
	b.Helper()
	h := b.host(size)
	b.must(b.MemcpyDtoHAsync(h, p, b.stream))
	b.sync()
	return append([]byte(nil), h...)
}

// bytes32 and floats convert little-endian float32.
func bytes32(x ...float32) []byte {
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func floats(b []byte) []float32 {
	x := make([]float32, len(b)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x
}

// ramp is first, first+1, …: n floats.
func ramp(first float32, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = first + float32(i)
	}
	return x
}
