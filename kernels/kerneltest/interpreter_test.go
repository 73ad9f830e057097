package kerneltest

import (
	"testing"

	"vith/kernels"
	"vith/kernels/ptx"
	"vith/kernels/ptxsim"
)

// TestInterpreter runs every kernel's PTX on every case: on the base target twice and on the oldest one, each under its
// own schedule, with its own errors of approximate instructions and a model of tensor-core accumulation.
func TestInterpreter(t *testing.T) {
	Run(t, kernels.All(), map[string]kernels.Backend{
		"sm_80":       NewInterpreter(ptx.SM80, 1, ptxsim.Sequential),
		"sm_80 again": NewInterpreter(ptx.SM80, 2, ptxsim.Aligned),
		"sm_75":       NewInterpreter(ptx.SM75, 3, ptxsim.Aligned),
	})
}
