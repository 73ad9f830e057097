//go:build cuda && cgo && linux && (amd64 || arm64)

package lt

/*
#cgo CFLAGS: -I${SRCDIR}/../include
#cgo LDFLAGS: -L${SRCDIR}/../lib -lcuda -ldl
#include <cuda.h>
#include <stdlib.h>
#include "lt.h"

static CUcontext lt_context(void) {
	CUcontext ctx = 0;
	cuCtxGetCurrent(&ctx);
	return ctx;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unsafe"

	"gorgonia.org/cu"

	"vith/cuda"
	_ "vith/cuda/native/internal/shim" // the driver's entry points
	"vith/kernels/tensor"
)

// ErrNoLibrary is the error of an Open that finds no cublasLt.
var ErrNoLibrary = errors.New("no cublasLt library")

var (
	mu     sync.Mutex
	loaded bool
)

// Bind puts C functions in place of a library's, by their names. It is for package fake. Nothing may be in use.
func Bind(functions map[string]unsafe.Pointer) error {
	mu.Lock()
	defer mu.Unlock()
	for name, function := range functions {
		n := C.CString(name)
		known := C.lt_bind(n, function)
		C.free(unsafe.Pointer(n))
		if known == 0 {
			return fmt.Errorf("lt: cublasLt has no function %s", name)
		}
	}
	loaded = true
	return nil
}

// Unbind forgets the library, so that Open looks for one again.
func Unbind() {
	mu.Lock()
	defer mu.Unlock()
	loaded = false
}

// load finds a library that the driver supports, or takes the one at path.
func load(path string) error {
	mu.Lock()
	defer mu.Unlock()
	if loaded {
		return nil
	}
	paths := []string{path}
	if path == "" {
		paths = searched(cu.Version())
	}
	var why []string
	for _, path := range paths {
		p := C.CString(path)
		var message [256]C.char
		ok := C.lt_load(p, &message[0], C.size_t(len(message)))
		C.free(unsafe.Pointer(p))
		if ok != 0 {
			loaded = true
			return nil
		}
		why = append(why, C.GoString(&message[0]))
	}
	return fmt.Errorf("%w: %s: install the CUDA toolkit or the Python package nvidia-cublas-cu12, or name its folder in LD_LIBRARY_PATH",
		ErrNoLibrary, strings.Join(why, "; "))
}

// A blas is a handle of the library, with what it was told of each product.
type blas struct {
	handle  C.lt_object
	context C.CUcontext
	plans   map[cuda.Matmul]*C.lt_plan // in C memory
}

var _ cuda.Blas = (*blas)(nil)

// Open returns cublasLt on a device, on whose thread it is called. The library is the one at path, or if that is empty
// the newest that is found and that the driver supports; a process keeps the first. An error wraps ErrNoLibrary if there
// is none.
//
// Operands of a product start at multiples of 16 bytes, and a workspace at multiples of 256. With Beta, c may be y if
// their pitches are the same. The library adds c before its GELU, so a product has one or the other.
func Open(d cuda.Device, path string) (cuda.Blas, error) {
	if err := d.SetCurrent(); err != nil {
		return nil, err
	}
	if err := load(path); err != nil {
		return nil, err
	}
	b := &blas{context: C.lt_context(), plans: map[cuda.Matmul]*C.lt_plan{}}
	if err := failed("cublasLtCreate", "", C.lt_create(&b.handle)); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *blas) Version() int {
	v := int(C.lt_version())
	if v < 100000 { // 11.0 to 11.10 counted the major version in thousands
		v += 110000 - 11000
	}
	return v
}

func (b *blas) Close() error {
	const call = "cublasLtDestroy"
	if err := b.enter(call); err != nil {
		return err
	}
	for m, plan := range b.plans {
		C.lt_plan_destroy(plan)
		C.free(unsafe.Pointer(plan))
		delete(b.plans, m)
	}
	handle := b.handle
	b.handle = nil
	return failed(call, "", C.lt_destroy(handle))
}

func (b *blas) Heuristics(m cuda.Matmul, workspace int64, max int) ([]cuda.Algorithm, error) {
	const call = "cublasLtMatmulAlgoGetHeuristic"
	plan, err := b.plan(call, m)
	if err != nil {
		return nil, err
	}
	if workspace < 0 || max < 1 {
		return nil, invalid(call, "at most %d algorithms with %d bytes of %+v", max, workspace, m)
	}
	results := make([]C.lt_heuristic, max)
	var n C.int
	status := C.lt_heuristics(b.handle, plan, C.size_t(workspace), C.int(max), &results[0], &n)
	if status == C.LT_STATUS_NOT_SUPPORTED {
		return nil, nil
	}
	if err := failed(call, fmt.Sprintf("of %+v", m), status); err != nil {
		return nil, err
	}
	var algorithms []cuda.Algorithm
	for _, r := range results[:n] {
		if r.state != C.LT_STATUS_SUCCESS || int64(r.workspace) > workspace {
			continue
		}
		algorithm := cuda.Algorithm{Workspace: int64(r.workspace), Waves: float32(r.waves)}
		for i, word := range r.algorithm.data {
			algorithm.Data[i] = uint64(word)
		}
		algorithms = append(algorithms, algorithm)
	}
	return algorithms, nil
}

func (b *blas) Matmul(m cuda.Matmul, a cuda.Algorithm, x, w, bias, c, y, workspace cuda.Ptr, s cuda.Stream) error {
	const call = "cublasLtMatmul"
	plan, err := b.plan(call, m)
	if err != nil {
		return err
	}
	if m.Beta == 0 {
		c = y // not read, but looked at
	}
	if !m.Bias {
		bias = 0
	}
	if (x|w|bias|c|y)%C.LT_ALIGNMENT != 0 || workspace%256 != 0 || x == 0 || w == 0 || c == 0 || y == 0 ||
		m.Bias && bias == 0 || a.Workspace > 0 && workspace == 0 || s == 0 || c == y && m.Beta != 0 && m.PitchC != m.PitchY {
		return invalid(call, "x %#x w %#x bias %#x c %#x y %#x workspace %#x stream %#x of %+v", x, w, bias, c, y, workspace, s, m)
	}
	var algorithm C.lt_algorithm
	for i, word := range a.Data {
		algorithm.data[i] = C.uint64_t(word)
	}
	status := C.lt_matmul(b.handle, plan, C.float(m.Alpha), C.float(m.Beta), C.uint64_t(x), C.uint64_t(w), C.uint64_t(bias),
		C.uint64_t(c), C.uint64_t(y), &algorithm, C.uint64_t(workspace), C.size_t(a.Workspace), *(*unsafe.Pointer)(unsafe.Pointer(&s)))
	if status != C.LT_STATUS_SUCCESS {
		return failed(call, fmt.Sprintf("of %+v", m), status)
	}
	return nil
}

// enter begins every call: the device's context must be the thread's.
func (b *blas) enter(call string) error {
	if b.handle == nil || C.lt_context() != b.context {
		return &cuda.CallError{Call: call, Detail: "closed, or while the context of its device is not current on this thread",
			Status: cuda.ErrInvalidContext}
	}
	return nil
}

// plan returns the library's description of a product, which is made once.
func (b *blas) plan(call string, m cuda.Matmul) (*C.lt_plan, error) {
	if err := b.enter(call); err != nil {
		return nil, err
	}
	if plan := b.plans[m]; plan != nil {
		return plan, nil
	}
	p, err := product(call, m)
	if err != nil {
		return nil, err
	}
	plan := (*C.lt_plan)(C.malloc(C.sizeof_lt_plan))
	if err := failed(call, fmt.Sprintf("of %+v", m), C.lt_plan_create(plan, &p)); err != nil {
		C.free(unsafe.Pointer(plan))
		return nil, err
	}
	b.plans[m] = plan
	return plan, nil
}

// types are the library's element types.
var types = map[tensor.DType]C.int{tensor.F32: C.LT_R_32F, tensor.F16: C.LT_R_16F, tensor.BF16: C.LT_R_16BF}

// product translates a Matmul, or refuses one that is none.
func product(call string, m cuda.Matmul) (p C.lt_product, err error) {
	in, known := types[m.Type]
	out, knownOut := types[m.Out]
	switch {
	case m.M < 1, m.N < 1, m.K < 1, m.PitchX < m.K, m.PitchY < m.N, m.Beta != 0 && m.PitchC < m.N:
		return p, invalid(call, "of %+v: empty or overlapping rows", m)
	case !known, !knownOut, m.Out != m.Type && m.Out != tensor.F32, m.TF32 && m.Type != tensor.F32,
		m.Beta != 0 && m.Beta != 1, m.Beta != 0 && m.GELUTanh:
		return p, &cuda.CallError{Call: call, Detail: fmt.Sprintf("of %+v", m), Status: cuda.ErrNotSupported}
	}
	if m.Beta == 0 {
		m.PitchC = m.PitchY
	}
	p = C.lt_product{m: C.uint64_t(m.M), n: C.uint64_t(m.N), k: C.uint64_t(m.K),
		pitch_x: C.int64_t(m.PitchX), pitch_c: C.int64_t(m.PitchC), pitch_y: C.int64_t(m.PitchY), _type: in, out: out,
		compute: C.LT_COMPUTE_32F, epilogue: C.LT_EPILOGUE_DEFAULT}
	if m.TF32 {
		p.compute = C.LT_COMPUTE_32F_FAST_TF32
	}
	switch {
	case m.GELUTanh && m.Bias:
		p.epilogue = C.LT_EPILOGUE_GELU_BIAS
	case m.GELUTanh:
		p.epilogue = C.LT_EPILOGUE_GELU
	case m.Bias:
		p.epilogue = C.LT_EPILOGUE_BIAS
	}
	return p, nil
}

// statuses are the library's, with the driver's that mean the same.
var statuses = map[C.lt_status]struct {
	name   string
	status cuda.Status
}{
	C.LT_STATUS_NOT_INITIALIZED:  {"CUBLAS_STATUS_NOT_INITIALIZED", cuda.ErrNotInitialized},
	C.LT_STATUS_ALLOC_FAILED:     {"CUBLAS_STATUS_ALLOC_FAILED", cuda.ErrOutOfMemory},
	C.LT_STATUS_INVALID_VALUE:    {"CUBLAS_STATUS_INVALID_VALUE", cuda.ErrInvalidValue},
	C.LT_STATUS_ARCH_MISMATCH:    {"CUBLAS_STATUS_ARCH_MISMATCH", cuda.ErrNotSupported},
	C.LT_STATUS_MAPPING_ERROR:    {"CUBLAS_STATUS_MAPPING_ERROR", cuda.ErrUnknown},
	C.LT_STATUS_EXECUTION_FAILED: {"CUBLAS_STATUS_EXECUTION_FAILED", cuda.ErrLaunchFailed},
	C.LT_STATUS_INTERNAL_ERROR:   {"CUBLAS_STATUS_INTERNAL_ERROR", cuda.ErrUnknown},
	C.LT_STATUS_NOT_SUPPORTED:    {"CUBLAS_STATUS_NOT_SUPPORTED", cuda.ErrNotSupported},
}

// failed is the error of a status, nil if it is success.
func failed(call, detail string, status C.lt_status) error {
	if status == C.LT_STATUS_SUCCESS {
		return nil
	}
	known, ok := statuses[status]
	if !ok {
		known.name, known.status = fmt.Sprintf("CUBLAS_STATUS %d", int(status)), cuda.ErrUnknown
	}
	return &cuda.CallError{Call: call, Detail: detail, Name: known.name, Status: known.status}
}

// invalid refuses arguments that the library would not check.
func invalid(call, format string, args ...any) error {
	return &cuda.CallError{Call: call, Detail: fmt.Sprintf(format, args...), Status: cuda.ErrInvalidValue}
}
