//go:build cuda && cgo && linux && (amd64 || arm64)

package fake

/*
#include "table.h"
*/
import "C"

import (
	"unsafe"

	"vith/cuda"
)

//export fake_cuMemGetInfo_v2
func fake_cuMemGetInfo_v2(free, total *C.size_t) C.CUresult {
	return onDevice(func(d cuda.Device) error {
		f, t, err := d.MemGetInfo()
		*free, *total = C.size_t(f), C.size_t(t)
		return err
	})
}

//export fake_cuMemAlloc_v2
func fake_cuMemAlloc_v2(address *C.CUdeviceptr, size C.size_t) C.CUresult {
	return onDevice(func(d cuda.Device) error {
		p, err := d.MemAlloc(int64(size))
		*address = C.CUdeviceptr(p)
		return err
	})
}

//export fake_cuMemFree_v2
func fake_cuMemFree_v2(address C.CUdeviceptr) C.CUresult {
	return onDevice(func(d cuda.Device) error { return d.MemFree(cuda.Ptr(address)) })
}

//export fake_cuMemHostAlloc
func fake_cuMemHostAlloc(address *unsafe.Pointer, size C.size_t, flags C.uint) C.CUresult {
	if flags != C.CU_MEMHOSTALLOC_PORTABLE {
		return C.CUDA_ERROR_INVALID_VALUE
	}
	return onDevice(func(d cuda.Device) error {
		b, err := d.MemHostAlloc(int(size))
		if err != nil {
			return err
		}
		p := &pinned{bytes: b}
		p.pin.Pin(&b[0])
		*address = unsafe.Pointer(&b[0])
		installed.mu.Lock()
		defer installed.mu.Unlock()
		installed.pinned[*address] = p
		return nil
	})
}

//export fake_cuMemFreeHost
func fake_cuMemFreeHost(address unsafe.Pointer) C.CUresult {
	w := installed
	w.mu.Lock()
	p := w.pinned[address]
	delete(w.pinned, address)
	w.mu.Unlock()
	if p == nil {
		return C.CUDA_ERROR_INVALID_VALUE
	}
	defer p.pin.Unpin()
	return onDevice(func(d cuda.Device) error { return d.MemFreeHost(p.bytes) })
}

//export fake_cuMemcpyHtoDAsync_v2
func fake_cuMemcpyHtoDAsync_v2(dst C.CUdeviceptr, src unsafe.Pointer, size C.size_t, h C.CUstream) C.CUresult {
	return with(unsafe.Pointer(h), func(d cuda.Device, s cuda.Stream) error {
		return d.MemcpyHtoDAsync(cuda.Ptr(dst), unsafe.Slice((*byte)(src), size), s)
	})
}

//export fake_cuMemcpyDtoHAsync_v2
func fake_cuMemcpyDtoHAsync_v2(dst unsafe.Pointer, src C.CUdeviceptr, size C.size_t, h C.CUstream) C.CUresult {
	return with(unsafe.Pointer(h), func(d cuda.Device, s cuda.Stream) error {
		return d.MemcpyDtoHAsync(unsafe.Slice((*byte)(dst), size), cuda.Ptr(src), s)
	})
}

//export fake_cuMemsetD8Async
func fake_cuMemsetD8Async(dst C.CUdeviceptr, value C.uchar, size C.size_t, h C.CUstream) C.CUresult {
	return with(unsafe.Pointer(h), func(d cuda.Device, s cuda.Stream) error {
		return d.MemsetD8Async(cuda.Ptr(dst), byte(value), int64(size), s)
	})
}
