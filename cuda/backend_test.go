package cuda_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"vith/cuda"
	"vith/cuda/emu"
	"vith/kernels"
	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// TestGrowth loads larger programs behind smaller ones: the earlier ones go on with their graphs captured again.
func TestGrowth(t *testing.T) {
	b := open(t, emu.Options{Lazy: true}, cuda.Options{Blas: emu.NewBlas})
	towers := newTowers(kernels.FP32)
	var runners []kernels.Runner
	weights, arena := int64(0), int64(0)
	for batch := 1; batch <= 3; batch++ {
		runners = append(runners, towers.load(t, b, batch))
		m := b.Memory()
		if batch > 1 && m.Weights != weights {
			t.Errorf("weights grew from %d to %d bytes", weights, m.Weights)
		}
		if m.Arena <= arena {
			t.Errorf("arena of batch %d has %d bytes, the one before %d", batch, m.Arena, arena)
		}
		weights, arena = m.Weights, m.Arena
	}
	before := b.Memory()
	for range 2 {
		for i, r := range runners {
			in := images(uint64(i), i+1)
			if err := tensor.Compare(vectors(pass(t, r, in)), onHost(t, in), tolerance(0x1p-24)); err != nil {
				t.Errorf("batch %d: %v", i+1, err)
			}
		}
	}
	if after := b.Memory(); after != before {
		t.Errorf("memory went from %+v to %+v", before, after)
	}
	if err := runners[0].Close(); err != nil {
		t.Error(err)
	}
	if _, err := runners[0].Start(nil, nil); err == nil {
		t.Error("a closed runner started a pass")
	}
	pass(t, runners[2], images(9, 3))
}

// TestOverlap starts a second pass while the first is held in the middle of its computation, and wants the second's
// input on the device before the first is done.
func TestOverlap(t *testing.T) {
	overlapped := false
	for seed := uint64(0); seed < 8 && !overlapped; seed++ {
		var (
			on      atomic.Bool
			once    sync.Once
			inside  = make(chan struct{})
			proceed = make(chan struct{})
			copies  int // to the device
		)
		b := open(t, emu.Options{Lazy: true, Seed: seed, Trace: func(_ cuda.Stream, work string) {
			if !on.Load() {
				return
			}
			switch {
			case strings.HasPrefix(work, "kernel patches"):
				once.Do(func() { close(inside); <-proceed })
			case strings.HasSuffix(work, "to the device"):
				copies++
			case strings.HasSuffix(work, "to the host"):
				overlapped = overlapped || copies == 2
				copies = -100
			}
		}}, cuda.Options{})
		r := newTowers(kernels.FP32).load(t, b, 1)
		on.Store(true)
		var waits []kernels.Wait
		var outs [][]byte
		for i := range 2 {
			in := images(uint64(i), 1)
			out := make([]byte, outputs*4)
			wait, err := r.Start([][]byte{in}, [][]byte{out})
			if err != nil {
				t.Fatal(err)
			}
			clear(in) // it may be reused
			waits, outs = append(waits, wait), append(outs, out)
			if i == 0 {
				<-inside
			}
		}
		if _, err := r.Start([][]byte{images(0, 1)}, [][]byte{make([]byte, outputs*4)}); err == nil {
			t.Error("three passes in flight")
		}
		close(proceed)
		for i, wait := range waits {
			if err := wait(); err != nil {
				t.Fatal(err)
			}
			if err := tensor.Compare(vectors(outs[i]), onHost(t, images(uint64(i), 1)), tolerance(0x1p-24)); err != nil {
				t.Errorf("pass %d: %v", i, err)
			}
		}
	}
	if !overlapped {
		t.Error("no input was copied while a pass computed")
	}
}

// TestConcurrent has several goroutines use two programs at once, among calls of Memory and a Load.
func TestConcurrent(t *testing.T) {
	b := open(t, emu.Options{Lazy: true, Seed: 1}, cuda.Options{})
	towers := newTowers(kernels.FP32)
	want := [2][]byte{}
	runners := [2]kernels.Runner{}
	for i := range runners {
		runners[i] = towers.load(t, b, i+1)
		want[i] = pass(t, runners[i], images(3, i+1))
	}
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for range 3 {
				if got := pass(t, runners[n%2], images(3, n%2+1)); !bytes.Equal(got, want[n%2]) {
					t.Errorf("other bits in goroutine %d", n)
				}
				b.Memory()
			}
		})
	}
	wg.Go(func() { towers.load(t, b, 3) })
	wg.Wait()
}

// TestTwoDevices runs a tower on two devices of one driver at a time.
func TestTwoDevices(t *testing.T) {
	driver := emu.New(emu.Options{Targets: []ptx.Target{ptx.SM86, ptx.SM90}, Lazy: true})
	in := images(5, 2)
	want := onHost(t, in)
	var wg sync.WaitGroup
	for ordinal, o := range []cuda.Options{{}, {Blas: emu.NewBlas}} {
		b, err := cuda.Open(driver, ordinal, o)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			got := vectors(pass(t, newTowers(kernels.FP32).load(t, b, 2), in))
			if err := tensor.Compare(got, want, tolerance(0x1p-24)); err != nil {
				t.Errorf("%s: %v", b.Name(), err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := driver.Leaks(); err != nil {
		t.Error(err)
	}
}

// TestFailures fails every call of the driver once in the life of a backend. Each time the error comes out with its
// status, and nothing is left behind.
func TestFailures(t *testing.T) {
	in := images(1, 1)
	for _, status := range []cuda.Status{cuda.ErrOutOfMemory, cuda.ErrECCUncorrectable} {
		calls := int64(0)
		for n := int64(0); n <= calls; n++ { // the first round counts the calls
			driver := emu.New(emu.Options{Lazy: true, FailCall: n, FailStatus: status})
			err := live(t, driver, in)
			if n == 0 {
				calls = driver.Calls()
			}
			if (n > 0) != errors.Is(err, status) {
				t.Errorf("call %d of %d fails with %v: got %v", n, calls, status, err)
			}
			if err := driver.Leaks(); err != nil {
				t.Errorf("call %d fails with %v: %v", n, status, err)
			}
			if t.Failed() {
				return
			}
		}
		t.Logf("%d calls", calls)
	}
}

// live is the life of a backend: two programs, the second of which makes the arena grow, a pass of each, and Close. It
// goes on after errors where a program would.
func live(t *testing.T, driver cuda.Driver, in []byte) error {
	b, err := cuda.Open(driver, 0, cuda.Options{Blas: emu.NewBlas})
	if err != nil {
		return err
	}
	var errs []error
	types := kernels.Precision{Activation: tensor.F16, Stream: tensor.F32}
	x := &kernels.Weight{Key: "w", Type: types.Activation, Rows: 24, Cols: 16, Fill: func(dst []float32, row0, rows int) error {
		for i := range dst {
			dst[i] = float32(i % 3)
		}
		return nil
	}}
	bias := &kernels.Weight{Key: "b", Type: tensor.F32, Rows: 1, Cols: 24, Fill: func(dst []float32, row0, rows int) error {
		clear(dst)
		return nil
	}}
	for rows := range 2 {
		p := kernels.NewProgram()
		y := p.Cast(p.Input("x", tensor.F32, rows+1, 16), tensor.F16)
		y = p.Linear(y, p.Weight(x), bias, 1, tensor.F16)
		p.Output(p.Cast(p.Activate(kernels.GELU, y), tensor.F32))
		lowered, err := kernels.Lower(p, b.Caps())
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Load(lowered)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out := make([]byte, 4*24*(rows+1))
		wait, err := r.Start([][]byte{in[:4*16*(rows+1)]}, [][]byte{out})
		if err == nil {
			err = wait()
		}
		if err != nil && b.Down() != nil && !errors.Is(err, cuda.ErrDown) {
			t.Errorf("the device is down: %v; the pass: %v", b.Down(), err)
		}
		errs = append(errs, err, r.Close())
	}
	return errors.Join(append(errs, b.Close())...)
}

// TestDown has the device fail: every later pass and Load says so.
func TestDown(t *testing.T) {
	towers := newTowers(kernels.FP32)
	run := func(driver *emu.Driver) (after int64, errs [3]error) {
		b, err := cuda.Open(driver, 0, cuda.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		r := towers.load(t, b, 1)
		after = driver.Calls()
		out := make([]byte, outputs*4)
		for i := range 2 {
			wait, err := r.Start([][]byte{images(0, 1)}, [][]byte{out})
			if err == nil {
				err = wait()
			}
			errs[i] = err
		}
		lowered, err := kernels.Lower(towers.program(2), b.Caps())
		if err != nil {
			t.Fatal(err)
		}
		_, errs[2] = b.Load(lowered)
		return after, errs
	}
	calls, errs := run(emu.New(emu.Options{}))
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	_, errs = run(emu.New(emu.Options{FailCall: calls + 3, FailStatus: cuda.ErrIllegalAddress}))
	for i, err := range errs {
		if !errors.Is(err, cuda.ErrDown) || !errors.Is(err, cuda.ErrIllegalAddress) || !strings.Contains(err.Error(), "cuda:0") {
			t.Errorf("use %d of a device that failed: %v", i, err)
		}
	}
}

func TestTooOld(t *testing.T) {
	for _, c := range []struct {
		options emu.Options
		names   []string
	}{
		{emu.Options{Version: 10020}, []string{"10.2", "11.0"}},
		{emu.Options{Targets: []ptx.Target{61}}, []string{"6.1", "7.5", "cuda:0"}},
	} {
		driver := emu.New(c.options)
		_, err := cuda.Open(driver, 0, cuda.Options{})
		if !errors.Is(err, cuda.ErrTooOld) {
			t.Errorf("%+v: %v", c.options, err)
			continue
		}
		for _, name := range c.names {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%q does not name %s", err, name)
			}
		}
		if err := driver.Leaks(); err != nil {
			t.Error(err)
		}
	}
	if _, err := cuda.Open(emu.New(emu.Options{}), 0, cuda.Options{TF32: true}); !errors.Is(err, kernels.ErrUnsupported) {
		t.Errorf("tf32 without cublasLt: %v", err)
	}
	if _, err := cuda.Open(emu.New(emu.Options{}), 1, cuda.Options{}); !errors.Is(err, cuda.ErrInvalidDevice) {
		t.Errorf("device 1 of 1: %v", err)
	}
}

// TestDoesNotFit limits the memory of the device, then of the backend. A program that fits is loaded afterwards.
func TestDoesNotFit(t *testing.T) {
	for _, blas := range []func(cuda.Device) (cuda.Blas, error){nil, emu.NewBlas} {
		b := open(t, emu.Options{}, cuda.Options{Blas: blas})
		towers := newTowers(kernels.FP32)
		towers.load(t, b, 1)
		m := b.Memory()
		need := m.Weights + m.Arena + m.Workspace
		for i, e := range []emu.Options{{Memory: need + 1<<16}, {}} {
			b := open(t, e, cuda.Options{Blas: blas, Memory: []int64{0, need + 1<<16}[i]})
			lowered, err := kernels.Lower(towers.program(40), b.Caps())
			if err != nil {
				t.Fatal(err)
			}
			_, err = b.Load(lowered)
			var full *cuda.MemoryError
			if !errors.As(err, &full) || !errors.Is(err, cuda.ErrOutOfMemory) || full.Weights != m.Weights || full.Arena <= full.Free || full.Free > full.Total {
				t.Errorf("a batch that does not fit: %v (%+v)", err, full)
			}
			pass(t, towers.load(t, b, 1), images(1, 1))
		}
	}
}

// TestFillFails has reading a weight fail, and panic.
func TestFillFails(t *testing.T) {
	b := open(t, emu.Options{Lazy: true}, cuda.Options{})
	broken := errors.New("broken")
	towers := newTowers(kernels.FP32)
	w := towers.weight("a.fc1.weight", tensor.F32, hidden, width)
	fill := w.Fill
	lowered, err := kernels.Lower(towers.program(1), b.Caps())
	if err != nil {
		t.Fatal(err)
	}
	w.Fill = func([]float32, int, int) error { return broken }
	if _, err := b.Load(lowered); !errors.Is(err, broken) {
		t.Errorf("got %v, want the error of Fill", err)
	}
	w.Fill = func([]float32, int, int) error { panic("fill") }
	func() {
		defer func() {
			if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "fill") || !strings.Contains(fmt.Sprint(r), "backend_test.go") {
				t.Errorf("recovered %v, want the panic with where it was", r)
			}
		}()
		b.Load(lowered)
	}()
	w.Fill = fill
	pass(t, towers.load(t, b, 1), images(1, 1))
}

func TestWrongSizes(t *testing.T) {
	b := open(t, emu.Options{}, cuda.Options{})
	r := newTowers(kernels.FP32).load(t, b, 1)
	in, out := images(1, 1), make([]byte, outputs*4)
	for _, c := range []struct {
		in, out [][]byte
		name    string
	}{
		{nil, [][]byte{out}, "0 inputs"}, {[][]byte{append(in, 0)}, [][]byte{out}, "pixels"}, {[][]byte{in}, [][]byte{out, out}, "2 outputs"},
		{[][]byte{in}, [][]byte{append(out, 0)}, "161 bytes"},
	} {
		if _, err := r.Start(c.in, c.out); err == nil || !strings.Contains(err.Error(), c.name) {
			t.Errorf("got %v, want one that names %q", err, c.name)
		}
	}
	pass(t, r, in)
}

// TestShort gives a program fewer images than it takes: the others are zeros.
func TestShort(t *testing.T) {
	b := open(t, emu.Options{Lazy: true}, cuda.Options{})
	r := newTowers(kernels.FP32).load(t, b, 3)
	in := images(9, 3)
	pass(t, r, in) // leaves the third image where the next pass finds it
	pass(t, r, in)
	clear(in[2*pixels:])
	want := pass(t, r, in)
	if got := pass(t, r, in[:2*pixels]); !bytes.Equal(got, want[:2*outputs*4]) {
		t.Error("two images and zeros give other bits than two images")
	}
}

// TestBusy opens a device twice.
func TestBusy(t *testing.T) {
	driver := emu.New(emu.Options{Targets: []ptx.Target{ptx.SM80, ptx.SM80}})
	b, err := cuda.Open(driver, 0, cuda.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cuda.Open(driver, 0, cuda.Options{}); !errors.Is(err, cuda.ErrBusy) {
		t.Errorf("opened twice: %v", err)
	}
	for range 2 { // another device, again when it is free
		other, err := cuda.Open(driver, 1, cuda.Options{})
		if err == nil {
			err = other.Close()
		}
		if err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(b.Close(), driver.Leaks()); err != nil {
		t.Error(err)
	}
}

func TestClosed(t *testing.T) {
	driver := emu.New(emu.Options{})
	b, err := cuda.Open(driver, 0, cuda.Options{Name: "emu"})
	if err != nil {
		t.Fatal(err)
	}
	towers := newTowers(kernels.FP32)
	r := towers.load(t, b, 1)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	_, start := r.Start([][]byte{images(1, 1)}, [][]byte{make([]byte, outputs*4)})
	lowered, err := kernels.Lower(towers.program(1), b.Caps())
	if err != nil {
		t.Fatal(err)
	}
	_, load := b.Load(lowered)
	for i, err := range []error{start, load, b.Close(), r.Close()} {
		if !errors.Is(err, cuda.ErrClosed) {
			t.Errorf("use %d after Close: %v", i, err)
		}
	}
	if m := b.Memory(); m != (kernels.Memory{}) {
		t.Errorf("memory after Close is %+v", m)
	}
	if b.Name() != "emu" {
		t.Errorf("the name is %q", b.Name())
	}
}

// TestProfile times every call of a pass, and leaves passes as they were.
func TestProfile(t *testing.T) {
	b, other := open(t, emu.Options{}, cuda.Options{Blas: emu.NewBlas}), open(t, emu.Options{}, cuda.Options{})
	towers := newTowers(kernels.FP32)
	p, err := kernels.Lower(towers.program(2), b.Caps())
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	times, err := b.Profile(r, 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(times) != len(p.Calls) {
		t.Errorf("%d times of %d calls", len(times), len(p.Calls))
	}
	for i, d := range times {
		if d <= 0 {
			t.Errorf("call %d took %v", i, d)
		}
	}
	in := images(1, 2)
	if err := tensor.Compare(vectors(pass(t, r, in)), onHost(t, in), tolerance(0x1p-24)); err != nil {
		t.Error(err)
	}
	if _, err := other.Profile(r, 3); err == nil {
		t.Error("a backend profiled the runner of another")
	}
	if _, err := b.Profile(r, 0); err == nil {
		t.Error("no passes were profiled")
	}
}
