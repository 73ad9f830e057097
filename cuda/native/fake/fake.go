//go:build cuda && cgo && linux && (amd64 || arm64)

package fake

/*
#cgo CFLAGS: -I${SRCDIR}/../include
#include "table.h"
*/
import "C"

import (
	"errors"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"vith/cuda"
	"vith/cuda/native/internal/shim"
	"vith/cuda/native/lt"
)

// Options choose what stands behind the entry points.
type Options struct {
	// Blas opens what is behind cublasLt; nil: the library stays as it is.
	Blas func(cuda.Device) (cuda.Blas, error)
	// Lacking are entry points that the driver does not have, as an old one.
	Lacking []string
}

// Install puts a driver behind the entry points of the process, until remove is called: then nothing of it may be in use.
// native.Open opens it as if it were the machine's. An error says that the process has a driver.
func Install(d cuda.Driver, o Options) (remove func(), err error) {
	w := &world{
		driver: d, blas: o.Blas, objects: map[unsafe.Pointer]any{}, contexts: map[int]*context{}, current: map[int]*context{},
		pinned: map[unsafe.Pointer]*pinned{}, names: map[cuda.Status]*C.char{},
	}
	var entries *C.fake_entry
	n := C.fake_driver(&entries)
	functions := table(n, entries)
	for _, name := range o.Lacking {
		functions[name] = nil
	}
	if err := shim.Bind(functions); err != nil {
		return nil, err
	}
	if o.Blas != nil {
		n := C.fake_blas(&entries)
		if err := lt.Bind(table(n, entries)); err != nil {
			shim.Unbind()
			return nil, err
		}
	}
	installed = w
	return func() {
		shim.Unbind()
		if o.Blas != nil {
			lt.Unbind()
		}
		w.free()
	}, nil
}

// table makes a map of n entries.
func table(n C.int, entries *C.fake_entry) map[string]unsafe.Pointer {
	functions := map[string]unsafe.Pointer{}
	for _, e := range unsafe.Slice(entries, n) {
		functions[C.GoString(e.name)] = e.function
	}
	return functions
}

// installed is what the entry points serve. It is set before they are bound, and they have one set at a time.
var installed *world

// A world is a driver with what the C interface adds to it.
type world struct {
	driver cuda.Driver
	blas   func(cuda.Device) (cuda.Blas, error)

	mu       sync.Mutex
	objects  map[unsafe.Pointer]any // by handle: a cuda.Stream, an *lt descriptor, …
	contexts map[int]*context       // by device
	current  map[int]*context       // by thread
	pinned   map[unsafe.Pointer]*pinned
	names    map[cuda.Status]*C.char
}

// A context is a device that is retained.
type context struct {
	handle  unsafe.Pointer
	device  cuda.Device
	retains int
}

// pinned is page-locked memory, which the driver may have taken from Go.
type pinned struct {
	bytes []byte
	pin   runtime.Pinner
}

// add makes the handle of an object.
func (w *world) add(object any) unsafe.Pointer {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := C.malloc(1)
	w.objects[h] = object
	return h
}

// drop ends a handle.
func (w *world) drop(h unsafe.Pointer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.objects, h)
	C.free(h)
}

// object returns what a handle stands for, if that is a T.
func object[T any](w *world, h unsafe.Pointer) (T, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, ok := w.objects[h].(T)
	return o, ok
}

// currentContext is the thread's, or nil.
func (w *world) currentContext() *context {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current[syscall.Gettid()]
}

// free releases what the C interface was given.
func (w *world) free() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.pinned {
		p.pin.Unpin()
	}
	for h := range w.objects {
		C.free(h)
	}
	for _, name := range w.names {
		C.free(unsafe.Pointer(name))
	}
}

// result is an error as the driver returns it.
func result(err error) C.CUresult {
	if err == nil {
		return C.CUDA_SUCCESS
	}
	if call, ok := errors.AsType[*cuda.CallError](err); ok {
		return C.CUresult(call.Status)
	}
	return C.CUDA_ERROR_UNKNOWN
}

// onDevice runs a call on the current context's device.
func onDevice(call func(cuda.Device) error) C.CUresult {
	c := installed.currentContext()
	if c == nil {
		return C.CUDA_ERROR_INVALID_CONTEXT
	}
	return result(call(c.device))
}

// with runs a call with the object of a handle.
func with[T any](h unsafe.Pointer, call func(cuda.Device, T) error) C.CUresult {
	o, ok := object[T](installed, h)
	if !ok {
		return C.CUDA_ERROR_INVALID_HANDLE
	}
	return onDevice(func(d cuda.Device) error { return call(d, o) })
}

// with2 runs a call with the objects of two handles.
func with2[A, B any](a, b unsafe.Pointer, call func(cuda.Device, A, B) error) C.CUresult {
	return with(a, func(d cuda.Device, x A) error {
		y, ok := object[B](installed, b)
		if !ok {
			return cuda.ErrInvalidHandle
		}
		return call(d, x, y)
	})
}

// creates runs a call that makes an object, and stores its handle.
func creates[T any](handle *unsafe.Pointer, call func(cuda.Device) (T, error)) C.CUresult {
	return onDevice(func(d cuda.Device) error {
		o, err := call(d)
		if err == nil {
			*handle = installed.add(o)
		}
		return err
	})
}

// destroys runs a call that ends an object, and ends its handle, whatever the call returns.
func destroys[T any](h unsafe.Pointer, call func(cuda.Device, T) error) C.CUresult {
	return with(h, func(d cuda.Device, o T) error {
		err := call(d, o)
		installed.drop(h)
		return err
	})
}
