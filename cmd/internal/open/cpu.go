package open

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"vith/kernels/host/simd"
)

// Found is what could run a model on this machine.
type Found struct {
	Auto    string   `json:"auto"` // what --device auto takes
	Devices []Device `json:"devices"`
	NoGPU   string   `json:"no_gpu"` // why none is among the devices
}

// A Device is one thing that could run a model.
type Device struct {
	ID         string   `json:"id"` // as --device spells it
	Name       string   `json:"name"`
	Threads    int      `json:"threads"`    // of a forward pass, unless --threads says otherwise
	Tiers      []string `json:"tiers"`      // instruction sets that VITH_CPU may name, best first
	Tier       string   `json:"tier"`       // the one in use
	Precisions []string `json:"precisions"` // that --precision may name besides auto
	Total      int64    `json:"memory_total_bytes"`
	Free       int64    `json:"memory_free_bytes"` // can be had without swapping
}

// Devices looks for what could run a model, with the instruction set that VITH_CPU names. Its errors are those of Load.
func Devices(tier string) (*Found, error) {
	if err := checkTier(tier); err != nil {
		return nil, err
	}
	chosen, err := simd.Select(tier)
	if err != nil {
		return nil, fmt.Errorf("VITH_CPU=%s: %w", tier, err)
	}
	cpu := Device{ID: "cpu", Name: CPUName(), Threads: runtime.GOMAXPROCS(0), Tier: chosen.Name, Precisions: cpuPrecisions}
	for _, t := range simd.Tiers() {
		cpu.Tiers = append(cpu.Tiers, t.Name)
	}
	cpu.Total, cpu.Free = Memory()
	return &Found{Auto: "cpu", Devices: []Device{cpu}, NoGPU: noGPU}, nil
}

// CPUName is what the processor calls itself, or the architecture where Linux does not tell.
func CPUName() string {
	if name := field("/proc/cpuinfo", "model name"); name != "" {
		return name
	}
	return runtime.GOARCH
}

// Memory returns the machine's memory in bytes, and how much of it can be had without swapping; 0 where Linux does not
// tell.
func Memory() (total, free int64) {
	kilobytes := func(name string) int64 {
		n, _ := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", name), " kB"), 10, 64)
		return n << 10
	}
	return kilobytes("MemTotal"), kilobytes("MemAvailable")
}

// field returns the first value of a file of lines "name: value", or "".
func field(path, name string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		if key, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
