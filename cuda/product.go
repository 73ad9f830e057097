package cuda

import (
	"vith/kernels"
	"vith/kernels/tensor"
)

// Inputs of the kernel gemm.
const (
	inX = iota
	inW
	inBias
	inResidual
)

// matmulAlign is what operands of a Blas must be aligned to, in bytes.
const matmulAlign = 16

// A product is a call of gemm that cublasLt computes.
type product struct {
	Matmul
	call      *kernels.Call
	bias      weightKey // its weight is nil without
	algorithm Algorithm
}

// productOf is call i as a product of cublasLt, or nil if it is none or cublasLt has no such product.
func (r *runner) productOf(i int) *product {
	c := &r.program.Calls[i]
	if r.backend.blas == nil || c.Kernel.Name != "gemm" {
		return nil
	}
	x, w, bias, c0, y := c.In[inX], c.In[inW], c.In[inBias], c.In[inResidual], c.Out[0]
	residual := c0.ID != kernels.None
	tanh := c.Attrs.Activation == kernels.GELUTanh
	if c.Attrs.Activation != kernels.NoActivation && !tanh || tanh && residual {
		return nil
	}
	if in, out := c.Precision.Activation, c.Precision.Stream; out != in && out != tensor.F32 {
		return nil
	}
	for _, b := range []kernels.Buf{x, c0, y} {
		if b.ID != kernels.None && (!r.aligned(b) || r.program.Bufs[b.ID].Role == kernels.Fixed) {
			return nil
		}
	}
	p := &product{call: c, Matmul: Matmul{
		M: x.Rows, N: w.Rows, K: w.Cols, Type: typeOf(r.program, x), Out: typeOf(r.program, y),
		PitchX: r.pitch(x), PitchY: r.pitch(y), Alpha: c.Scalars[0], GELUTanh: tanh,
	}}
	p.TF32 = r.backend.options.TF32 && p.Type == tensor.F32
	if residual {
		p.Beta, p.PitchC = 1, r.pitch(c0)
	}
	if bias.ID != kernels.None {
		p.Bias, p.bias = true, weightKey{r.program.Bufs[bias.ID].Weight, p.Out}
	}
	return p
}

func (r *runner) aligned(b kernels.Buf) bool {
	info := r.program.Bufs[b.ID]
	return (b.Row*info.Pitch+b.Col)*info.Type.Size()%matmulAlign == 0
}

// pitch is the distance between a view's rows in elements.
func (r *runner) pitch(b kernels.Buf) int { return b.Step * r.program.Bufs[b.ID].Pitch }

// typeOf is the element type of the buffer that b is a view of.
func typeOf(p *kernels.Program, b kernels.Buf) tensor.DType { return p.Bufs[b.ID].Type }

// issue queues the product by an algorithm.
func (p *product) issue(r *runner, a Algorithm, s *slot) error {
	b, in := r.backend, p.call.In
	var bias, c Ptr
	if p.Bias {
		bias = b.weights[p.bias]
	}
	if p.Beta != 0 {
		c = r.view(in[inResidual], s)
	}
	return b.blas.Matmul(p.Matmul, a, r.view(in[inX], s), r.view(in[inW], s), bias, c, r.view(p.call.Out[0], s), b.workspace.at, b.compute)
}

// workspaceSize is what algorithms may use: what cuBLAS takes for itself on a GPU of this compute capability.
func workspaceSize(capability int) int64 {
	if capability >= 90 {
		return 32 << 20
	}
	return 8 << 20
}
