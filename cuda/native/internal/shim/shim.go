//go:build cuda && cgo && linux && (amd64 || arm64)

package shim

/*
#cgo CFLAGS: -I${SRCDIR}/../../include
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"
)

// An InitError is what the library's cuInit returned.
type InitError struct {
	Result int
	Name   string // CUDA_ERROR_NO_DEVICE
}

func (e *InitError) Error() string { return fmt.Sprintf("cuInit: %s (%d)", e.Name, e.Result) }

var (
	mu    sync.Mutex
	bound bool // a driver's functions are in the slots
)

// Load opens a driver library, initialises it and binds its entry points, unless a driver is bound already. An error that
// is no *InitError says why the library cannot be opened.
func Load(path string) error {
	mu.Lock()
	defer mu.Unlock()
	if bound {
		return nil
	}
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	var result C.int
	var message [256]C.char
	switch C.shim_load(p, &result, &message[0], C.size_t(len(message))) {
	case C.SHIM_LOADED:
		bound = true
		return nil
	case C.SHIM_INIT_FAILED:
		return &InitError{Result: int(result), Name: C.GoString(&message[0])}
	}
	return errors.New(C.GoString(&message[0]))
}

// Bind binds C functions in place of a library's, by the names of their entry points. A nil one is lacking, as some are
// in an old driver.
func Bind(functions map[string]unsafe.Pointer) error {
	mu.Lock()
	defer mu.Unlock()
	if bound {
		return errors.New("shim: a driver is bound already")
	}
	for name, function := range functions {
		n := C.CString(name)
		known := C.shim_bind(n, function)
		C.free(unsafe.Pointer(n))
		if known == 0 {
			C.shim_unbind()
			return fmt.Errorf("shim: no entry point %s", name)
		}
	}
	bound = true
	return nil
}

// Unbind forgets the driver: all is as before Load. Nothing of it may be in use, and a library that was loaded stays in
// memory.
func Unbind() {
	mu.Lock()
	defer mu.Unlock()
	C.shim_unbind()
	bound = false
}
