// Package kernels defines the computation that vith is made of, without saying where it runs.
//
// A Kernel is one operation with its mathematics, operands, cost, tolerance and test cases, all in one file. A Program
// is a sequence of calls of kernels over named buffers: a forward pass as data. A Backend turns a Program into a Runner
// on some device. Programs are written in plain operations (Linear, GELU, Add, …); Lower fuses them into what a backend
// can run, and everything after it (planning memory, counting, running) is a loop over the calls that knows no
// operation by name.
//
// # Adding a kernel
//
// Write one file: a comment with the mathematics, a *Kernel passed to register, and a method of Program that appends a
// call of it. Its Host function, in float64 and obvious, is its definition; the package kerneltest holds every other
// implementation to it on the kernel's own cases. See add.go for the smallest one.
package kernels

import (
	"fmt"
	"math/rand/v2"

	"vith/kernels/tensor"
)

// A Kernel is one operation. All matrices are row-major; dims are the sizes named in Dims, in that order.
type Kernel struct {
	Name    string   // the family's one name: in errors, tables, plans
	Dims    []string // names of the sizes that fix every operand's shape
	Scalars []string // names of the float32 arguments
	In, Out []Operand
	InPlace []Alias // which outputs may take the storage of which inputs

	// Accepts refuses sizes that the operation does not have; nil accepts all of at least 1.
	Accepts func(d []int) error
	// Host is the definition, in float64.
	Host func(a Args)
	// FLOPs counts the floating-point operations that the mathematics needs.
	FLOPs func(d []int) int64
	// Tolerance bounds the error of an implementation that computes in float32 and stores what p says, on a case with
	// the inputs that the operands' Fill gives.
	Tolerance func(p Precision, c Case) tensor.Tolerance

	// GPU is the implementation in PTX.
	GPU *GPU

	Cases  []Case                  // ragged sizes first, then the real ones, then one that must be refused
	Random func(r *rand.Rand) Case // a case of any accepted size, small
}

// An Operand is a matrix that a kernel reads or writes.
type Operand struct {
	Name     string
	Kind     Kind
	Shape    func(d []int) (rows, cols int)
	Optional bool                       // inputs only
	Constant bool                       // must be a Weight
	Fill     func(r *rand.Rand) float64 // test data; nil is a standard normal
}

// A Kind groups the operands of a kernel that have the same type in every call.
type Kind uint8

const (
	Activations Kind = iota // what matrix products multiply
	Stream                  // the residual stream, and sums that enter it
	Parameters              // float32 whatever the precision: biases, scales
	Samples                 // uint8 pixels
)

// A Precision is the types of a call's operands by kind.
type Precision struct {
	Activation, Stream tensor.DType
}

// FP32 computes and stores float32 throughout.
var FP32 = Precision{tensor.F32, tensor.F32}

// Type is the type of operands of a kind.
func (p Precision) Type(k Kind) tensor.DType {
	return [...]tensor.DType{Activations: p.Activation, Stream: p.Stream, Parameters: tensor.F32, Samples: tensor.U8}[k]
}

func (p Precision) String() string {
	if p.Activation == p.Stream {
		return p.Activation.String()
	}
	return p.Activation.String() + "/" + p.Stream.String()
}

// An Alias says that output Out may be computed in the storage of input In.
type Alias struct{ Out, In int }

// Attrs are the choices of a call that are neither sizes nor numbers.
type Attrs struct {
	Activation Activation // applied by gemm to its product
}

// Args are the operands of one call of a kernel's Host. A missing optional input has no Data.
type Args struct {
	In, Out []tensor.Matrix
	Dims    []int
	Scalars []float32
	Attrs   Attrs
}

// A Case is one test of a kernel.
type Case struct {
	Dims    []int
	Scalars []float32
	Attrs   Attrs
	Without []string // optional inputs left out
	Refused bool     // Accepts must refuse it
}

var registry []*Kernel

// register adds k to the list that All returns.
func register(k *Kernel) *Kernel {
	registry = append(registry, k)
	return k
}

// All returns every kernel, in the order of their files.
func All() []*Kernel { return registry }

// Check reports why the kernel cannot run at sizes d, naming the kernel and the sizes.
func (k *Kernel) Check(d []int) error {
	if len(d) != len(k.Dims) {
		return fmt.Errorf("kernels: %s takes %d sizes %v, got %v", k.Name, len(k.Dims), k.Dims, d)
	}
	for i, n := range d {
		if n < 1 {
			return fmt.Errorf("kernels: %s: %s is %d, must be at least 1", k.Name, k.Dims[i], n)
		}
	}
	if k.Accepts == nil {
		return nil
	}
	if err := k.Accepts(d); err != nil {
		return fmt.Errorf("kernels: %s%v: %w", k.Name, d, err)
	}
	return nil
}

// roundoff is the largest relative error of rounding to t: half a unit in the last place.
func roundoff(t tensor.DType) float64 {
	switch t {
	case tensor.F16:
		return 0x1p-11
	case tensor.BF16:
		return 0x1p-8
	}
	return 0x1p-24
}

// elementwise is the shape of an operand of a kernel whose sizes are rows and cols.
func elementwise(d []int) (rows, cols int) { return d[0], d[1] }
