package kerneltest

import (
	"fmt"
	"math"
	"slices"

	"vith/kernels"
	"vith/kernels/tensor"
)

// Calls runs a lowered program on a backend with everything between its calls handed out, and compares the results of
// each call with the kernel's definition, which is given what the backend's own call was given. Tolerances are those of
// the kernels, their absolute part in units of a result's largest value, which unit normals make about 1. in is the
// program's input.
func Calls(p *kernels.Program, b kernels.Backend, in [][]byte) error {
	open := *p
	open.Bufs = slices.Clone(p.Bufs)
	values := make([]tensor.Matrix, len(p.Bufs))
	var out [][]byte
	inputs := 0
	for i := range open.Bufs {
		info := &open.Bufs[i]
		m := tensor.Matrix{Type: info.Type, Rows: info.Rows, Cols: info.Cols, Pitch: info.Pitch}
		switch info.Role {
		case kernels.Fixed:
			m = tensor.NewMatrix(info.Type, info.Rows, info.Cols)
			rows := make([]float32, info.Rows*info.Cols)
			if err := info.Weight.Fill(rows, 0, info.Rows); err != nil {
				return err
			}
			for j, x := range rows {
				m.Set(j/info.Cols, j%info.Cols, float64(x))
			}
		case kernels.Input:
			m.Data = in[inputs]
			inputs++
		default:
			info.Role = kernels.Output
			m.Data = make([]byte, info.Bytes())
			out = append(out, m.Data)
		}
		values[i] = m
	}
	r, err := b.Load(&open)
	if err != nil {
		return err
	}
	defer r.Close()
	wait, err := r.Start(in, out)
	if err == nil {
		err = wait()
	}
	if err != nil {
		return err
	}
	for i, c := range open.Calls {
		if err := compareCall(c, values); err != nil {
			return fmt.Errorf("call %d, %s%v in %v, of %s: %w", i, c.Kernel.Name, c.Dims, c.Precision, open.Bufs[c.Out[0].ID].Name, err)
		}
	}
	return nil
}

// compareCall compares a call's results with the definition.
func compareCall(c kernels.Call, values []tensor.Matrix) error {
	args := kernels.Args{Dims: c.Dims, Scalars: c.Scalars, Attrs: c.Attrs}
	k := kernels.Case{Dims: c.Dims, Scalars: c.Scalars, Attrs: c.Attrs}
	for i, b := range c.In {
		if b.ID == kernels.None {
			args.In = append(args.In, tensor.Matrix{})
			k.Without = append(k.Without, c.Kernel.In[i].Name)
			continue
		}
		args.In = append(args.In, view(values[b.ID], b))
	}
	for _, b := range c.Out {
		args.Out = append(args.Out, tensor.NewMatrix(values[b.ID].Type, b.Rows, b.Cols))
	}
	c.Kernel.Host(args)
	for i, want := range args.Out {
		tolerance := c.Kernel.Tolerance(c.Precision, k)
		largest := 1.0
		for row := range want.Rows {
			for col := range want.Cols {
				largest = max(largest, math.Abs(want.At(row, col)))
			}
		}
		tolerance.Abs *= largest
		if err := tensor.Compare(view(values[c.Out[i].ID], c.Out[i]), want, tolerance); err != nil {
			return fmt.Errorf("result %s: %w", c.Kernel.Out[i].Name, err)
		}
	}
	return nil
}

// view is the part of a buffer's values that b is of.
func view(m tensor.Matrix, b kernels.Buf) tensor.Matrix {
	start := (b.Row*m.Pitch + b.Col) * m.Type.Size()
	return tensor.Matrix{Type: m.Type, Rows: b.Rows, Cols: b.Cols, Pitch: b.Step * m.Pitch, Data: m.Data[start:]}
}
