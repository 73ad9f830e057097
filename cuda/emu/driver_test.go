package emu_test

import (
	"fmt"
	"testing"

	"vith/cuda"
	"vith/cuda/drivertest"
	"vith/cuda/emu"
	"vith/kernels/ptx"
)

func TestDriver(t *testing.T) {
	for _, lazy := range []bool{false, true} {
		for _, target := range []ptx.Target{ptx.SM75, ptx.SM80, ptx.SM90} {
			t.Run(fmt.Sprintf("%v/lazy=%v", target, lazy), func(t *testing.T) {
				drivertest.Run(t, func(*testing.T) cuda.Driver {
					return emu.New(emu.Options{Targets: []ptx.Target{target}, Lazy: lazy})
				}, drivertest.Options{Blas: emu.NewBlas, Recovers: true})
			})
		}
	}
}
