package host

import (
	"unsafe"

	"vith/kernels"
	"vith/kernels/tensor"
)

// An operand is a matrix of a call: where its elements are is known only during a pass.
type operand struct {
	base       *unsafe.Pointer // of its buffer, filled in when a pass starts
	offset     int             // of its first element, bytes
	rows, cols int
	pitch      int // elements between rows
	size       int // bytes an element
	kind       tensor.DType
}

func (c *compiler) operand(b kernels.Buf) *operand {
	if b.ID == kernels.None {
		return nil
	}
	info := c.program.Bufs[b.ID]
	size := info.Type.Size()
	return &operand{
		base: &c.runner.bases[b.ID], offset: (b.Row*info.Pitch + b.Col) * size,
		rows: b.Rows, cols: b.Cols, pitch: b.Step * info.Pitch, size: size, kind: info.Type,
	}
}

// at is the address of element [r, col].
func (o *operand) at(r, col int) unsafe.Pointer {
	return unsafe.Add(*o.base, o.offset+(r*o.pitch+col)*o.size)
}

// f32 is the address of element [r, col] of a float32 operand.
func (o *operand) f32(r, col int) *float32 { return (*float32)(o.at(r, col)) }

// u16 is the address of element [r, col] of a bfloat16 operand.
func (o *operand) u16(r, col int) *uint16 { return (*uint16)(o.at(r, col)) }

// row is row r of a float32 operand.
func (o *operand) row(r int) []float32 { return unsafe.Slice(o.f32(r, 0), o.cols) }

// matrix is the operand as the kernels' definitions see it.
func (o *operand) matrix() tensor.Matrix {
	if o == nil {
		return tensor.Matrix{}
	}
	bytes := ((o.rows-1)*o.pitch + o.cols) * o.size
	return tensor.Matrix{Type: o.kind, Rows: o.rows, Cols: o.cols, Pitch: o.pitch, Data: unsafe.Slice((*byte)(o.at(0, 0)), bytes)}
}

// compileDefinition runs a kernel's own float64 definition, on one thread: for kernels too small to matter
// and types that no tower has.
func compileDefinition(c *compiler, call *kernels.Call) step {
	in, out := make([]*operand, len(call.In)), make([]*operand, len(call.Out))
	args := kernels.Args{
		In: make([]tensor.Matrix, len(in)), Out: make([]tensor.Matrix, len(out)),
		Dims: call.Dims, Scalars: call.Scalars, Attrs: call.Attrs,
	}
	for i, b := range call.In {
		in[i] = c.operand(b)
		if b.ID != kernels.None && c.program.Bufs[b.ID].Role == kernels.Fixed {
			in[i] = c.weight(b, plain, 1)
		}
	}
	for i, b := range call.Out {
		out[i] = c.operand(b)
	}
	host := call.Kernel.Host
	return step{tasks: 1, run: func(int, int) {
		for i, o := range in {
			args.In[i] = o.matrix()
		}
		for i, o := range out {
			args.Out[i] = o.matrix()
		}
		host(args)
	}}
}
