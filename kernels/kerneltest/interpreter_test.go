package kerneltest

import (
	"testing"

	"vith/kernels"
	"vith/kernels/ptx"
	"vith/kernels/ptxsim"
)

// TestInterpreter runs every kernel's PTX on every case: on the base target twice and on the oldest one, each under its
// own schedule, with its own errors of approximate instructions and a model of tensor-core accumulation. Cases that take
// it many seconds are run on the base target, once; TestInterpreterFull has them on the others.
func TestInterpreter(t *testing.T) {
	quick, slow := bySpeed()
	Run(t, quick, map[string]kernels.Backend{"sm_80": base(), "sm_80 again": again(), "sm_75": oldest()})
	for _, k := range slow {
		t.Run(k.Name+" slow", func(t *testing.T) { Cases(t, k, k.Cases, map[string]kernels.Backend{"sm_80": base()}) })
	}
}

func base() kernels.Backend   { return NewInterpreter(ptx.SM80, 1, ptxsim.Sequential) }
func again() kernels.Backend  { return NewInterpreter(ptx.SM80, 2, ptxsim.Aligned) }
func oldest() kernels.Backend { return NewInterpreter(ptx.SM75, 3, ptxsim.Aligned) }

// bySpeed returns all kernels with their cases that take seconds at most, and those that have others, with these.
func bySpeed() (quick, slow []*kernels.Kernel) {
	for _, k := range kernels.All() {
		q, s := *k, *k
		q.Cases, s.Cases = nil, nil
		for _, c := range k.Cases {
			if !c.Refused && k.FLOPs(c.Dims) > 1<<24 {
				s.Cases = append(s.Cases, c)
			} else {
				q.Cases = append(q.Cases, c)
			}
		}
		quick = append(quick, &q)
		if len(s.Cases) > 0 {
			slow = append(slow, &s)
		}
	}
	return quick, slow
}
