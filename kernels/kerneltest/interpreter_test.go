package kerneltest

import (
	"testing"

	"vith/kernels"
	"vith/kernels/ptx"
	"vith/kernels/ptxsim"
)

// TestInterpreter runs every kernel's PTX on every case: on the newest base target and on the oldest, each under its
// own schedule, its own errors of approximate instructions and its own model of tensor-core accumulation.
func TestInterpreter(t *testing.T) {
	Run(t, withPTX(), map[string]kernels.Backend{
		"sm_80": NewInterpreter(ptx.SM80, 1, ptxsim.Sequential),
		"sm_75": NewInterpreter(ptx.SM75, 2, ptxsim.Aligned),
	})
}

func withPTX() (list []*kernels.Kernel) {
	for _, k := range kernels.All() {
		if k.GPU != nil {
			list = append(list, k)
		}
	}
	return list
}
