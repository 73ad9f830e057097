package vit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vith/kernels"
	"vith/kernels/host"
)

// A device is the CPU in the guise of a GPU: its passes may be short, several may be in flight, and it fails as it is
// told to.
type device struct {
	*host.Backend
	name  string
	depth int
	most  int           // images that it has memory for; 0: any number; -1: none
	takes time.Duration // a pass

	mu      sync.Mutex
	fail    []error // of the next passes; nil is none
	batches []int   // images of each pass
}

func newDevice(t testing.TB, name string) *device {
	t.Helper()
	b, err := host.New(host.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return &device{Backend: b, name: name, depth: 1}
}

func (d *device) Name() string { return d.name }

func (d *device) Caps() kernels.Caps {
	c := d.Backend.Caps()
	c.Short = true
	return c
}

func (d *device) Load(p *kernels.Program) (kernels.Runner, error) {
	r := &deviceRunner{device: d}
	for _, b := range p.Bufs {
		switch b.Role {
		case kernels.Input:
			r.rows, r.in = b.Rows, make([]byte, b.Bytes())
		case kernels.Output:
			r.out = make([]byte, b.Bytes())
		}
	}
	if d.most != 0 && r.rows > d.most {
		return nil, fmt.Errorf("%d images: %w", r.rows, kernels.ErrOutOfMemory)
	}
	var err error
	r.Runner, err = d.Backend.Load(p)
	return r, err
}

// A deviceRunner runs full passes of short ones.
type deviceRunner struct {
	kernels.Runner
	device  *device
	rows    int
	in, out []byte
}

func (r *deviceRunner) Depth() int { return r.device.depth }

func (r *deviceRunner) Start(in, out [][]byte) (kernels.Wait, error) {
	d := r.device
	if d.takes > 0 {
		time.Sleep(d.takes)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.batches = append(d.batches, r.rows)
	if len(d.fail) > 0 {
		err := d.fail[0]
		if d.fail = d.fail[1:]; err != nil {
			return nil, err
		}
	}
	clear(r.in[copy(r.in, in[0]):])
	wait, err := r.Runner.Start([][]byte{r.in}, [][]byte{r.out})
	copy(out[0], r.out)
	return wait, err
}

func (d *device) took() []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.batches
	d.batches = nil
	return list
}

// load makes an engine of pooled vectors on a device.
func (d *device) load(t testing.TB, o Options) *Engine {
	t.Helper()
	s := newSource(t)
	o.Outputs = []Output{Pooled}
	e, err := NewEngine(s.Config, s, d, o)
	if err != nil {
		t.Fatal(err)
	}
	d.took()
	return e
}

// newPool makes a pool of devices, which is closed when the test ends.
func newPool(t testing.TB, lost func(int, error), o Options, devices ...*device) *Pool {
	t.Helper()
	var engines []*Engine
	for _, d := range devices {
		engines = append(engines, d.load(t, o))
	}
	p := NewPool(engines, lost)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// embed returns the vectors of images.
func embed(t testing.TB, e interface {
	Embed(context.Context, Output, int, []byte, []float32) error
}, n int, in []byte) []float32 {
	t.Helper()
	out := make([]float32, n*newSource(t).Width)
	if err := e.Embed(t.Context(), Pooled, n, in, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPoolOrder splits many images over devices of which one takes larger batches.
func TestPoolOrder(t *testing.T) {
	small, large := newDevice(t, "small"), newDevice(t, "large")
	small.most = 2
	var shrunk []string
	p := newPool(t, nil, Options{MaxBatch: 5, Shrunk: func(n int, why error) { shrunk = append(shrunk, fmt.Sprint(n, why)) }}, small, large)
	if want := []string{"2 5 images: out of memory"}; !slices.Equal(shrunk, want) || p.MaxBatch() != 5 || p.Depth() != 2 || len(p.Engines()) != 2 {
		t.Errorf("shrunk %q, want %q; batches of %d, %d in flight", shrunk, want, p.MaxBatch(), p.Depth())
	}
	in := pixels(23 * p.InBytes())
	want := embed(t, newEngine(t, newSource(t), Options{Outputs: []Output{Pooled}}), 23, in)
	if got := embed(t, p, 23, in); !slices.Equal(got, want) {
		t.Error("the vectors are not those of one engine, in order")
	}
	if a, b := small.took(), large.took(); len(a) == 0 || len(b) == 0 || slices.Max(a) > 2 {
		t.Errorf("passes of %v and %v images: both should have some", a, b)
	}
}

// TestPoolShares gives a device that is three times as fast three times as much work.
func TestPoolShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fast, slow := newDevice(t, "fast"), newDevice(t, "slow")
		p := newPool(t, nil, Options{MaxBatch: 1}, fast, slow)
		fast.takes, slow.takes = 10*time.Millisecond, 30*time.Millisecond
		in := pixels(p.InBytes())
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() { embed(t, p, 1, in) })
		}
		time.Sleep(25 * time.Millisecond)
		if p.Load(0) < 0.024 || p.Load(1) < 0.024 {
			t.Errorf("loads %g and %g", p.Load(0), p.Load(1))
		}
		group.Wait()
		if a, b := len(fast.took()), len(slow.took()); a != 6 || b != 2 {
			t.Errorf("%d passes on the fast device and %d on the slow one, want 6 and 2", a, b)
		}
	})
}

var errLost = fmt.Errorf("fell off the bus: %w", kernels.ErrDown)

// TestPoolFaults has devices fail once, and for good.
func TestPoolFaults(t *testing.T) {
	a, b := newDevice(t, "a"), newDevice(t, "b")
	var lost []string
	p := newPool(t, func(i int, why error) { lost = append(lost, fmt.Sprint(i, " ", why)) }, Options{MaxBatch: 2}, a, b)
	in := pixels(2 * p.InBytes())
	want := embed(t, p, 2, in)
	embed(t, p, 2, in)
	if na, nb := len(a.took()), len(b.took()); na != 1 || nb != 1 {
		t.Errorf("%d passes on a and %d on b, want them to take turns", na, nb)
	}
	check := func(what string, onA, onB int) {
		t.Helper()
		if got := embed(t, p, 2, in); !slices.Equal(got, want) {
			t.Errorf("%s: other vectors", what)
		}
		if na, nb := len(a.took()), len(b.took()); na != onA || nb != onB {
			t.Errorf("%s: %d passes on a and %d on b, want %d and %d", what, na, nb, onA, onB)
		}
	}
	a.fail = []error{errors.New("a glitch")}
	check("after a glitch", 1, 1)
	if p.Err(0) != nil || len(lost) > 0 {
		t.Errorf("a glitch ended the device: %v %q", p.Err(0), lost)
	}
	check("after it", 1, 0)
	check("in turn", 0, 1)

	a.fail = []error{errLost}
	check("as a is lost", 1, 1)
	check("without a", 0, 1)
	if err := p.Err(0); !errors.Is(err, errLost) || len(lost) != 1 || !strings.HasPrefix(lost[0], "0 ") || p.Err(1) != nil {
		t.Errorf("lost %q; the devices' errors are %v and %v", lost, err, p.Err(1))
	}
	select {
	case <-p.Down():
		t.Error("the pool is down with a device left")
	default:
	}

	b.fail = []error{errLost}
	out := make([]float32, len(want))
	if err := p.Embed(t.Context(), Pooled, 2, in, out); !errors.Is(err, errLost) {
		t.Errorf("the last device is lost: %v", err)
	}
	<-p.Down()
	if err := p.Embed(t.Context(), Pooled, 2, in, out); !errors.Is(err, kernels.ErrDown) || len(lost) != 2 {
		t.Errorf("no device is left: %v; lost %q", err, lost)
	}
}

// TestPoolWaiters has calls that wait for a device when the last one is lost, or when they are cancelled.
func TestPoolWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(t, "a")
		p := newPool(t, nil, Options{MaxBatch: 1}, d)
		d.takes, d.fail = time.Second, []error{nil, errLost}
		in := pixels(p.InBytes())
		call := func(ctx context.Context) chan error {
			done := make(chan error, 1)
			go func() { done <- p.Embed(ctx, Pooled, 1, in, make([]float32, newSource(t).Width)) }()
			synctest.Wait()
			return done
		}
		short, cancel := context.WithCancel(t.Context())
		defer cancel()
		first, cancelled, second, third := call(t.Context()), call(short), call(t.Context()), call(t.Context())
		cancel()
		if err := <-cancelled; !errors.Is(err, context.Canceled) {
			t.Errorf("the cancelled call ends with %v", err)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
		if err := <-second; !errors.Is(err, errLost) {
			t.Errorf("the call that loses the device ends with %v", err)
		}
		if err := <-third; !errors.Is(err, kernels.ErrDown) {
			t.Errorf("the call that waited ends with %v", err)
		}
		if len(d.took()) != 2 {
			t.Error("a call ran that should not have")
		}
	})
}
