package emu_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"vith/cuda"
	"vith/cuda/emu"
	"vith/kernels/ptx"
)

// A bench is an open device, with what most tests need on it.
type bench struct {
	*testing.T
	driver *emu.Driver
	cuda.Device
	stream cuda.Stream
}

// on opens the device on this test's thread, which it keeps.
func on(t *testing.T, o emu.Options) *bench {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	driver := emu.New(o)
	d, err := driver.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, driver: driver, Device: d}
	b.must(d.SetCurrent())
	b.stream, err = d.StreamCreate()
	b.must(err)
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// fails checks an error's status, and that its text names all of these.
func (b *bench) fails(err error, status cuda.Status, parts ...string) {
	b.Helper()
	if !errors.Is(err, status) {
		b.Errorf("got %v, want %v", err, status)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			b.Errorf("%q does not name %q", err, p)
		}
	}
}

func (b *bench) alloc(n int64) cuda.Ptr {
	b.Helper()
	p, err := b.MemAlloc(n)
	b.must(err)
	return p
}

func (b *bench) host(n int) []byte {
	b.Helper()
	h, err := b.MemHostAlloc(n)
	b.must(err)
	return h
}

func (b *bench) newStream() cuda.Stream {
	b.Helper()
	s, err := b.StreamCreate()
	b.must(err)
	return s
}

func (b *bench) event(timing bool) cuda.Event {
	b.Helper()
	e, err := b.EventCreate(timing)
	b.must(err)
	return e
}

// scale is a kernel that doubles n floats in place, one thread each.
func (b *bench) scale() cuda.Function {
	b.Helper()
	m, err := ptx.Assemble(ptx.SM75, ptx.Entry{Name: "scale", Body: func(f *ptx.Func) {
		f.MaxNTID(32, 1, 1)
		f.MinNCTAPerSM(1)
		x, n := f.ParamPtr("x"), f.ParamU32("n")
		i := f.MadLoU32(f.Special(ptx.CTAIdX), ptx.Int(32), f.Special(ptx.TidX))
		f.If(f.SetpU32(ptx.LT, i, n), func() {
			at := f.MadWideU32(i, ptx.Int(4), x).At(0)
			v := f.LdGlobalF32(at)
			f.StGlobalF32(at, f.AddRnF32(v, v))
		})
	}})
	b.must(err)
	h, err := b.ModuleLoadData(m.Text())
	b.must(err)
	fn, err := b.ModuleGetFunction(h, "scale")
	b.must(err)
	return fn
}

func floats(dst []byte, values ...float32) {
	for i, v := range values {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
	}
}

func TestGraph(t *testing.T) {
	for _, lazy := range []bool{false, true} {
		t.Run(fmt.Sprintf("lazy=%v", lazy), func(t *testing.T) {
			b := on(t, emu.Options{Lazy: lazy})
			f, x, h := b.scale(), b.alloc(40), b.host(40)
			floats(h, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
			b.must(b.MemcpyHtoDAsync(x, h, b.stream))
			b.must(b.StreamSynchronize(b.stream))
			b.must(b.StreamBeginCapture(b.stream))
			b.must(b.LaunchKernel(f, [3]int{1, 1, 1}, [3]int{32, 1, 1}, 0, b.stream, []uint64{uint64(x), 10}))
			g, err := b.StreamEndCapture(b.stream)
			b.must(err)
			e, err := b.GraphInstantiate(g)
			b.must(err)
			b.must(b.GraphDestroy(g))
			b.must(b.GraphUpload(e, b.stream))
			for range 3 {
				b.must(b.GraphLaunch(e, b.stream))
			}
			b.must(b.MemcpyDtoHAsync(h, x, b.stream))
			if lazy && !bytes.Equal(h, bytes.Repeat([]byte{0xa5}, 40)) {
				t.Errorf("the destination of a pending copy is %x", h)
			}
			b.must(b.StreamSynchronize(b.stream))
			for i := range 10 {
				if got := math.Float32frombits(binary.LittleEndian.Uint32(h[4*i:])); got != float32(8*(i+1)) {
					t.Errorf("x[%d] is %v after three launches", i, got)
				}
			}
		})
	}
}

func TestFaultEndsTheDevice(t *testing.T) {
	b := on(t, emu.Options{Lazy: true})
	f, x := b.scale(), b.alloc(36)
	b.must(b.MemsetD8Async(x, 0, 36, b.stream))
	b.must(b.LaunchKernel(f, [3]int{1, 1, 1}, [3]int{32, 1, 1}, 0, b.stream, []uint64{uint64(x), 10}))
	b.fails(b.StreamSynchronize(b.stream), cuda.ErrIllegalAddress, "cuLaunchKernel", "scale", "thread [9 0 0]", "36 bytes")
	_, err := b.MemAlloc(1)
	b.fails(err, cuda.ErrIllegalAddress, "cuMemAlloc", "after cuLaunchKernel")
}

func TestUninitialised(t *testing.T) {
	b := on(t, emu.Options{})
	x, h := b.alloc(8), b.host(8)
	b.must(b.MemsetD8Async(x, 1, 7, b.stream))
	b.fails(b.MemcpyDtoHAsync(h, x, b.stream), cuda.ErrLaunchFailed, "byte 7")
}

func TestRefused(t *testing.T) {
	b := on(t, emu.Options{Memory: 1 << 20})
	f, x := b.scale(), b.alloc(1000)
	one, block := [3]int{1, 1, 1}, [3]int{32, 1, 1}
	b.fails(b.LaunchKernel(f, one, [3]int{33, 1, 1}, 0, b.stream, []uint64{uint64(x), 1}), cuda.ErrInvalidValue, "32 threads")
	b.fails(b.LaunchKernel(f, one, block, 0, b.stream, []uint64{uint64(x)}), cuda.ErrInvalidValue, "1 parameters")
	b.fails(b.LaunchKernel(f, one, block, 48<<10+1, b.stream, []uint64{uint64(x), 1}), cuda.ErrInvalidValue, "49152")
	b.fails(b.LaunchKernel(f, [3]int{1, 65536, 1}, block, 0, b.stream, []uint64{uint64(x), 1}), cuda.ErrInvalidValue, "grid")
	b.fails(b.LaunchKernel(f, one, block, 0, 0, []uint64{uint64(x), 1}), cuda.ErrInvalidHandle, "stream")
	b.fails(b.SetMaxDynamicShared(f, 1<<20), cuda.ErrInvalidValue, "1048576")
	b.fails(b.MemcpyHtoDAsync(x, make([]byte, 8), b.stream), cuda.ErrInvalidValue, "page-locked")
	b.fails(b.MemcpyHtoDAsync(x+996, b.host(8), b.stream), cuda.ErrInvalidValue, "one allocation")
	b.fails(b.MemFree(x+256), cuda.ErrInvalidValue)
	b.must(b.MemFree(x))
	b.fails(b.MemFree(x), cuda.ErrInvalidValue)
	_, err := b.MemAlloc(1<<20 + 1)
	b.fails(err, cuda.ErrOutOfMemory, "1048577")
	_, err = b.MemAlloc(0)
	b.fails(err, cuda.ErrInvalidValue)
	h := b.host(8)
	b.must(b.MemFreeHost(h))
	b.fails(b.MemFreeHost(h), cuda.ErrInvalidValue)
	_, err = b.ModuleLoadData("not PTX")
	b.fails(err, cuda.ErrInvalidPTX, "1:1")
	_, err = b.ModuleGetFunction(99, "f")
	b.fails(err, cuda.ErrInvalidHandle, "0x63")
	e := b.event(false)
	b.must(b.EventRecord(e, b.stream))
	_, err = b.EventElapsedTime(e, e)
	b.fails(err, cuda.ErrInvalidHandle)
	b.must(b.EventDestroy(e))
	b.fails(b.EventRecord(e, b.stream), cuda.ErrInvalidHandle)
	_, err = b.driver.Open(1)
	b.fails(err, cuda.ErrInvalidDevice)
}

func TestModuleNewerThanDeviceOrDriver(t *testing.T) {
	m, err := ptx.Assemble(ptx.SM90, ptx.Entry{Name: "none", Body: func(f *ptx.Func) {
		f.MaxNTID(32, 1, 1)
		f.MinNCTAPerSM(1)
	}})
	if err != nil {
		t.Fatal(err)
	}
	b := on(t, emu.Options{})
	_, err = b.ModuleLoadData(m.Text())
	b.fails(err, cuda.ErrInvalidPTX, "sm_90", "sm_80")
	b = on(t, emu.Options{Targets: []ptx.Target{ptx.SM90}, Version: 11020})
	_, err = b.ModuleLoadData(m.Text())
	b.fails(err, cuda.ErrUnsupportedPTX, "7.8", "7.2")
}

func TestCaptureAllowsNoWaiting(t *testing.T) {
	b := on(t, emu.Options{})
	const unsupported cuda.Status = 900
	for name, f := range map[string]func() error{
		"StreamSynchronize": func() error { return b.StreamSynchronize(b.stream) },
		"MemAlloc":          func() error { _, err := b.MemAlloc(1); return err },
		"MemHostAlloc":      func() error { _, err := b.MemHostAlloc(1); return err },
		"ModuleLoadData":    func() error { _, err := b.ModuleLoadData(""); return err },
		"BeginCapture":      func() error { return b.StreamBeginCapture(b.stream) },
	} {
		b.must(b.StreamBeginCapture(b.stream))
		if err := f(); !errors.Is(err, unsupported) {
			t.Errorf("%s during a capture: %v", name, err)
		}
		_, err := b.StreamEndCapture(b.stream)
		b.fails(err, cuda.ErrInvalidValue)
	}
}

// TestRace has two streams touch the same bytes, with an event between and without.
func TestRace(t *testing.T) {
	for seed := range uint64(4) {
		for _, ordered := range []bool{true, false} {
			b := on(t, emu.Options{Lazy: true, Seed: seed})
			f, x, e := b.scale(), b.alloc(4), b.event(false)
			second := b.newStream()
			b.must(b.MemsetD8Async(x, 0, 4, b.stream))
			b.must(b.EventRecord(e, b.stream))
			if ordered {
				b.must(b.StreamWaitEvent(second, e))
			}
			b.must(b.LaunchKernel(f, [3]int{1, 1, 1}, [3]int{32, 1, 1}, 0, second, []uint64{uint64(x), 1}))
			err := b.StreamSynchronize(second)
			if err == nil {
				err = b.StreamSynchronize(b.stream)
			}
			if (err == nil) != ordered {
				t.Errorf("seed %d, ordered %v: %v", seed, ordered, err)
			}
		}
	}
}

// TestRaceEndsWithTheHost has the host wait between the two.
func TestRaceEndsWithTheHost(t *testing.T) {
	b := on(t, emu.Options{Lazy: true})
	x, second := b.alloc(4), b.newStream()
	b.must(b.MemsetD8Async(x, 0, 4, b.stream))
	b.must(b.StreamSynchronize(b.stream))
	b.must(b.MemsetD8Async(x, 1, 4, second))
	b.must(b.StreamSynchronize(second))
}

func TestStagingChanged(t *testing.T) {
	b := on(t, emu.Options{Lazy: true})
	x, h := b.alloc(4), b.host(4)
	b.must(b.MemcpyHtoDAsync(x, h, b.stream))
	h[0] = 1
	b.fails(b.StreamSynchronize(b.stream), cuda.ErrLaunchFailed, "changed before")
}

func TestRegions(t *testing.T) {
	regions := func(t *testing.T) (b *bench, d cuda.Debugger, x cuda.Ptr) {
		b = on(t, emu.Options{Lazy: true})
		d, x = b.Device.(cuda.Debugger), b.alloc(1024)
		b.must(d.Region(x, 100, "first", b.stream))
		b.must(d.Region(x+256, 300, "second", b.stream))
		b.must(b.MemsetD8Async(x, 0, 100, b.stream))
		b.must(b.StreamSynchronize(b.stream))
		return b, d, x
	}
	for name, f := range map[string]func(b *bench, d cuda.Debugger, x cuda.Ptr) (want string){
		"overrun": func(b *bench, d cuda.Debugger, x cuda.Ptr) string {
			b.must(b.MemsetD8Async(x, 0, 101, b.stream))
			return "first"
		},
		"between": func(b *bench, d cuda.Debugger, x cuda.Ptr) string {
			b.must(b.MemsetD8Async(x+700, 0, 4, b.stream))
			return "second"
		},
		"dead": func(b *bench, d cuda.Debugger, x cuda.Ptr) string {
			b.must(d.Dead(x, b.stream))
			b.must(b.MemcpyDtoHAsync(b.host(4), x, b.stream))
			return "out of bounds"
		},
		"anew": func(b *bench, d cuda.Debugger, x cuda.Ptr) string {
			b.must(d.Dead(x, b.stream))
			b.must(d.Region(x, 100, "third", b.stream))
			b.must(b.MemcpyDtoHAsync(b.host(4), x, b.stream))
			return "third"
		},
		"overlap": func(b *bench, d cuda.Debugger, x cuda.Ptr) string {
			b.must(d.Region(x+512, 100, "third", b.stream))
			return "overlap"
		},
		"dead twice": func(b *bench, d cuda.Debugger, x cuda.Ptr) string {
			b.must(d.Dead(x, b.stream))
			b.must(d.Dead(x, b.stream))
			return "no region"
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, d, x := regions(t)
			want := f(b, d, x)
			if err := b.StreamSynchronize(b.stream); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want one that names %q", err, want)
			}
		})
	}
	b, _, x := regions(t)
	b.must(b.MemFree(x))
	free, total, err := b.MemGetInfo()
	b.must(err)
	if free != total {
		t.Errorf("%d of %d bytes are free", free, total)
	}
}

func TestLeaks(t *testing.T) {
	b := on(t, emu.Options{})
	b.alloc(10)
	b.host(10)
	b.scale()
	b.must(b.Close())
	err := b.driver.Leaks()
	if err == nil {
		t.Fatal("no leaks")
	}
	for _, want := range []string{"10 bytes", "1 allocations of page-locked", "1 streams", "1 modules"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %q", err, want)
		}
	}
	_, _, err = b.MemGetInfo()
	b.fails(err, cuda.ErrDeinitialized)
}

func TestFailCall(t *testing.T) {
	b := on(t, emu.Options{FailCall: 5, FailStatus: cuda.ErrOutOfMemory}) // Open, SetCurrent, StreamCreate, then
	x := b.alloc(1)
	b.fails(b.MemFree(x), cuda.ErrOutOfMemory, "call 5")
	b.fails(b.MemFree(x), cuda.ErrInvalidValue) // it was freed nevertheless

	b = on(t, emu.Options{FailCall: 4, FailStatus: cuda.ErrECCUncorrectable})
	_, err := b.MemAlloc(1)
	b.fails(err, cuda.ErrECCUncorrectable, "call 4")
	b.fails(b.StreamDestroy(b.stream), cuda.ErrECCUncorrectable, "after")
}

func TestEventTime(t *testing.T) {
	b := on(t, emu.Options{})
	x, start, end := b.alloc(1<<20), b.event(true), b.event(true)
	b.must(b.EventRecord(start, b.stream))
	b.must(b.MemsetD8Async(x, 0, 1<<20, b.stream))
	b.must(b.EventRecord(end, b.stream))
	b.must(b.EventSynchronize(end))
	ms, err := b.EventElapsedTime(start, end)
	b.must(err)
	if ms <= 0 {
		t.Errorf("a fill took %v ms", ms)
	}
}

// TestLose loses one of two devices: its calls fail, those of the other do not.
func TestLose(t *testing.T) {
	d := emu.New(emu.Options{Targets: []ptx.Target{ptx.SM80, ptx.SM80}})
	d.Lose(0, cuda.ErrIllegalAddress) // it is not open: nothing happens
	for ordinal, want := range []error{cuda.ErrIllegalAddress, nil} {
		v, err := d.Open(ordinal)
		if err == nil {
			err = v.SetCurrent()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := v.MemGetInfo(); err != nil {
			t.Error(err)
		}
		d.Lose(0, cuda.ErrIllegalAddress)
		if _, _, err := v.MemGetInfo(); !errors.Is(err, want) {
			t.Errorf("device %d: %v, want %v", ordinal, err, want)
		}
		if err := v.Close(); !errors.Is(err, want) {
			t.Errorf("close device %d: %v, want %v", ordinal, err, want)
		}
	}
	if err := d.Leaks(); err != nil {
		t.Error(err)
	}
}
