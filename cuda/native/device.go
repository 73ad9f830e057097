//go:build cuda && cgo && linux && (amd64 || arm64)

package native

/*
#include <cuda.h>
*/
import "C"

import (
	"fmt"
	"sync"
	"unsafe"

	"gorgonia.org/cu"

	"vith/cuda"
)

// A device is a GPU's primary context. Other than the interface asks, its methods may be called concurrently, from every
// thread on which the context is current.
type device struct {
	info cuda.DeviceInfo
	dev  cu.Device

	mu     sync.RWMutex
	ctx    cu.CUContext // zero when closed
	live   map[handle]object
	pinned map[*byte]int // page-locked memory: start and size
}

var _ cuda.Device = (*device)(nil)

func (d *device) Info() cuda.DeviceInfo { return d.info }

func (d *device) SetCurrent() error {
	d.mu.RLock()
	ctx := d.ctx
	d.mu.RUnlock()
	if ctx == (cu.CUContext{}) {
		return refused("cuCtxSetCurrent", "of a closed device", cuda.ErrInvalidContext)
	}
	return failed("cuCtxSetCurrent", "", cu.SetCurrentContext(ctx))
}

func (d *device) Close() error {
	const call = "cuDevicePrimaryCtxRelease"
	if err := d.enter(call); err != nil {
		return err
	}
	first := failed("cuCtxSynchronize", "", cu.Synchronize())
	for _, err := range []error{
		failed("cuCtxSetCurrent", "to none", cu.SetCurrentContext(cu.CUContext{})),
		failed(call, "", d.dev.ReleasePrimaryCtx()),
	} {
		if first == nil {
			first = err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ctx = cu.CUContext{}
	return first
}

func (d *device) MemGetInfo() (free, total int64, err error) {
	const call = "cuMemGetInfo"
	if err := d.enter(call); err != nil {
		return 0, 0, err
	}
	free, total, err = cu.MemInfo()
	return free, total, failed(call, "", err)
}

func (d *device) MemAlloc(size int64) (cuda.Ptr, error) {
	const call = "cuMemAlloc"
	if err := d.enter(call); err != nil {
		return 0, err
	}
	if size <= 0 {
		return 0, refused(call, fmt.Sprintf("of %d bytes", size), cuda.ErrInvalidValue)
	}
	p, err := cu.MemAlloc(size)
	if err != nil {
		return 0, failed(call, fmt.Sprintf("of %d bytes", size), err)
	}
	return cuda.Ptr(p), nil
}

func (d *device) MemFree(p cuda.Ptr) error {
	const call = "cuMemFree"
	if err := d.enter(call); err != nil {
		return err
	}
	if p == 0 { // the driver takes it for nothing to free
		return refused(call, "of 0x0", cuda.ErrInvalidValue)
	}
	if err := cu.MemFree(cu.DevicePtr(p)); err != nil {
		return failed(call, fmt.Sprintf("of %#x", p), err)
	}
	return nil
}

func (d *device) MemHostAlloc(size int) ([]byte, error) {
	const call = "cuMemHostAlloc"
	if err := d.enter(call); err != nil {
		return nil, err
	}
	var p unsafe.Pointer
	status := cuda.ErrInvalidValue
	if size > 0 {
		status = cuda.Status(C.cuMemHostAlloc(&p, C.size_t(size), C.CU_MEMHOSTALLOC_PORTABLE))
	}
	if status != cuda.Success {
		return nil, refused(call, fmt.Sprintf("of %d bytes", size), status)
	}
	b := unsafe.Slice((*byte)(p), size)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pinned[&b[0]] = size
	return b, nil
}

func (d *device) MemFreeHost(b []byte) error {
	const call = "cuMemFreeHost"
	if err := d.enter(call); err != nil {
		return err
	}
	p := unsafe.SliceData(b)
	d.mu.RLock()
	size, ok := d.pinned[p]
	d.mu.RUnlock()
	if !ok || size != len(b) {
		return refused(call, fmt.Sprintf("of %d bytes that are no page-locked allocation", len(b)), cuda.ErrInvalidValue)
	}
	if err := cu.MemFreeHost(unsafe.Pointer(p)); err != nil {
		return failed(call, fmt.Sprintf("of %d bytes", len(b)), err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.pinned, p)
	return nil
}

// isPinned reports whether b lies in page-locked memory. The driver would take other memory too, and read or write it
// after the call, when Go may have moved or reused it.
func (d *device) isPinned(b []byte) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	start := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	for p, size := range d.pinned {
		if first := uintptr(unsafe.Pointer(p)); first <= start && start+uintptr(len(b)) <= first+uintptr(size) {
			return true
		}
	}
	return false
}

func (d *device) MemcpyHtoDAsync(dst cuda.Ptr, src []byte, s cuda.Stream) error {
	const call = "cuMemcpyHtoDAsync"
	if err := d.enterCopy(call, src, s); err != nil {
		return err
	}
	if err := cu.MemcpyHtoDAsync(cu.DevicePtr(dst), unsafe.Pointer(unsafe.SliceData(src)), int64(len(src)), as[cu.Stream](uintptr(s))); err != nil {
		return failed(call, fmt.Sprintf("of %d bytes to %#x", len(src), dst), err)
	}
	return nil
}

func (d *device) MemcpyDtoHAsync(dst []byte, src cuda.Ptr, s cuda.Stream) error {
	const call = "cuMemcpyDtoHAsync"
	if err := d.enterCopy(call, dst, s); err != nil {
		return err
	}
	if err := cu.MemcpyDtoHAsync(unsafe.Pointer(unsafe.SliceData(dst)), cu.DevicePtr(src), int64(len(dst)), as[cu.Stream](uintptr(s))); err != nil {
		return failed(call, fmt.Sprintf("of %d bytes from %#x", len(dst), src), err)
	}
	return nil
}

func (d *device) enterCopy(call string, host []byte, s cuda.Stream) error {
	if err := d.enter(call, handle{streamKind, uintptr(s)}); err != nil {
		return err
	}
	if len(host) == 0 || !d.isPinned(host) {
		return refused(call, fmt.Sprintf("of %d bytes that are not page-locked", len(host)), cuda.ErrInvalidValue)
	}
	return nil
}

func (d *device) MemsetD8Async(dst cuda.Ptr, value byte, size int64, s cuda.Stream) error {
	const call = "cuMemsetD8Async"
	if err := d.enter(call, handle{streamKind, uintptr(s)}); err != nil {
		return err
	}
	if err := cu.MemsetD8Async(cu.DevicePtr(dst), value, size, as[cu.Stream](uintptr(s))); err != nil {
		return failed(call, fmt.Sprintf("of %d bytes at %#x", size, dst), err)
	}
	return nil
}
