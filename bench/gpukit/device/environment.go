package device

import (
	"fmt"
	"runtime"

	"vith/cuda"
)

// An Environment is what the kit found.
type Environment struct {
	Device     string  `json:"device"`
	GPU        string  `json:"gpu"`
	Capability string  `json:"capability"`
	SMs        int     `json:"sms"`
	Memory     int64   `json:"memory"` // bytes
	Free       int64   `json:"free"`   // bytes, once the context is there
	CUDA       string  `json:"cuda"`   // newest version that the driver supports
	Driver     string  `json:"driver"`
	CublasLt   string  `json:"cublaslt"`
	Power      float64 `json:"power_limit"` // watts; 0: unknown
	CPUs       int     `json:"cpus"`
}

// Environment looks at the device. What a library does not tell is the text of its error.
func (d Device) Environment() (e Environment, err error) {
	version, err := d.Driver.Version()
	if err != nil {
		return e, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	v, err := d.Driver.Open(d.Ordinal)
	if err != nil {
		return e, err
	}
	if err := v.SetCurrent(); err != nil {
		return e, err
	}
	defer v.Close()
	info := v.Info()
	e = Environment{
		Device: d.Name, GPU: info.Name, Capability: fmt.Sprintf("%d.%d", info.Capability/10, info.Capability%10), SMs: info.SMs,
		Memory: info.Memory, CUDA: fmt.Sprintf("%d.%d", version/1000, version%1000/10), CPUs: runtime.NumCPU(),
	}
	if e.Free, _, err = v.MemGetInfo(); err != nil {
		return e, err
	}
	if blas, err := d.Blas(v); err != nil {
		e.CublasLt = err.Error()
	} else {
		e.CublasLt = fmt.Sprint(blas.Version())
		defer blas.Close()
	}
	e.Driver, e.Power = d.driver(info)
	return e, nil
}

// driver asks NVML for the driver's release and the GPU's limit of power.
func (d Device) driver(info cuda.DeviceInfo) (release string, limit float64) {
	if d.Name == "emu" {
		return "emulated", 0
	}
	m, err := openMonitor()
	if err != nil {
		return err.Error(), 0
	}
	defer m.Close()
	if release, err = m.DriverVersion(); err != nil {
		release = err.Error()
	}
	if u, err := m.Usage(info.UUID); err == nil && u.PowerLimit > 0 {
		limit = u.PowerLimit
	}
	return release, limit
}
