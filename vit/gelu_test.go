package vit

import (
	"errors"
	"slices"
	"testing"
	"time"

	"vith/kernels"
	"vith/kernels/tensor"
	"vith/vit/tower"
)

// A clock is a backend that computes nothing and tells how long passes with either form of gelu take.
type clock struct {
	caps        kernels.Caps
	exact, tanh time.Duration
	err         error // of Profile

	loaded, closed, profiled int
}

func newClock(exact, tanh time.Duration) *clock {
	return &clock{exact: exact, tanh: tanh, caps: kernels.Caps{
		Precisions: []kernels.Precision{kernels.FP32, half}, Activations: []kernels.Activation{kernels.GELUTanh}, Residual: true, EmbedNorm: true,
	}}
}

func (c *clock) Name() string           { return "clock" }
func (c *clock) Caps() kernels.Caps     { return c.caps }
func (c *clock) Memory() kernels.Memory { return kernels.Memory{} }
func (c *clock) Close() error           { return nil }

func (c *clock) Load(p *kernels.Program) (kernels.Runner, error) {
	c.loaded++
	return &ticking{c, p}, nil
}

func (c *clock) Profile(r kernels.Runner, _ int) ([]time.Duration, error) {
	c.profiled++
	times := make([]time.Duration, len(r.(*ticking).program.Calls))
	times[0] = c.tanh
	if slices.ContainsFunc(r.(*ticking).program.Calls, func(c kernels.Call) bool { return c.Kernel.Name == "gelu" }) {
		times[0] = c.exact
	}
	return times, c.err
}

type ticking struct {
	clock   *clock
	program *kernels.Program
}

func (r *ticking) Start(_, _ [][]byte) (kernels.Wait, error) {
	return func() error { return nil }, nil
}
func (r *ticking) Depth() int { return 1 }
func (r *ticking) Close() error {
	r.clock.closed++
	return nil
}

var half = kernels.Precision{Activation: tensor.F16, Stream: tensor.F32}

// TestGELUChoice takes the faster form, if it is faster by more than chance, and wherever there is a choice.
func TestGELUChoice(t *testing.T) {
	f := func(c *clock, change func(*Options, *tower.Config), want string, profiled int) {
		t.Helper()
		s := newSource(t)
		o := Options{Outputs: []Output{Pooled}, Precision: half, GELU: new(GELUChoice)}
		if change != nil {
			change(&o, &s.Config)
		}
		e, err := NewEngine(s.Config, s, c, o)
		if err != nil {
			t.Fatal(err)
		}
		if e.GELU() != want || c.profiled != profiled || c.closed != c.profiled {
			t.Errorf("%+v: gelu is %s after %d measurements, want %s after %d", c, e.GELU(), c.profiled, want, profiled)
		}
	}
	const pass = time.Second
	f(newClock(pass, pass*9/10), nil, "tanh", 2)
	f(newClock(pass, pass*199/200), nil, "exact", 2)
	f(newClock(pass, pass*11/10), nil, "exact", 2)
	f(newClock(pass, pass/2), func(o *Options, _ *tower.Config) { o.Precision = kernels.FP32 }, "exact", 0)
	f(newClock(pass, pass/2), func(o *Options, _ *tower.Config) { o.GELU = nil }, "exact", 0)
	f(newClock(pass*2, pass), func(o *Options, _ *tower.Config) { o.GELU, o.TanhGELU = nil, true }, "tanh", 0)
	f(newClock(pass, pass/2), func(_ *Options, c *tower.Config) { c.Activation = tower.QuickGELU }, "quick_gelu", 0)
	both := newClock(pass, pass/2)
	both.caps.Activations = append(both.caps.Activations, kernels.GELU)
	f(both, nil, "exact", 0)
	neither := newClock(pass, pass/2)
	neither.caps.Activations = nil
	f(neither, nil, "exact", 0)

	// What the first engine chose holds for the others.
	shared := new(GELUChoice)
	f(newClock(pass, pass/2), func(o *Options, _ *tower.Config) { o.GELU = shared }, "tanh", 2)
	f(newClock(pass/2, pass), func(o *Options, _ *tower.Config) { o.GELU = shared }, "tanh", 0)

	failing := newClock(pass, pass)
	failing.err = errors.New("no event")
	s := newSource(t)
	if _, err := NewEngine(s.Config, s, failing, Options{Precision: half, GELU: new(GELUChoice)}); !errors.Is(err, failing.err) {
		t.Errorf("a measurement that fails: %v", err)
	}
}
