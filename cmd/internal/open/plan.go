package open

import (
	"vith/bench/roofs"
	"vith/kernels"
	"vith/vit"
	"vith/vit/tower"
)

// A Plan is what Load would make of a model on a device.
type Plan struct {
	Name      string
	Device    string
	Precision string
	Config    tower.Config
	Program   *kernels.Program // lowered for the device
	Roof      *roofs.Roof      // what the device can do at most; nil: not asked for, or the emulated one
}

// MakePlan opens the device, and of the model only its headers. If it is to, it measures what the device can do at most.
func MakePlan(o Options, output vit.Output, batch int, measure bool) (*Plan, error) {
	checkpoint, config, err := o.checkpoint()
	if err != nil {
		return nil, err
	}
	defer checkpoint.Close()
	devices, err := o.devices()
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		defer d.Close()
	}
	backend, precision := devices[0], devices[0].precision
	program, err := vit.Program(config, vit.Options{
		Precision: o.types(precision), TanhGELU: o.GELU == "tanh", Normalize: o.Normalize,
	}, output, batch, backend.Caps())
	if err != nil {
		return nil, err
	}
	p := &Plan{Name: checkpoint.Name(), Device: backend.Name(), Precision: precision, Config: config, Program: program}
	if measure {
		if p.Roof, err = backend.roof(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Program is the forward pass of so many images as the model's first device computes it. It can be counted, not run.
func (m *Model) Program(output vit.Output, batch int) (*kernels.Program, error) {
	o := vit.Options{Precision: Options{Residual: m.Residual}.types(m.Precision), TanhGELU: m.GELU == "tanh"}
	return vit.Program(m.Config(), o, output, batch, m.devices[0].Caps())
}
