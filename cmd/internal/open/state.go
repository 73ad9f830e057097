package open

import (
	"math"

	"vith/kernels"
)

// A State is what one of a model's devices is like at a moment.
type State struct {
	ID     string // as --device spells it
	Name   string
	UUID   string  // "": no GPU
	Driver string  // release of the GPU's driver; "": not known
	Err    error   // why the device takes no more work; nil while it does
	Load   float64 // busy share of the last second, 0 to 1

	// Memory in bytes, by owner. Other is what other processes have, and the context if it cannot be told apart.
	Memory         kernels.Memory
	Context, Other int64

	Power, PowerLimit float64 // watts; 0: not known
	Energy            float64 // joules since the driver was loaded; 0: not known
}

// States are those of the devices, in the order of Engines.
func (m *Model) States() []State {
	var list []State
	for i, d := range m.devices {
		s := State{ID: d.Name(), Name: CPUName(), Err: m.Err(i), Load: m.Load(i), Memory: d.Memory()}
		if d.gpu == nil {
			s.Memory.Total, s.Memory.Free = Memory()
		} else {
			d.gpu.describe(&s)
		}
		list = append(list, s)
	}
	return list
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
	if !math.IsNaN(u.Utilization) {
		s.Load = u.Utilization
	}
	s.Power, s.PowerLimit, s.Energy = known(u.Power), known(u.PowerLimit), known(u.Energy)
}

// known is a value, or 0 for NaN.
func known(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return x
}
