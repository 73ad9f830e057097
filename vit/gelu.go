package vit

import (
	"errors"
	"slices"
	"sync"
	"time"

	"vith/kernels"
	"vith/vit/tower"
)

// A GELUChoice is between the exact form of gelu, as a call of its own, and the tanh form that some libraries apply within
// their products. Engines that are given the same one compute in the same form, that which the first of them measures to
// be the faster. The zero value is ready. A backend that cannot tell times, or that has both forms within its products or
// neither, leaves it at the exact one; so does a tower with another activation.
type GELUChoice struct {
	mu   sync.Mutex
	form kernels.Activation // or none yet
}

// worthwhile is the share of a pass's time that the tanh form must save to be chosen: more than what differs from one
// measurement to the next.
const worthwhile = 0.01

// choose sets the form that l's programs compute in, by passes of so many images.
func (c *GELUChoice) choose(l *loading, b kernels.Backend, batch int, o Output) error {
	profiler, ok := b.(kernels.Profiler)
	if !ok || l.model.Activation != tower.GELU || !slices.Contains(l.caps.Activations, kernels.GELUTanh) ||
		slices.Contains(l.caps.Activations, kernels.GELU) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.form == kernels.NoActivation {
		exact, err := l.passTime(profiler, kernels.GELU, batch, o)
		if err != nil {
			return err
		}
		tanh, err := l.passTime(profiler, kernels.GELUTanh, batch, o)
		if err != nil {
			return err
		}
		c.form = kernels.GELU
		if float64(exact-tanh) >= worthwhile*float64(exact) {
			c.form = kernels.GELUTanh
		}
	}
	l.model.activation = c.form
	return nil
}

// passTime is how long the calls of a pass take on the device with that form, the median of a few.
func (l *loading) passTime(b kernels.Profiler, form kernels.Activation, batch int, o Output) (sum time.Duration, err error) {
	l.model.activation = form
	p, err := l.program(batch, o)
	if err != nil {
		return 0, err
	}
	r, err := b.Load(p)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	times, err := b.Profile(r, 3)
	for _, t := range times {
		sum += t
	}
	return sum, err
}
