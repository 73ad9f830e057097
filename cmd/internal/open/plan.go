package open

import (
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
}

// MakePlan opens the device, and of the model only its headers.
func MakePlan(o Options, output vit.Output, batch int) (*Plan, error) {
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
		Precision: types[precision], TanhGELU: o.GELU == "tanh", Normalize: o.Normalize,
	}, output, batch, backend.Caps())
	if err != nil {
		return nil, err
	}
	return &Plan{checkpoint.Name(), backend.Name(), precision, config, program}, nil
}
