//go:build cuda && cgo && linux && (amd64 || arm64)

package nvml

import (
	"errors"
	"fmt"
	"math"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"vith/cuda"
)

// ErrNoLibrary is the error of an Open that finds no NVML.
var ErrNoLibrary = errors.New("no NVML")

// A monitor is a library that is initialised.
type monitor struct{ library nvml.Interface }

var _ cuda.Monitor = monitor{}

// Open loads and initialises NVML: the library at path, libnvidia-ml.so.1 if that is empty. Its error wraps ErrNoLibrary
// if there is none.
func Open(path string) (cuda.Monitor, error) {
	if path == "" {
		path = "libnvidia-ml.so.1"
	}
	library := nvml.New(nvml.WithLibraryPath(path))
	switch r := library.Init(); r {
	case nvml.SUCCESS:
		return monitor{library}, nil
	case nvml.ERROR_LIBRARY_NOT_FOUND:
		return nil, fmt.Errorf("%w: cannot open %s: it comes with NVIDIA's driver; in a container, NVIDIA_DRIVER_CAPABILITIES must have \"utility\"",
			ErrNoLibrary, path)
	default:
		return nil, failed("nvmlInit", "", r)
	}
}

func (m monitor) Close() error { return failed("nvmlShutdown", "", m.library.Shutdown()) }

func (m monitor) DriverVersion() (string, error) {
	version, r := m.library.SystemGetDriverVersion()
	return version, failed("nvmlSystemGetDriverVersion", "", r)
}

func (m monitor) Usage(uuid string) (u cuda.Usage, err error) {
	d, r := m.library.DeviceGetHandleByUUID(uuid)
	if r != nvml.SUCCESS {
		return u, failed("nvmlDeviceGetHandleByUUID", uuid, r)
	}
	memory, r := d.GetMemoryInfo()
	if r != nvml.SUCCESS {
		return u, failed("nvmlDeviceGetMemoryInfo", uuid, r)
	}
	u.Total, u.Used, u.Free = int64(memory.Total), int64(memory.Used), int64(memory.Free)
	if u.Processes, err = processes(d, uuid); err != nil {
		return u, err
	}
	rates, r := d.GetUtilizationRates()
	if u.Utilization, err = optional("nvmlDeviceGetUtilizationRates", uuid, float64(rates.Gpu)/100, r); err != nil {
		return u, err
	}
	gpu := d
	if mig, r := d.IsMigDeviceHandle(); r == nvml.SUCCESS && mig {
		if gpu, r = d.GetDeviceHandleFromMigDeviceHandle(); r != nvml.SUCCESS {
			return u, failed("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", uuid, r)
		}
	}
	power, r := gpu.GetPowerUsage()
	if u.Power, err = optional("nvmlDeviceGetPowerUsage", uuid, float64(power)/1000, r); err != nil {
		return u, err
	}
	limit, r := gpu.GetEnforcedPowerLimit()
	if u.PowerLimit, err = optional("nvmlDeviceGetEnforcedPowerLimit", uuid, float64(limit)/1000, r); err != nil {
		return u, err
	}
	energy, r := gpu.GetTotalEnergyConsumption()
	u.Energy, err = optional("nvmlDeviceGetTotalEnergyConsumption", uuid, float64(energy)/1000, r)
	return u, err
}

// processes lists who computes on a device, none if the library does not tell.
func processes(d nvml.Device, uuid string) ([]cuda.Process, error) {
	infos, r := d.GetComputeRunningProcesses()
	if _, err := optional("nvmlDeviceGetComputeRunningProcesses", uuid, 0, r); err != nil {
		return nil, err
	}
	var list []cuda.Process
	for _, info := range infos {
		p := cuda.Process{PID: int(info.Pid), Memory: -1}
		if info.UsedGpuMemory <= math.MaxInt64 { // the library's "not available" is all ones
			p.Memory = int64(info.UsedGpuMemory)
		}
		list = append(list, p)
	}
	return list, nil
}

// optional is a value, or NaN if the GPU, or this user's rights, do not have it.
func optional(call, uuid string, value float64, r nvml.Return) (float64, error) {
	switch r {
	case nvml.ERROR_NOT_SUPPORTED, nvml.ERROR_NO_PERMISSION, nvml.ERROR_INVALID_ARGUMENT:
		return math.NaN(), nil // of a MIG instance, some drivers call the question invalid
	}
	return value, failed(call, uuid, r)
}

// failed is the error of a return code, nil if it is SUCCESS.
func failed(call, uuid string, r nvml.Return) error {
	switch {
	case r == nvml.SUCCESS:
		return nil
	case uuid == "":
		return fmt.Errorf("nvml: %s: %w", call, r)
	}
	return fmt.Errorf("nvml: %s of %s: %w", call, uuid, r)
}
