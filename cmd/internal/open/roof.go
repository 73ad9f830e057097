package open

import (
	"fmt"

	"vith/bench/roofs"
	"vith/kernels"
	"vith/kernels/host"
	"vith/kernels/host/simd"
)

// Roof measures what the model's devices could do at most, all together, in the model's precision; nil on the emulated
// GPU, whose speed tells nothing.
func (m *Model) Roof() (*roofs.Roof, error) {
	var sum roofs.Roof
	for _, d := range m.devices {
		r, err := d.roof()
		if r == nil || err != nil {
			return nil, err
		}
		sum.FLOPS, sum.Bandwidth = sum.FLOPS+r.FLOPS, sum.Bandwidth+r.Bandwidth
	}
	return &sum, nil
}

func (d *device) roof() (*roofs.Roof, error) {
	var r roofs.Roof
	var err error
	switch b := d.Backend.(type) {
	case *host.Backend:
		var tier *simd.Tier
		if tier, err = simd.Select(b.Tier()); err == nil {
			peak := tier.Peak
			if d.precision == "bf16" {
				peak = tier.PeakBF16
			}
			r = roofs.CPU(peak, b.Threads())
		}
	case kernels.Profiler:
		if !d.timed {
			return nil, nil
		}
		r, err = roofs.GPU(b, types[d.precision])
	default:
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("measure what %s can do at most: %w", d.Name(), err)
	}
	return &r, nil
}
