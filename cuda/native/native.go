//go:build cuda && cgo && linux && (amd64 || arm64)

package native

/*
#cgo CFLAGS: -I${SRCDIR}/include
#cgo LDFLAGS: -L${SRCDIR}/lib -lcuda
#include <cuda.h>
*/
import "C"

import (
	"errors"
	"fmt"

	"gorgonia.org/cu"

	"vith/cuda"
	"vith/cuda/native/internal/shim"
)

// What Open finds missing.
var (
	ErrNoLibrary    = errors.New("no CUDA driver")
	ErrNoDevice     = errors.New("no CUDA device")
	ErrDriverTooOld = errors.New("CUDA driver too old")
)

// minVersion is the oldest driver that can be used: CUDA 11.0, which is driver 450.
const minVersion = 11000

// Open loads a CUDA driver library, libcuda.so.1 if path is empty, and initialises it. Its errors wrap ErrNoLibrary,
// ErrNoDevice or ErrDriverTooOld, or are a *cuda.CallError of what else the driver's initialisation returned.
//
// A process has one driver: when one is open, Open returns it, whatever the path.
func Open(path string) (cuda.Driver, error) {
	if path == "" {
		path = "libcuda.so.1"
	}
	if err := shim.Load(path); err != nil {
		return nil, explain(err)
	}
	version := cu.Version()
	if version < minVersion {
		shim.Unbind()
		return nil, fmt.Errorf("%w: it supports CUDA %d.%d, and 11.0 is needed: install driver 450 or newer",
			ErrDriverTooOld, version/1000, version%1000/10)
	}
	return driver{}, nil
}

// explain tells what to do about an error of shim.Load.
func explain(err error) error {
	failed, ok := errors.AsType[*shim.InitError](err)
	if !ok {
		return fmt.Errorf("%w: %w: install NVIDIA's driver, or start the container with its GPUs (docker run --gpus all)", ErrNoLibrary, err)
	}
	if cuda.Status(failed.Result) == cuda.ErrNoDevice {
		return fmt.Errorf("%w: %w: is there an NVIDIA GPU, may this user open /dev/nvidia*, and what does "+
			"CUDA_VISIBLE_DEVICES hide?", ErrNoDevice, err)
	}
	return &cuda.CallError{Call: "cuInit", Name: failed.Name, Status: cuda.Status(failed.Result)}
}

// A driver is what is bound in package shim.
type driver struct{}

var _ cuda.Driver = driver{}

func (driver) Version() (int, error) {
	version := cu.Version()
	if version < 0 {
		return 0, &cuda.CallError{Call: "cuDriverGetVersion", Status: cuda.ErrUnknown}
	}
	return version, nil
}

func (driver) Devices() ([]cuda.DeviceInfo, error) {
	n, err := cu.NumDevices()
	if err != nil {
		return nil, failed("cuDeviceGetCount", "", err)
	}
	infos := make([]cuda.DeviceInfo, n)
	for i := range infos {
		_, info, err := describe(i)
		if err != nil {
			return nil, err
		}
		infos[i] = info
	}
	return infos, nil
}

func (driver) Open(ordinal int) (cuda.Device, error) {
	dev, info, err := describe(ordinal)
	if err != nil {
		return nil, err
	}
	ctx, err := dev.RetainPrimaryCtx()
	if err != nil {
		return nil, failed("cuDevicePrimaryCtxRetain", fmt.Sprintf("of device %d", ordinal), err)
	}
	return &device{info: info, dev: dev, ctx: ctx, live: map[handle]object{}, pinned: map[*byte]int{}}, nil
}

// describe finds a device and what there is to know about it.
func describe(ordinal int) (cu.Device, cuda.DeviceInfo, error) {
	detail := fmt.Sprintf("of device %d", ordinal)
	dev, err := cu.GetDevice(ordinal)
	if err != nil {
		return 0, cuda.DeviceInfo{}, failed("cuDeviceGet", detail, err)
	}
	info := cuda.DeviceInfo{Ordinal: ordinal}
	if info.Name, err = dev.Name(); err != nil {
		return 0, info, failed("cuDeviceGetName", detail, err)
	}
	if info.UUID, err = uuid(dev); err != nil {
		return 0, info, failed("cuDeviceGetUuid", detail, err)
	}
	if info.Memory, err = dev.TotalMem(); err != nil {
		return 0, info, failed("cuDeviceTotalMem", detail, err)
	}
	var major, minor int
	for _, a := range []struct {
		of    cu.DeviceAttribute
		value *int
	}{
		{cu.ComputeCapabilityMajor, &major},
		{cu.ComputeCapabilityMinor, &minor},
		{cu.MultiprocessorCount, &info.SMs},
		{C.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, &info.SharedPerBlock},
		{cu.L2CacheSize, &info.L2},
		{cu.ClockRate, &info.ClockKHz},
		{cu.MemoryClockRate, &info.MemoryClockKHz},
		{cu.GlobalMemoryBusWidth, &info.MemoryBusBits},
	} {
		if *a.value, err = dev.Attribute(a.of); err != nil {
			return 0, info, failed("cuDeviceGetAttribute", fmt.Sprintf("%d %s", a.of, detail), err)
		}
	}
	info.Capability = 10*major + minor
	return dev, info, nil
}

// uuid is a device's identity as NVML has it. The first form of the call names the GPU that a MIG instance is part of,
// the second, since CUDA 11.4, the instance itself.
func uuid(dev cu.Device) (string, error) {
	gpu, err := dev.UUID()
	if err != nil {
		return "", err
	}
	id := gpu
	var c C.CUuuid
	if C.cuDeviceGetUuid_v2(&c, C.CUdevice(dev)) == C.CUDA_SUCCESS {
		for i, b := range c.bytes {
			id[i] = byte(b)
		}
	}
	if id != gpu {
		return "MIG-" + id.String(), nil
	}
	return "GPU-" + id.String(), nil
}
