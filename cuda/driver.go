// Package cuda runs programs on NVIDIA GPUs: device memory, modules, graphs and cuBLAS behind two small interfaces of
// plain values, Driver and Blas, and on top of them a kernels.Backend.
//
// Nothing here needs a CUDA toolkit or cgo. Package native implements the interfaces on the real driver, which it finds
// at run time; package emu implements them on an interpreter of PTX, stricter than hardware, for tests on any machine.
// Package drivertest is the contract of both.
//
// Method names are those of the driver API without its prefix, and a method's comment names the functions behind it;
// their documentation is the CUDA Driver API reference manual's.
package cuda

import (
	"fmt"

	"vith/kernels"
)

// A Ptr is an address in device memory.
type Ptr uint64

// Handles of a driver's objects. Zero is none; a Stream of zero is not the default stream but an error.
type (
	Stream   uintptr
	Event    uintptr
	Module   uintptr
	Function uintptr
	Graph    uintptr
	Exec     uintptr // an instantiated graph
)

// A Driver is a CUDA driver. Its methods may be called concurrently, and values of it compared.
type Driver interface {
	// Version is the newest CUDA version that the driver supports: 1000·major + 10·minor. cuDriverGetVersion.
	Version() (int, error)
	// Devices lists the GPUs, MIG instances that are visible included, in the driver's order.
	Devices() ([]DeviceInfo, error)
	// Open retains the primary context of a device. cuDevicePrimaryCtxRetain.
	Open(ordinal int) (Device, error)
}

// A DeviceInfo describes a GPU.
type DeviceInfo struct {
	Ordinal        int
	Name           string // "NVIDIA H200"
	UUID           string // "GPU-…" or "MIG-…", as nvidia-smi -L prints it
	Capability     int    // compute capability: 10·major + minor
	SMs            int    // multiprocessors
	Memory         int64  // bytes
	SharedPerBlock int    // bytes that a block may ask for, by SetMaxDynamicShared
	L2             int    // bytes
	ClockKHz       int
	MemoryClockKHz int
	MemoryBusBits  int
}

// A Device is an open GPU. Its methods act in the device's context and belong on one OS thread: the goroutine locks
// itself to its thread and calls SetCurrent first. They are not safe for concurrent use, but for EventSynchronize: a
// second thread, on which SetCurrent was called, may wait there while the first goes on.
//
// Copies and launches return when they are queued, unless said otherwise; memory given to them must stay valid until
// their stream has passed them. After an error that Sticky reports, every further call fails alike.
type Device interface {
	Info() DeviceInfo

	// SetCurrent binds the context to the calling thread. cuCtxSetCurrent.
	SetCurrent() error
	// Close waits for all work and releases the context. Its objects die with it. cuDevicePrimaryCtxRelease.
	Close() error

	// MemGetInfo is the device's memory in bytes. cuMemGetInfo.
	MemGetInfo() (free, total int64, err error)
	// MemAlloc allocates device memory at a multiple of 256 bytes. cuMemAlloc, cuMemFree.
	MemAlloc(size int64) (Ptr, error)
	MemFree(p Ptr) error
	// MemHostAlloc allocates page-locked host memory, outside of Go's heap. cuMemHostAlloc, cuMemFreeHost.
	MemHostAlloc(size int) ([]byte, error)
	MemFreeHost(b []byte) error

	// MemcpyHtoDAsync and MemcpyDtoHAsync copy len(src) or len(dst) bytes of page-locked memory.
	MemcpyHtoDAsync(dst Ptr, src []byte, s Stream) error
	MemcpyDtoHAsync(dst []byte, src Ptr, s Stream) error
	// MemsetD8Async sets size bytes.
	MemsetD8Async(dst Ptr, value byte, size int64, s Stream) error

	// ModuleLoadData compiles PTX for the device. The compiler's log is part of the error. cuModuleLoadDataEx.
	ModuleLoadData(ptx string) (Module, error)
	ModuleUnload(m Module) error
	// ModuleGetFunction finds an entry point. cuModuleGetFunction.
	ModuleGetFunction(m Module, name string) (Function, error)
	// FuncAttributes are what the compiler made of a function. cuFuncGetAttribute.
	FuncAttributes(f Function) (FuncAttributes, error)
	// SetMaxDynamicShared allows launches of f with that many bytes of dynamic shared memory; above 48 KiB it is needed.
	// cuFuncSetAttribute.
	SetMaxDynamicShared(f Function, size int) error
	// LaunchKernel queues a launch. A parameter is 8 bytes, of which the kernel reads as many as it declares; params is
	// not kept. cuLaunchKernel.
	LaunchKernel(f Function, grid, block [3]int, shared int, s Stream, params []uint64) error

	// StreamCreate makes a stream that does not wait for the default one. cuStreamCreate(CU_STREAM_NON_BLOCKING).
	StreamCreate() (Stream, error)
	StreamDestroy(s Stream) error
	// StreamSynchronize waits until the stream is empty and returns what went wrong in it.
	StreamSynchronize(s Stream) error
	// StreamWaitEvent makes later work of s wait for e.
	StreamWaitEvent(s Stream, e Event) error

	// EventCreate makes an event; only with timing may it be given to EventElapsedTime.
	EventCreate(timing bool) (Event, error)
	EventDestroy(e Event) error
	EventRecord(e Event, s Stream) error
	EventSynchronize(e Event) error
	// EventElapsedTime is the time between two recorded events in milliseconds.
	EventElapsedTime(start, end Event) (float32, error)

	// StreamBeginCapture starts to record the work given to s instead of running it, StreamEndCapture returns it.
	// cuStreamBeginCapture(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).
	StreamBeginCapture(s Stream) error
	StreamEndCapture(s Stream) (Graph, error)
	GraphDestroy(g Graph) error
	// GraphInstantiate makes a graph executable, GraphUpload places it on the device, GraphLaunch queues it.
	GraphInstantiate(g Graph) (Exec, error)
	GraphExecDestroy(e Exec) error
	GraphUpload(e Exec, s Stream) error
	GraphLaunch(e Exec, s Stream) error
}

// FuncAttributes are a function's needs.
type FuncAttributes struct {
	Registers  int // of a thread
	Local      int // bytes of local memory of a thread: spills, if the kernel declares none
	Shared     int // bytes of static shared memory
	MaxThreads int // of a block
	PTX        int // version of the text, 10·major + minor
	Binary     int // version that it was compiled for
}

// A Status is what a driver call returned. It is an error unless it is Success.
type Status int

// Statuses that the project tells apart. Others have a number and, from the driver, a name.
const (
	Success              Status = 0
	ErrInvalidValue      Status = 1
	ErrOutOfMemory       Status = 2
	ErrNotInitialized    Status = 3
	ErrDeinitialized     Status = 4
	ErrNoDevice          Status = 100
	ErrInvalidDevice     Status = 101
	ErrInvalidContext    Status = 201
	ErrECCUncorrectable  Status = 214
	ErrInvalidPTX        Status = 218
	ErrUnsupportedPTX    Status = 222
	ErrInvalidHandle     Status = 400
	ErrNotFound          Status = 500
	ErrNotReady          Status = 600
	ErrIllegalAddress    Status = 700
	ErrLaunchResources   Status = 701
	ErrLaunchTimeout     Status = 702
	ErrMisalignedAddress Status = 716
	ErrLaunchFailed      Status = 719
	ErrNotSupported      Status = 801
	ErrUnknown           Status = 999
)

var statusNames = map[Status]string{
	ErrInvalidValue: "CUDA_ERROR_INVALID_VALUE", ErrOutOfMemory: "CUDA_ERROR_OUT_OF_MEMORY",
	ErrNotInitialized: "CUDA_ERROR_NOT_INITIALIZED", ErrDeinitialized: "CUDA_ERROR_DEINITIALIZED",
	ErrNoDevice: "CUDA_ERROR_NO_DEVICE", ErrInvalidDevice: "CUDA_ERROR_INVALID_DEVICE",
	ErrInvalidContext: "CUDA_ERROR_INVALID_CONTEXT", ErrECCUncorrectable: "CUDA_ERROR_ECC_UNCORRECTABLE",
	ErrInvalidPTX: "CUDA_ERROR_INVALID_PTX", ErrUnsupportedPTX: "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
	ErrInvalidHandle: "CUDA_ERROR_INVALID_HANDLE", ErrNotFound: "CUDA_ERROR_NOT_FOUND", ErrNotReady: "CUDA_ERROR_NOT_READY",
	ErrIllegalAddress: "CUDA_ERROR_ILLEGAL_ADDRESS", ErrLaunchResources: "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
	ErrLaunchTimeout: "CUDA_ERROR_LAUNCH_TIMEOUT", ErrMisalignedAddress: "CUDA_ERROR_MISALIGNED_ADDRESS",
	ErrLaunchFailed: "CUDA_ERROR_LAUNCH_FAILED", ErrNotSupported: "CUDA_ERROR_NOT_SUPPORTED", ErrUnknown: "CUDA_ERROR_UNKNOWN",
}

// Error is the status's name as the driver API spells it.
func (s Status) Error() string {
	if name := statusNames[s]; name != "" {
		return name
	}
	return fmt.Sprintf("CUDA error %d", int(s))
}

// Sticky reports whether the status leaves the context unusable: every later call in it fails, and only a new process
// ends that. On an H100 with driver 580, a primary context that was released after an illegal address could not be had
// again.
func (s Status) Sticky() bool {
	switch s {
	case ErrECCUncorrectable, ErrIllegalAddress, ErrLaunchTimeout, ErrMisalignedAddress, ErrLaunchFailed, ErrUnknown,
		714, 715, 717, 718: // hardware stack error, illegal instruction, invalid address space, invalid PC
		return true
	}
	return false
}

// Is makes ErrOutOfMemory a kernels.ErrOutOfMemory.
func (s Status) Is(target error) bool { return s == ErrOutOfMemory && target == kernels.ErrOutOfMemory }

// A CallError is a driver call that failed.
type CallError struct {
	Call   string // "cuLaunchKernel"
	Detail string // what with: a kernel and its geometry, a size; the compiler's log
	Name   string // the library's own name of the status, if it told one
	Status Status
}

func (e *CallError) Error() string {
	name := e.Name
	if name == "" {
		name = e.Status.Error()
	}
	if e.Detail == "" {
		return fmt.Sprintf("cuda: %s: %s", e.Call, name)
	}
	return fmt.Sprintf("cuda: %s %s: %s", e.Call, e.Detail, name)
}

func (e *CallError) Unwrap() error { return e.Status }
