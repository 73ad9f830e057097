//go:build cuda && cgo && linux && (amd64 || arm64)

package fake

/*
#include "table.h"
*/
import "C"

import (
	"encoding/hex"
	"strings"
	"syscall"
	"unsafe"

	"vith/cuda"
)

//export fake_cuDriverGetVersion
func fake_cuDriverGetVersion(version *C.int) C.CUresult {
	v, err := installed.driver.Version()
	*version = C.int(v)
	return result(err)
}

//export fake_cuGetErrorName
func fake_cuGetErrorName(status C.CUresult, name **C.char) C.CUresult {
	w, s := installed, cuda.Status(status)
	if !strings.HasPrefix(s.Error(), "CUDA_") {
		return C.CUDA_ERROR_INVALID_VALUE
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.names[s] == nil {
		w.names[s] = C.CString(s.Error())
	}
	*name = w.names[s]
	return C.CUDA_SUCCESS
}

//export fake_cuDeviceGetCount
func fake_cuDeviceGetCount(count *C.int) C.CUresult {
	infos, err := installed.driver.Devices()
	*count = C.int(len(infos))
	return result(err)
}

// info describes a device; its number is also its handle.
func info(ordinal C.int) (cuda.DeviceInfo, C.CUresult) {
	infos, err := installed.driver.Devices()
	if err != nil {
		return cuda.DeviceInfo{}, result(err)
	}
	if ordinal < 0 || int(ordinal) >= len(infos) {
		return cuda.DeviceInfo{}, C.CUDA_ERROR_INVALID_DEVICE
	}
	return infos[ordinal], C.CUDA_SUCCESS
}

//export fake_cuDeviceGet
func fake_cuDeviceGet(device *C.CUdevice, ordinal C.int) C.CUresult {
	_, result := info(ordinal)
	*device = ordinal
	return result
}

//export fake_cuDeviceGetName
func fake_cuDeviceGetName(name *C.char, size C.int, device C.CUdevice) C.CUresult {
	i, result := info(device)
	dst := unsafe.Slice((*byte)(unsafe.Pointer(name)), size)
	dst[copy(dst[:size-1], i.Name)] = 0
	return result
}

//export fake_cuDeviceGetUuid
func fake_cuDeviceGetUuid(id *C.CUuuid, device C.CUdevice) C.CUresult {
	result := fake_cuDeviceGetUuid_v2(id, device)
	if i, _ := info(device); strings.HasPrefix(i.UUID, "MIG-") {
		*id = C.CUuuid{} // the GPU's, of which a DeviceInfo knows nothing
	}
	return result
}

//export fake_cuDeviceGetUuid_v2
func fake_cuDeviceGetUuid_v2(id *C.CUuuid, device C.CUdevice) C.CUresult {
	i, result := info(device)
	if result != C.CUDA_SUCCESS {
		return result
	}
	digits := strings.ReplaceAll(strings.TrimLeft(i.UUID, "GPUMI-"), "-", "")
	if n, err := hex.Decode(unsafe.Slice((*byte)(unsafe.Pointer(id)), 16), []byte(digits)); err != nil || n != 16 {
		return C.CUDA_ERROR_UNKNOWN
	}
	return C.CUDA_SUCCESS
}

//export fake_cuDeviceTotalMem_v2
func fake_cuDeviceTotalMem_v2(size *C.size_t, device C.CUdevice) C.CUresult {
	i, result := info(device)
	*size = C.size_t(i.Memory)
	return result
}

//export fake_cuDeviceGetAttribute
func fake_cuDeviceGetAttribute(value *C.int, attribute C.CUdevice_attribute, device C.CUdevice) C.CUresult {
	i, result := info(device)
	if result != C.CUDA_SUCCESS {
		return result
	}
	values := map[C.CUdevice_attribute]int{
		C.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:          i.Capability / 10,
		C.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:          i.Capability % 10,
		C.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:              i.SMs,
		C.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: i.SharedPerBlock,
		C.CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:                     i.L2,
		C.CU_DEVICE_ATTRIBUTE_CLOCK_RATE:                        i.ClockKHz,
		C.CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:                 i.MemoryClockKHz,
		C.CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:           i.MemoryBusBits,
	}
	v, known := values[attribute]
	if !known {
		return C.CUDA_ERROR_INVALID_VALUE
	}
	*value = C.int(v)
	return C.CUDA_SUCCESS
}

//export fake_cuDevicePrimaryCtxRetain
func fake_cuDevicePrimaryCtxRetain(handle *C.CUcontext, device C.CUdevice) C.CUresult {
	w := installed
	w.mu.Lock()
	c := w.contexts[int(device)]
	w.mu.Unlock()
	if c == nil {
		d, err := w.driver.Open(int(device))
		if err != nil {
			return result(err)
		}
		c = &context{device: d}
		c.handle = w.add(c)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.contexts[int(device)] = c
	c.retains++
	*handle = C.CUcontext(c.handle)
	return C.CUDA_SUCCESS
}

//export fake_cuDevicePrimaryCtxRelease_v2
func fake_cuDevicePrimaryCtxRelease_v2(device C.CUdevice) C.CUresult {
	w := installed
	w.mu.Lock()
	c := w.contexts[int(device)]
	if c == nil {
		w.mu.Unlock()
		return C.CUDA_ERROR_INVALID_CONTEXT
	}
	c.retains--
	if c.retains > 0 {
		w.mu.Unlock()
		return C.CUDA_SUCCESS
	}
	delete(w.contexts, int(device))
	for thread, current := range w.current {
		if current == c {
			delete(w.current, thread)
		}
	}
	w.mu.Unlock()
	w.drop(c.handle)
	if err := c.device.SetCurrent(); err != nil { // which the driver does not ask for, but a Device does
		return result(err)
	}
	return result(c.device.Close())
}

//export fake_cuCtxSetCurrent
func fake_cuCtxSetCurrent(handle C.CUcontext) C.CUresult {
	w := installed
	if handle == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.current, syscall.Gettid())
		return C.CUDA_SUCCESS
	}
	c, ok := object[*context](w, unsafe.Pointer(handle))
	if !ok {
		return C.CUDA_ERROR_INVALID_CONTEXT
	}
	if err := c.device.SetCurrent(); err != nil {
		return result(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current[syscall.Gettid()] = c
	return C.CUDA_SUCCESS
}

//export fake_cuCtxGetCurrent
func fake_cuCtxGetCurrent(handle *C.CUcontext) C.CUresult {
	*handle = nil
	if c := installed.currentContext(); c != nil {
		*handle = C.CUcontext(c.handle)
	}
	return C.CUDA_SUCCESS
}

// A Device has no such call: its Close waits.
//
//export fake_cuCtxSynchronize
func fake_cuCtxSynchronize() C.CUresult { return onDevice(func(cuda.Device) error { return nil }) }
