//go:build cuda && cgo && linux && (amd64 || arm64)

package fake

/*
#include "table.h"
*/
import "C"

import (
	"errors"
	"unsafe"

	"vith/cuda"
	"vith/kernels/ptx"
)

// A module is a loaded text. The C interface does not say how many parameters a launch has: the function's form does.
type module struct {
	cuda.Module
	form *ptx.Module
}

// A function is an entry point of a module.
type function struct {
	cuda.Function
	params int
}

//export fake_cuModuleLoadDataEx
func fake_cuModuleLoadDataEx(handle *C.CUmodule, image unsafe.Pointer, n C.uint, options *C.CUjit_option, values *unsafe.Pointer) C.CUresult {
	text := C.GoString((*C.char)(image))
	return creates((*unsafe.Pointer)(unsafe.Pointer(handle)), func(d cuda.Device) (m module, err error) {
		m.Module, err = d.ModuleLoadData(text)
		if err != nil {
			log(err, unsafe.Slice(options, n), unsafe.Slice((*uintptr)(unsafe.Pointer(values)), n))
			return m, err
		}
		m.form, err = ptx.Parse(text)
		return m, err
	})
}

// log writes what an error says into the buffer that the options name.
func log(err error, options []C.CUjit_option, values []uintptr) {
	var buffer *byte
	var size uintptr
	for i, option := range options {
		switch option {
		case C.CU_JIT_ERROR_LOG_BUFFER:
			buffer = *(**byte)(unsafe.Pointer(&values[i]))
		case C.CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
			size = values[i]
		}
	}
	if call, ok := errors.AsType[*cuda.CallError](err); ok && buffer != nil && size > 0 {
		dst := unsafe.Slice(buffer, size)
		dst[copy(dst[:size-1], call.Detail)] = 0
	}
}

//export fake_cuModuleUnload
func fake_cuModuleUnload(h C.CUmodule) C.CUresult {
	return destroys(unsafe.Pointer(h), func(d cuda.Device, m module) error { return d.ModuleUnload(m.Module) })
}

//export fake_cuModuleGetFunction
func fake_cuModuleGetFunction(handle *C.CUfunction, h C.CUmodule, name *C.char) C.CUresult {
	return with(unsafe.Pointer(h), func(d cuda.Device, m module) error {
		f, err := d.ModuleGetFunction(m.Module, C.GoString(name))
		if err == nil {
			*handle = C.CUfunction(installed.add(function{f, len(m.form.Kernel(C.GoString(name)).Params)}))
		}
		return err
	})
}

//export fake_cuFuncGetAttribute
func fake_cuFuncGetAttribute(value *C.int, attribute C.CUfunction_attribute, h C.CUfunction) C.CUresult {
	return with(unsafe.Pointer(h), func(d cuda.Device, f function) error {
		a, err := d.FuncAttributes(f.Function)
		if err != nil {
			return err
		}
		values := map[C.CUfunction_attribute]int{
			C.CU_FUNC_ATTRIBUTE_NUM_REGS:              a.Registers,
			C.CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:      a.Local,
			C.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:     a.Shared,
			C.CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: a.MaxThreads,
			C.CU_FUNC_ATTRIBUTE_PTX_VERSION:           a.PTX,
			C.CU_FUNC_ATTRIBUTE_BINARY_VERSION:        a.Binary,
		}
		v, known := values[attribute]
		if !known {
			return &cuda.CallError{Status: cuda.ErrInvalidValue}
		}
		*value = C.int(v)
		return nil
	})
}

//export fake_cuFuncSetAttribute
func fake_cuFuncSetAttribute(h C.CUfunction, attribute C.CUfunction_attribute, value C.int) C.CUresult {
	if attribute != C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES {
		return C.CUDA_ERROR_INVALID_VALUE
	}
	return with(unsafe.Pointer(h), func(d cuda.Device, f function) error { return d.SetMaxDynamicShared(f.Function, int(value)) })
}

//export fake_cuLaunchKernel
func fake_cuLaunchKernel(h C.CUfunction, gridX, gridY, gridZ, blockX, blockY, blockZ, shared C.uint, sh C.CUstream, params, extra *unsafe.Pointer) C.CUresult {
	if extra != nil {
		return C.CUDA_ERROR_INVALID_VALUE
	}
	return with2(unsafe.Pointer(h), unsafe.Pointer(sh), func(d cuda.Device, f function, s cuda.Stream) error {
		values := make([]uint64, f.params)
		for i, p := range unsafe.Slice(params, f.params) {
			values[i] = *(*uint64)(p)
		}
		return d.LaunchKernel(f.Function, [3]int{int(gridX), int(gridY), int(gridZ)}, [3]int{int(blockX), int(blockY), int(blockZ)},
			int(shared), s, values)
	})
}
