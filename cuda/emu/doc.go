// Package emu is a CUDA driver and a cublasLt without a GPU: kernels run on package ptxsim, products in Go. It is for
// tests, and stricter than hardware.
//
//	driver := emu.New(emu.Options{})
//	device, err := driver.Open(0)
//	...
//	err = device.Close()
//	err = driver.Leaks()
//
// # Work
//
// A stream is a queue. Work in it runs as soon as it is given, or, with Options.Lazy, only when the host waits for it:
// then a seed decides which of the streams that could go on does. Both are legal on hardware, and a program that is right
// under one only waits too little. A copy to the host fills its destination with rubbish when it is queued.
//
// # Faults
//
// What a kernel does wrong is a *ptxsim.Fault; see that package. Besides, these end a device, as an illegal address does
// on hardware:
//
//   - a copy or a product that reads bytes which were never written, or leaves its buffer;
//   - two accesses of different streams to the same memory, one of them writing, that no event orders. A kernel is taken
//     to write the allocation or region that each of its parameters points into;
//   - page-locked memory that changes between the call of a copy to the device and the copy;
//   - a region that is declared where another one lives.
//
// Refused, where hardware may accept them: asynchronous copies of memory that is not page-locked, a launch with another
// number of parameters than the kernel declares, calls on a thread without the context, handles that were destroyed,
// waiting or allocating during a capture.
//
// # Regions
//
// A Device is a cuda.Debugger. Once a region is declared in an allocation, only its regions are mapped.
package emu
