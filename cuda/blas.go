package cuda

import "vith/kernels/tensor"

// A Blas is cublasLt on one device. Its methods belong on the device's thread, like the Device's.
type Blas interface {
	// Version is the library's, 10000·major + 100·minor + patch. cublasLtGetVersion.
	Version() int
	// Heuristics returns up to max algorithms for a product, the library's favourite first, that need at most workspace
	// bytes. Schemes that reduce in the output itself are left out, since they round in its type. An empty list means
	// that the library has none. cublasLtMatmulAlgoGetHeuristic.
	Heuristics(m Matmul, workspace int64, max int) ([]Algorithm, error)
	// Matmul queues a product. cublasLtMatmul.
	Matmul(m Matmul, a Algorithm, x, w, bias, c, y Ptr, workspace Ptr, s Stream) error
	Close() error
}

// A Matmul is y = epilogue(alpha·x·wᵀ + bias) + beta·c, row-major: x [M, K], w [N, K], bias [N], c and y [M, N], with
// the distance between rows in elements. To the library, which counts columns first, it is yᵀ = w·xᵀ: the "TN" form.
// It is comparable: plans and measured choices are keyed by it.
type Matmul struct {
	M, N, K                int
	Type                   tensor.DType // of x and w
	Out                    tensor.DType // of c and y
	TF32                   bool         // multiply float32 with the rounding of tf32
	PitchX, PitchC, PitchY int          // elements from a row to the next; w's rows are K apart
	Alpha, Beta            float32      // Beta is 0 or 1; with 1, c may be y
	Bias                   bool         // float32 for float32 output, else the output's type
	GELUTanh               bool         // the library's GELU is the tanh form
}

// An Algorithm is one way of the library to compute a product.
type Algorithm struct {
	Data      [8]uint64 // cublasLtMatmulAlgo_t, opaque; the same library version can be given it again
	Workspace int64     // bytes that it needs
	Waves     float32   // of blocks over the device, as the library estimates
}
