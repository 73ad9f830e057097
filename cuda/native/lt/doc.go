// Package lt is cublasLt as a cuda.Blas: matrix products of NVIDIA's library, found at run time by Open. No header of it
// is needed to build.
//
// A product y = x·wᵀ of row-major matrices is, to a library that stores columns first, yᵀ = w·xᵀ: its first operand is
// w, transposed, its second x, neither copied. The bias then runs along the library's rows, as its epilogue wants it.
package lt
