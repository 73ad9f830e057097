//go:build cuda && cgo && linux && (amd64 || arm64)

package native

/*
#include <cuda.h>
#include "driver.h"
*/
import "C"

import (
	"fmt"
	"math"
	"strings"
	"unsafe"

	"gorgonia.org/cu"

	"vith/cuda"
	"vith/kernels/ptx"
)

// logSize is how much of the compiler's log an error shows, in bytes.
const logSize = 4096

func (d *device) ModuleLoadData(text string) (cuda.Module, error) {
	const call = "cuModuleLoadDataEx"
	if err := d.enter(call); err != nil {
		return 0, err
	}
	if strings.IndexByte(text, 0) >= 0 {
		return 0, refused(call, "of text with a zero byte", cuda.ErrInvalidPTX)
	}
	image := C.CString(text)
	defer C.free(unsafe.Pointer(image))
	log := (*C.char)(C.malloc(logSize))
	defer C.free(unsafe.Pointer(log))
	var m C.CUmodule
	if s := cuda.Status(C.native_load(&m, image, log, logSize)); s != cuda.Success {
		return 0, refused(call, fmt.Sprintf("of %d bytes of PTX (%s)", len(text), strings.TrimSpace(C.GoString(log))), s)
	}
	d.made(handle{moduleKind, from(m)}, object{params: parameters(text)})
	return cuda.Module(from(m)), nil
}

// parameters counts the parameters of a text's functions. It knows none of a text that only the driver understands.
func parameters(text string) map[string]int {
	form, err := ptx.Parse(text)
	if err != nil {
		return nil
	}
	n := map[string]int{}
	for _, k := range form.Kernels {
		n[k.Name] = len(k.Params)
	}
	return n
}

func (d *device) ModuleUnload(m cuda.Module) error {
	const call = "cuModuleUnload"
	if err := d.enter(call, handle{moduleKind, uintptr(m)}); err != nil {
		return err
	}
	d.ended(handle{moduleKind, uintptr(m)})
	return failed(call, "", as[cu.Module](uintptr(m)).Unload())
}

func (d *device) ModuleGetFunction(m cuda.Module, name string) (cuda.Function, error) {
	const call = "cuModuleGetFunction"
	if err := d.enter(call, handle{moduleKind, uintptr(m)}); err != nil {
		return 0, err
	}
	f, err := as[cu.Module](uintptr(m)).Function(name)
	if err != nil {
		return 0, failed(call, name, err)
	}
	d.made(handle{functionKind, from(f)}, object{name: name, module: handle{moduleKind, uintptr(m)}})
	return cuda.Function(from(f)), nil
}

func (d *device) FuncAttributes(f cuda.Function) (a cuda.FuncAttributes, err error) {
	const call = "cuFuncGetAttribute"
	if err := d.enter(call, handle{functionKind, uintptr(f)}); err != nil {
		return a, err
	}
	fn := as[cu.Function](uintptr(f))
	for _, attribute := range []struct {
		of    cu.FunctionAttribute
		value *int
	}{
		{cu.NumRegs, &a.Registers}, {cu.LocalSizeBytes, &a.Local}, {cu.SharedSizeBytes, &a.Shared},
		{cu.FnMaxThreadsPerBlock, &a.MaxThreads}, {cu.PtxVersion, &a.PTX}, {cu.BinaryVersion, &a.Binary},
	} {
		if *attribute.value, err = fn.Attribute(attribute.of); err != nil {
			return a, failed(call, fmt.Sprintf("%d of %s", attribute.of, d.about(handle{functionKind, uintptr(f)}).name), err)
		}
	}
	return a, nil
}

func (d *device) SetMaxDynamicShared(f cuda.Function, size int) error {
	const call = "cuFuncSetAttribute"
	if err := d.enter(call, handle{functionKind, uintptr(f)}); err != nil {
		return err
	}
	status := cuda.ErrInvalidValue
	if size >= 0 && size <= math.MaxInt32 {
		status = cuda.Status(C.cuFuncSetAttribute(as[C.CUfunction](uintptr(f)), C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, C.int(size)))
	}
	if status != cuda.Success {
		return refused(call, fmt.Sprintf("of %d bytes of dynamic shared memory of %s", size, d.about(handle{functionKind, uintptr(f)}).name), status)
	}
	return nil
}

func (d *device) LaunchKernel(f cuda.Function, grid, block [3]int, shared int, s cuda.Stream, params []uint64) error {
	const call = "cuLaunchKernel"
	if err := d.enter(call, handle{functionKind, uintptr(f)}, handle{streamKind, uintptr(s)}); err != nil {
		return err
	}
	fn := d.about(handle{functionKind, uintptr(f)})
	refuse := func(err error, why string) error {
		return failed(call, fmt.Sprintf("%s grid %v block %v shared %d%s", fn.name, grid, block, shared, why), err)
	}
	if !fits(grid[0], grid[1], grid[2], block[0], block[1], block[2], shared+1) {
		return refuse(cu.InvalidValue, "")
	}
	// The driver would read as many as the kernel has, whatever it was given.
	if n, known := d.about(fn.module).params[fn.name]; known && n != len(params) {
		return refuse(cu.InvalidValue, fmt.Sprintf(" with %d parameters of %d", len(params), n))
	}
	pointers := make([]unsafe.Pointer, 0, 64) // on the stack
	for i := range params {
		pointers = append(pointers, unsafe.Pointer(&params[i]))
	}
	err := as[cu.Function](uintptr(f)).Launch(grid[0], grid[1], grid[2], block[0], block[1], block[2], shared, as[cu.Stream](uintptr(s)), pointers)
	if err != nil {
		return refuse(err, "")
	}
	return nil
}

// fits reports whether all numbers are positive and stay so in 32 bits.
func fits(numbers ...int) bool {
	for _, n := range numbers {
		if n <= 0 || n > math.MaxInt32 {
			return false
		}
	}
	return true
}
