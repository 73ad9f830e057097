//go:build cuda && cgo && linux && (amd64 || arm64)

package native

/*
#include <cuda.h>
#include "driver.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"maps"
	"unsafe"

	"gorgonia.org/cu"

	"vith/cuda"
)

// failed is the error of a call of gorgonia's, nil if it succeeded.
func failed(call, detail string, err error) error {
	if err == nil {
		return nil
	}
	result := cu.Success
	if !errors.As(err, &result) {
		return fmt.Errorf("cuda: %s %s: %w", call, detail, err)
	}
	return refused(call, detail, cuda.Status(result))
}

// refused is the error of a status, nil if it is Success.
func refused(call, detail string, s cuda.Status) error {
	if s == cuda.Success {
		return nil
	}
	e := &cuda.CallError{Call: call, Detail: detail, Status: s}
	var name *C.char
	if C.cuGetErrorName(C.CUresult(s), &name) == C.CUDA_SUCCESS {
		e.Name = C.GoString(name)
	}
	return e
}

// A handle is an object of the driver's. Copies of it outlive the object: device.live has those that are alive.
type handle struct {
	kind  kind
	value uintptr
}

// A kind is a type of object, as errors name it.
type kind string

const (
	streamKind   kind = "stream"
	eventKind    kind = "event"
	moduleKind   kind = "module"
	functionKind kind = "function"
	graphKind    kind = "graph"
	execKind     kind = "executable graph"
)

// An object is what a device knows about a handle that is alive.
type object struct {
	params map[string]int // a module's functions, and how many parameters each has

	name   string // a function's
	module handle // that a function is in
}

// as gives a handle the type that gorgonia or cgo has for it: a struct of one pointer, or a pointer.
func as[T any](value uintptr) T { return *(*T)(unsafe.Pointer(&value)) }

// from is the inverse of as.
func from[T any](x T) uintptr { return *(*uintptr)(unsafe.Pointer(&x)) }

// Gorgonia's types are as wide as a pointer.
var _ = [1]struct{}{}[unsafe.Sizeof(cu.CUContext{})|unsafe.Sizeof(cu.Module{})|unsafe.Sizeof(cu.Function{})|
	unsafe.Sizeof(cu.Stream{})|unsafe.Sizeof(cu.Event{})-unsafe.Sizeof(uintptr(0))]

// enter begins every method of a device: it refuses a call while the device's context is not the thread's, or with a
// handle that is not alive.
func (d *device) enter(call string, handles ...handle) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if current := C.native_current(); current == nil || from(current) != from(d.ctx) {
		return &cuda.CallError{Call: call, Status: cuda.ErrInvalidContext,
			Detail: fmt.Sprintf("while the context of device %d is not current on this thread", d.info.Ordinal)}
	}
	for _, h := range handles {
		if _, alive := d.live[h]; !alive {
			return &cuda.CallError{Call: call, Status: cuda.ErrInvalidHandle, Detail: fmt.Sprintf("of no %s: %#x", h.kind, h.value)}
		}
	}
	return nil
}

// made notes a new object.
func (d *device) made(h handle, o object) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.live[h] = o
}

// ended forgets an object, a module's functions too.
func (d *device) ended(h handle) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.live, h)
	if h.kind == moduleKind {
		maps.DeleteFunc(d.live, func(_ handle, o object) bool { return o.module == h })
	}
}

// about is what is known of an object.
func (d *device) about(h handle) object {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.live[h]
}
