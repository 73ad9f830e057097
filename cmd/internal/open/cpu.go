package open

import (
	"bufio"
	"bytes"
	"errors"
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
	NoGPU   string   `json:"no_gpu,omitempty"` // why none is among the devices
}

// A Device is one thing that could run a model.
type Device struct {
	ID         string   `json:"id"` // as --device spells it
	Name       string   `json:"name"`
	UUID       string   `json:"uuid,omitempty"`               // of a GPU
	Capability string   `json:"compute_capability,omitempty"` // of a GPU
	Threads    int      `json:"threads,omitempty"`            // of a forward pass on the CPU, unless --threads says otherwise
	Tiers      []string `json:"tiers,omitempty"`              // instruction sets that VITH_CPU may name, best first
	Tier       string   `json:"tier,omitempty"`               // the one in use
	Precisions []string `json:"precisions"`                   // that --precision may name besides auto
	Total      int64    `json:"memory_total_bytes"`
	Free       int64    `json:"memory_free_bytes,omitempty"` // of the CPU: can be had without swapping
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
	found := &Found{Auto: "cpu", Devices: []Device{cpu}}
	gpus, err := gpus()
	if err != nil {
		found.NoGPU = err.Error()
		return found, nil
	}
	found.Auto, found.Devices = gpus[0].ID, append(gpus, cpu)
	return found, nil
}

// gpus lists the GPUs of the CUDA driver; none is an error.
func gpus() ([]Device, error) {
	driver, err := openDriver()
	if err != nil {
		return nil, err
	}
	list, err := driver.Devices()
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("the driver shows none")
	}
	var found []Device
	for _, d := range list {
		found = append(found, Device{
			ID: fmt.Sprintf("cuda:%d", d.Ordinal), Name: d.Name, UUID: d.UUID,
			Capability: fmt.Sprintf("%d.%d", d.Capability/10, d.Capability%10),
			Precisions: gpuPrecisions(d.Capability), Total: d.Memory,
		})
	}
	return found, nil
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
