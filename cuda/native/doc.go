// Package native is the CUDA driver as a cuda.Driver: gorgonia.org/cu over libcuda.so.1, and the driver's entry points
// that gorgonia lacks (page-locked memory, capture and graphs, the limit of dynamic shared memory, the compiler's log)
// in cgo of its own. Package lt beside it is cublasLt, package nvml the monitor, package fake the entry points over any
// other driver, so that all of this is tested without a GPU.
//
// # Building
//
// Everything here has the build constraint "cuda && cgo && linux && (amd64 || arm64)"; without the tag the packages are
// empty. A build with the tag needs a C compiler and Go, no toolkit: gorgonia finds include/cuda.h, the project's own
// description of the binary interface, and lib/libcuda.a, an empty archive, through two variables with absolute paths:
//
//	CGO_CFLAGS="-g -O2 -I$PWD/cuda/native/include -DVITH_CUDA_H_SUM=$(sha256sum cuda/native/include/cuda.h | cut -c1-12)"
//	CGO_LDFLAGS="-g -O2 -Wl,-z,lazy -L$PWD/cuda/native/lib"
//	go build -tags cuda ./cmd/vith
//
// The sum is in the variable because Go's build cache does not look into headers outside of a package, and -z lazy
// because go-nvml leaves functions undefined that it loads later, which some distributions' compilers would not. Package
// internal/shim tells how the program finds the driver when it runs.
//
// # Testing
//
//	go test -tags cuda ./cuda/native/...                                 on package emu, behind the C entry points
//	go test -tags cuda,gpu -run GPU ./cuda/native                        the same contract on a GPU
//	CUDA_INCLUDE=FOLDER go test -tags cudaheader -run Header ./cuda/native   include/cuda.h against NVIDIA's
//
// # Contexts and threads
//
// A Device's methods check that its context is current on the calling thread, and that the handles they are given are
// alive, and refuse with CUDA_ERROR_INVALID_CONTEXT and CUDA_ERROR_INVALID_HANDLE what the driver would leave undefined.
package native
