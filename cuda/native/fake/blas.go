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
	"vith/kernels/tensor"
)

// What the library's descriptors hold.
type (
	desc struct {
		compute, transA, epilogue C.int
		bias                      C.uint64_t
	}
	layout struct {
		dtype         C.int
		rows, columns C.uint64_t
		pitch         C.int64_t
	}
	preference struct {
		workspace C.uint64_t
		reduction C.uint32_t
		alignment [4]C.uint32_t
	}
)

// status is an error as cublasLt returns it.
func status(err error) C.lt_status {
	switch {
	case err == nil:
		return C.LT_STATUS_SUCCESS
	case errors.Is(err, cuda.ErrOutOfMemory):
		return C.LT_STATUS_ALLOC_FAILED
	case errors.Is(err, cuda.ErrInvalidValue):
		return C.LT_STATUS_INVALID_VALUE
	case errors.Is(err, cuda.ErrNotSupported):
		return C.LT_STATUS_NOT_SUPPORTED
	case errors.Is(err, cuda.ErrNotInitialized):
		return C.LT_STATUS_NOT_INITIALIZED
	}
	return C.LT_STATUS_EXECUTION_FAILED
}

// made stores the handle of a new object.
func made(handle *C.lt_object, o any) C.lt_status {
	*handle = C.lt_object(installed.add(o))
	return C.LT_STATUS_SUCCESS
}

// ended drops the handle of a T.
func ended[T any](h C.lt_object) C.lt_status {
	if _, ok := object[T](installed, unsafe.Pointer(h)); !ok {
		return C.LT_STATUS_INVALID_VALUE
	}
	installed.drop(unsafe.Pointer(h))
	return C.LT_STATUS_SUCCESS
}

// set stores an attribute of T in the field that has the type of its value, and refuses other sizes.
func set[V, T any](h C.lt_object, value unsafe.Pointer, size C.size_t, field func(*T) *V) C.lt_status {
	o, ok := object[*T](installed, unsafe.Pointer(h))
	if !ok || uintptr(size) != unsafe.Sizeof(*field(o)) {
		return C.LT_STATUS_INVALID_VALUE
	}
	*field(o) = *(*V)(value)
	return C.LT_STATUS_SUCCESS
}

//export fake_cublasLtGetVersion
func fake_cublasLtGetVersion() C.size_t {
	c := installed.currentContext()
	if c == nil {
		return 0
	}
	b, err := installed.blas(c.device)
	if err != nil {
		return 0
	}
	defer b.Close()
	return C.size_t(b.Version())
}

//export fake_cublasLtCreate
func fake_cublasLtCreate(handle *C.lt_object) C.lt_status {
	c := installed.currentContext()
	if c == nil {
		return C.LT_STATUS_NOT_INITIALIZED
	}
	b, err := installed.blas(c.device)
	if err != nil {
		return status(err)
	}
	return made(handle, b)
}

//export fake_cublasLtDestroy
func fake_cublasLtDestroy(h C.lt_object) C.lt_status {
	b, ok := object[cuda.Blas](installed, unsafe.Pointer(h))
	if !ok {
		return C.LT_STATUS_INVALID_VALUE
	}
	installed.drop(unsafe.Pointer(h))
	return status(b.Close())
}

//export fake_cublasLtMatmulDescCreate
func fake_cublasLtMatmulDescCreate(handle *C.lt_object, compute, scale C.int) C.lt_status {
	if scale != C.LT_R_32F {
		return C.LT_STATUS_NOT_SUPPORTED
	}
	return made(handle, &desc{compute: compute, epilogue: C.LT_EPILOGUE_DEFAULT})
}

//export fake_cublasLtMatmulDescDestroy
func fake_cublasLtMatmulDescDestroy(h C.lt_object) C.lt_status { return ended[*desc](h) }

//export fake_cublasLtMatmulDescSetAttribute
func fake_cublasLtMatmulDescSetAttribute(h C.lt_object, attribute C.int, value unsafe.Pointer, size C.size_t) C.lt_status {
	switch attribute {
	case C.LT_DESC_TRANSA:
		return set(h, value, size, func(d *desc) *C.int { return &d.transA })
	case C.LT_DESC_EPILOGUE:
		return set(h, value, size, func(d *desc) *C.int { return &d.epilogue })
	case C.LT_DESC_BIAS_POINTER:
		return set(h, value, size, func(d *desc) *C.uint64_t { return &d.bias })
	}
	return C.LT_STATUS_INVALID_VALUE
}

//export fake_cublasLtMatrixLayoutCreate
func fake_cublasLtMatrixLayoutCreate(handle *C.lt_object, dtype C.int, rows, columns C.uint64_t, pitch C.int64_t) C.lt_status {
	return made(handle, &layout{dtype, rows, columns, pitch})
}

//export fake_cublasLtMatrixLayoutDestroy
func fake_cublasLtMatrixLayoutDestroy(h C.lt_object) C.lt_status { return ended[*layout](h) }

//export fake_cublasLtMatmulPreferenceCreate
func fake_cublasLtMatmulPreferenceCreate(handle *C.lt_object) C.lt_status {
	return made(handle, &preference{reduction: 7, alignment: [4]C.uint32_t{256, 256, 256, 256}})
}

//export fake_cublasLtMatmulPreferenceDestroy
func fake_cublasLtMatmulPreferenceDestroy(h C.lt_object) C.lt_status { return ended[*preference](h) }

//export fake_cublasLtMatmulPreferenceSetAttribute
func fake_cublasLtMatmulPreferenceSetAttribute(h C.lt_object, attribute C.int, value unsafe.Pointer, size C.size_t) C.lt_status {
	switch operand := attribute - C.LT_PREF_MIN_ALIGNMENT_A_BYTES; {
	case attribute == C.LT_PREF_MAX_WORKSPACE_BYTES:
		return set(h, value, size, func(p *preference) *C.uint64_t { return &p.workspace })
	case attribute == C.LT_PREF_REDUCTION_SCHEME_MASK:
		return set(h, value, size, func(p *preference) *C.uint32_t { return &p.reduction })
	case operand >= 0 && operand < 4:
		return set(h, value, size, func(p *preference) *C.uint32_t { return &p.alignment[operand] })
	}
	return C.LT_STATUS_INVALID_VALUE
}

// matmul is the product that descriptors describe, or false if they do not fit together or are not what package lt means:
// the transposed product of row-major matrices.
func matmul(dh, ah, bh, ch, yh C.lt_object) (m cuda.Matmul, bias cuda.Ptr, ok bool) {
	d, known := object[*desc](installed, unsafe.Pointer(dh))
	if !known || d.transA != C.LT_OP_T {
		return m, 0, false
	}
	var l [4]*layout
	for i, h := range []C.lt_object{ah, bh, ch, yh} {
		if l[i], known = object[*layout](installed, unsafe.Pointer(h)); !known {
			return m, 0, false
		}
	}
	w, x, c, y := l[0], l[1], l[2], l[3]
	types := map[C.int]tensor.DType{C.LT_R_32F: tensor.F32, C.LT_R_16F: tensor.F16, C.LT_R_16BF: tensor.BF16}
	in, known := types[w.dtype]
	out, knownOut := types[y.dtype]
	if !known || !knownOut || x.dtype != w.dtype || c.dtype != y.dtype || w.rows != x.rows || w.columns != y.rows || x.columns != y.columns ||
		c.rows != y.rows || c.columns != y.columns || w.pitch != C.int64_t(w.rows) {
		return m, 0, false
	}
	return cuda.Matmul{
		M: int(x.columns), N: int(w.columns), K: int(w.rows), Type: in, Out: out, TF32: d.compute == C.LT_COMPUTE_32F_FAST_TF32,
		PitchX: int(x.pitch), PitchC: int(c.pitch), PitchY: int(y.pitch), Alpha: 1,
		Bias: d.epilogue&C.LT_EPILOGUE_BIAS != 0, GELUTanh: d.epilogue&C.LT_EPILOGUE_GELU != 0,
	}, cuda.Ptr(d.bias), true
}

//export fake_cublasLtMatmulAlgoGetHeuristic
func fake_cublasLtMatmulAlgoGetHeuristic(h, dh, ah, bh, ch, yh, ph C.lt_object, most C.int, results *C.lt_heuristic, found *C.int) C.lt_status {
	b, ok := object[cuda.Blas](installed, unsafe.Pointer(h))
	p, okP := object[*preference](installed, unsafe.Pointer(ph))
	m, bias, okM := matmul(dh, ah, bh, ch, yh)
	// What package lt promises: no reduction in the output, the alignment that it checks, a bias before it is asked.
	if !ok || !okP || !okM || p.reduction != C.LT_REDUCTION_SCHEME_COMPUTE_TYPE || m.Bias != (bias != 0) ||
		p.alignment != [4]C.uint32_t{C.LT_ALIGNMENT, C.LT_ALIGNMENT, C.LT_ALIGNMENT, C.LT_ALIGNMENT} {
		return C.LT_STATUS_INVALID_VALUE
	}
	algorithms, err := b.Heuristics(m, int64(p.workspace), int(most))
	if err != nil {
		return status(err)
	}
	*found = C.int(len(algorithms))
	if len(algorithms) == 0 {
		return C.LT_STATUS_NOT_SUPPORTED
	}
	for i, a := range algorithms {
		r := &unsafe.Slice(results, most)[i]
		*r = C.lt_heuristic{workspace: C.size_t(a.Workspace), waves: C.float(a.Waves)}
		for i, word := range a.Data {
			r.algorithm.data[i] = C.uint64_t(word)
		}
	}
	return C.LT_STATUS_SUCCESS
}

//export fake_cublasLtMatmul
func fake_cublasLtMatmul(h, dh C.lt_object, alpha unsafe.Pointer, w C.uint64_t, ah C.lt_object, x C.uint64_t, bh C.lt_object,
	beta unsafe.Pointer, c C.uint64_t, ch C.lt_object, y C.uint64_t, yh C.lt_object, algorithm *C.lt_algorithm,
	workspace C.uint64_t, size C.size_t, sh unsafe.Pointer) C.lt_status {
	b, ok := object[cuda.Blas](installed, unsafe.Pointer(h))
	s, okS := object[cuda.Stream](installed, sh)
	m, bias, okM := matmul(dh, ah, bh, ch, yh)
	if !ok || !okS || !okM {
		return C.LT_STATUS_INVALID_VALUE
	}
	m.Alpha, m.Beta = *(*float32)(alpha), *(*float32)(beta)
	a := cuda.Algorithm{Workspace: int64(size)}
	for i, word := range algorithm.data {
		a.Data[i] = uint64(word)
	}
	return status(b.Matmul(m, a, cuda.Ptr(x), cuda.Ptr(w), bias, cuda.Ptr(c), cuda.Ptr(y), cuda.Ptr(workspace), s))
}
