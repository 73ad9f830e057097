package open

import (
	"fmt"

	"vith/bench/roofs"
	"vith/kernels"
	"vith/kernels/host"
	"vith/kernels/host/simd"
)

// Roof measures what the model's devices could do at most, all together, in the model's precision; nil on the emulated
// GPU, whose speed tells nothing. A GPU is measured once, the CPU in every call: of a virtual machine it may be less at times,
// and the best so far counts.
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
	r := &d.best
	switch b := d.Backend.(type) {
	case *host.Backend:
		tier, err := simd.Select(b.Tier())
		if err != nil {
			return nil, err
		}
		peak := tier.Peak
		if d.precision == "bf16" {
			peak = tier.PeakBF16
		}
		now := roofs.CPU(peak, b.Threads())
		r.FLOPS, r.Bandwidth = max(r.FLOPS, now.FLOPS), max(r.Bandwidth, now.Bandwidth)
	case kernels.Profiler:
		if !d.timed {
			return nil, nil
		}
		if r.FLOPS > 0 {
			return r, nil
		}
		var err error
		if *r, err = roofs.GPU(b, types[d.precision]); err != nil {
			return nil, fmt.Errorf("measure what %s can do at most: %w", d.Name(), err)
		}
	default:
		return nil, nil
	}
	return r, nil
}
