package kerneltest

import (
	"vith/kernels"
	"vith/kernels/tensor"
)

// definition is a backend that runs the kernels' own definitions, or what a test puts in their place.
type definition struct {
	host func(k *kernels.Kernel, a kernels.Args)
}

func (definition) Name() string { return "definition" }
func (definition) Caps() kernels.Caps {
	return kernels.Caps{Precisions: []kernels.Precision{kernels.FP32, {Activation: tensor.F16, Stream: tensor.F32}}}
}
func (definition) Memory() kernels.Memory { return kernels.Memory{} }
func (definition) Close() error           { return nil }

func (d definition) Load(p *kernels.Program) (kernels.Runner, error) {
	return &pass{d, p, kernels.MakePlan(p)}, nil
}

type pass struct {
	definition
	program *kernels.Program
	plan    kernels.Plan
}

func (p *pass) Depth() int { return 1 }

func (p *pass) Start(in, out [][]byte) (kernels.Wait, error) {
	memory := make([][]byte, len(p.program.Bufs))
	arena := make([]byte, p.plan.Size)
	for i, b := range p.program.Bufs {
		switch b.Role {
		case kernels.Input:
			memory[i], in = in[0], in[1:]
		case kernels.Output:
			memory[i], out = out[0], out[1:]
		case kernels.Scratch:
			memory[i] = arena[p.plan.Offset[i]:][:b.Bytes()]
		case kernels.Fixed:
			values := make([]float32, b.Rows*b.Cols)
			if err := b.Weight.Fill(values, 0, b.Rows); err != nil {
				return nil, err
			}
			memory[i] = tensor.Bytes(values)
		}
	}
	matrices := func(list []kernels.Buf) (m []tensor.Matrix) {
		for _, b := range list {
			if b.ID == kernels.None {
				m = append(m, tensor.Matrix{})
				continue
			}
			info := p.program.Bufs[b.ID]
			m = append(m, tensor.Matrix{
				Type: info.Type, Rows: b.Rows, Cols: b.Cols, Pitch: b.Step * info.Pitch,
				Data: memory[b.ID][(b.Row*info.Pitch+b.Col)*info.Type.Size():],
			})
		}
		return m
	}
	for _, c := range p.program.Calls {
		p.host(c.Kernel, kernels.Args{In: matrices(c.In), Out: matrices(c.Out), Dims: c.Dims, Scalars: c.Scalars, Attrs: c.Attrs})
	}
	return func() error { return nil }, nil
}
