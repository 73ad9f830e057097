// Package shim is the CUDA driver library as a program without it sees it: one trampoline for each entry point, which
// jumps to where a slot points. Load fills the slots from the library that it finds at run time; so a program links
// without a toolkit and starts without a driver.
//
// gorgonia.org/cu links with -lcuda and calls cuInit in a package initialiser, ending the process on an error. The first
// is satisfied by the empty archive in ../../lib, which the build puts first on the linker's path, and the second by
// what the slots hold at the start: cuInit succeeds, there are no devices, and every other call returns
// CUDA_ERROR_NOT_INITIALIZED. The library's own cuInit is called by Load, where its result can be returned.
//
// The slots belong to the process: one driver is bound at a time.
package shim
