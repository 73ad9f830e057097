package open

import (
	"errors"
	"math"
	"sync"
	"time"

	"vith/kernels"
)

// A State is what one of a model's devices is like at a moment.
type State struct {
	ID     string // as --device spells it
	Name   string
	UUID   string  // "": no GPU
	Driver string  // release of the GPU's driver; "": not known
	Err    error   // why the device takes no more work, or ErrSilent; nil while it works
	Load   float64 // busy share of the last second, 0 to 1

	// Memory in bytes, by owner. Other is what other processes have, and the context if it cannot be told apart.
	Memory         kernels.Memory
	Context, Other int64

	Power, PowerLimit float64 // watts; 0: not known
	Energy            float64 // joules since the driver was loaded; 0: not known
}

// ErrSilent is the error of a device that does not tell its state: a GPU whose driver hangs. It may answer again.
var ErrSilent = errors.New("no answer within a second")

// patience is how long a device is waited for.
const patience = time.Second

// States are those of the devices, in the order of Engines. They are waited for together, and of one that is silent it is
// what was last known.
func (m *Model) States() []State {
	list := make([]State, len(m.devices))
	var all sync.WaitGroup
	for i, d := range m.devices {
		all.Go(func() {
			s, silent := d.watch.state(d.ask)
			s.ID, s.Err = d.Name(), m.Err(i)
			if math.IsNaN(s.Load) {
				s.Load = m.Load(i)
			}
			if silent && s.Err == nil {
				s.Err = ErrSilent
			}
			list[i] = s
		})
	}
	all.Wait()
	return list
}

// ask asks a device, and its driver, for all of its state but what the pool knows of it.
func (d *device) ask() State {
	s := State{Name: CPUName(), Load: math.NaN(), Memory: d.Memory()}
	if d.gpu == nil {
		s.Memory.Total, s.Memory.Free = Memory()
	} else {
		d.gpu.describe(&s)
	}
	return s
}

// A watch asks one device at a time for its state.
type watch struct {
	mu     sync.Mutex
	asking chan struct{} // closed with the answer; nil: not asked now
	last   State
}

// state is what ask answers within the patience, or what it answered last.
func (w *watch) state(ask func() State) (s State, silent bool) {
	w.mu.Lock()
	if w.asking == nil {
		w.asking = make(chan struct{})
		go func() {
			s := ask()
			w.mu.Lock()
			defer w.mu.Unlock()
			close(w.asking)
			w.last, w.asking = s, nil
		}()
	}
	asking := w.asking
	w.mu.Unlock()
	select {
	case <-asking:
	case <-time.After(patience):
		silent = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last, silent
}

// describe adds what is known of a GPU only.
func (g *gpu) describe(s *State) {
	s.Name, s.UUID = g.info.Name, g.info.UUID
	if s.Memory.Total == 0 { // the driver does not answer any more
		s.Memory.Total = g.info.Memory
	}
	held := held(s.Memory)
	u, ok := g.read()
	if !ok {
		s.Other = max(0, s.Memory.Total-s.Memory.Free-held)
		return
	}
	s.Driver = g.driver
	s.Memory.Total, s.Memory.Free = u.Total, u.Free
	mine := g.mine(u, held)
	s.Context, s.Other = mine-held, max(0, u.Used-mine)
	s.Load = u.Utilization
	s.Power, s.PowerLimit, s.Energy = known(u.Power), known(u.PowerLimit), known(u.Energy)
}

// known is a value, or 0 for NaN.
func known(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return x
}
