package roofs

import (
	"strings"
	"testing"
	"time"

	"vith/cuda"
	"vith/cuda/emu"
	"vith/kernels"
	"vith/kernels/host/simd"
	"vith/kernels/tensor"
)

func TestTime(t *testing.T) {
	r := Roof{FLOPS: 1e12, Bandwidth: 1e9}
	for _, c := range []struct {
		cost kernels.Cost
		want time.Duration
	}{
		{kernels.Cost{FLOPs: 2e9, Bytes: 1e6}, 2 * time.Millisecond},
		{kernels.Cost{FLOPs: 2e9, Bytes: 3e6}, 3 * time.Millisecond},
		{kernels.Cost{}, 0},
	} {
		if got := r.Time(c.cost); got != c.want {
			t.Errorf("%+v: %v, want %v", c.cost, got, c.want)
		}
	}
}

func TestKnown(t *testing.T) {
	for _, name := range Names() {
		if r, err := Known(name); err != nil || r.FLOPS < 1e13 || r.Bandwidth < 1e11 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if _, err := Known("gtx1080"); err == nil || !strings.Contains(err.Error(), "h200") {
		t.Errorf("a GPU that is not known: %v", err)
	}
}

// More work a second is done than a calculator could, and less than a GPU.
func TestCPU(t *testing.T) {
	for _, tier := range simd.Tiers() {
		if r := CPU(tier.Peak, 2); r.FLOPS < 1e7 || r.FLOPS > 1e13 || r.Bandwidth < 1e7 || r.Bandwidth > 1e13 {
			t.Errorf("%s: %+v", tier.Name, r)
		}
	}
}

// What is measured on a GPU is measured on the emulated one, however slow that is.
func TestGPU(t *testing.T) {
	for _, p := range []kernels.Precision{kernels.FP32, {Activation: tensor.F16, Stream: tensor.F32}, {Activation: tensor.BF16, Stream: tensor.F32}} {
		b, err := cuda.Open(emu.New(emu.Options{}), 0, cuda.Options{Blas: emu.NewBlas})
		if err != nil {
			t.Fatal(err)
		}
		r, err := measure(b, p, 64)
		if err != nil || !(r.FLOPS > 0) || !(r.Bandwidth > 0) {
			t.Errorf("%v: %+v, %v", p, r, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
