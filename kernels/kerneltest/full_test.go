//go:build full

package kerneltest

import (
	"testing"

	"vith/kernels"
)

// TestInterpreterFull runs the slow cases of TestInterpreter on the targets and schedules that it leaves out.
func TestInterpreterFull(t *testing.T) {
	_, slow := bySpeed()
	for _, k := range slow {
		t.Run(k.Name, func(t *testing.T) {
			Cases(t, k, k.Cases, map[string]kernels.Backend{"sm_80 again": again(), "sm_75": oldest()})
		})
	}
}
