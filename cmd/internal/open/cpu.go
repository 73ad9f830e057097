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

	"vith/cuda"
	"vith/kernels"
	"vith/kernels/host"
	"vith/kernels/host/simd"
)

// Found is what could run a model on this machine.
type Found struct {
	Auto      string   `json:"auto"` // what --device auto takes
	Devices   []Device `json:"devices"`
	NoGPU     string   `json:"no_gpu,omitempty"`     // why none is among the devices
	Driver    string   `json:"driver,omitempty"`     // release of the GPUs' driver
	NoMonitor string   `json:"no_monitor,omitempty"` // why the GPUs' free memory and processes are not known
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

	Processes []cuda.Process `json:"processes,omitempty"` // that use a GPU
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
	if err := found.addGPUs(); err != nil {
		found.NoGPU = err.Error()
	}
	return found, nil
}

// addGPUs puts the GPUs of the CUDA driver first; none is an error.
func (f *Found) addGPUs() error {
	machine, err := Machine()
	if err != nil {
		return err
	}
	infos, err := machine.Driver.Devices()
	if err != nil {
		return err
	}
	if len(infos) == 0 {
		return errors.New("the driver shows none")
	}
	var list []Device
	var names []string
	for _, info := range infos {
		d := Device{
			ID: fmt.Sprintf("cuda:%d", info.Ordinal), Name: info.Name, UUID: info.UUID,
			Capability: fmt.Sprintf("%d.%d", info.Capability/10, info.Capability%10),
			Precisions: gpuPrecisions(info.Capability), Total: info.Memory,
		}
		if machine.Monitor != nil {
			if u, err := machine.Monitor.Usage(info.UUID); err != nil {
				f.NoMonitor = err.Error()
			} else {
				d.Free, d.Processes = u.Free, u.Processes
			}
		}
		list, names = append(list, d), append(names, strconv.Itoa(info.Ordinal))
	}
	if machine.Monitor == nil {
		f.NoMonitor = fmt.Sprint(machine.NoMonitor)
	} else if f.Driver, err = machine.Monitor.DriverVersion(); err != nil {
		f.NoMonitor = err.Error()
	}
	f.Auto, f.Devices = "cuda:"+strings.Join(names, ","), append(list, f.Devices...)
	return nil
}

// cacheWeights lets the CPU keep its form of the model's weights in the folder that o names, if it names one.
func (o Options) cacheWeights(s source, b kernels.Backend) error {
	cpu, ok := b.(*host.Backend)
	if !ok || o.PackedCache == "" {
		return nil
	}
	digest, err := s.Digest()
	if err != nil {
		return err
	}
	cpu.CacheWeights(o.PackedCache, digest, o.Log)
	return nil
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
