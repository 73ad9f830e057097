// Package fake puts any cuda.Driver behind the C entry points of the CUDA driver, and any cuda.Blas behind cublasLt's: so
// gorgonia's code, package native and package lt run in tests as they do on a GPU, on an emulator. It is for tests; a
// program never has it.
//
// It adds what belongs to the C interface: handles are addresses of C memory, of one type each; a thread has a current
// context, without which calls fail; attributes of cublasLt's descriptors have their exact sizes.
package fake
