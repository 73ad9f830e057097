package kerneltest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"

	"vith/kernels"
	"vith/kernels/tensor"
)

// A trial is one kernel at one case in one form, with its data and the definition's answer.
type trial struct {
	kernel  *kernels.Kernel
	kase    kernels.Case
	types   kernels.Precision
	form    form
	operand []tensor.Matrix // inputs as the kernel sees them; no Data if left out
	buffer  []tensor.Matrix // the buffers that they are views of
	want    []tensor.Matrix
}

func (t *trial) String() string {
	s := fmt.Sprintf("%s%v in %v", t.kernel.Name, t.kase.Dims, t.types)
	if a := t.kase.Attrs.Activation; a != kernels.NoActivation {
		s += " " + a.String()
	}
	if len(t.kase.Without) > 0 {
		s += fmt.Sprintf(" without %v", t.kase.Without)
	}
	return s + " " + t.form.name
}

// newTrial draws the inputs by seed and computes the answer.
func newTrial(k *kernels.Kernel, c kernels.Case, p kernels.Precision, f form, seed uint64) *trial {
	t := &trial{kernel: k, kase: c, types: p, form: f}
	r := rand.New(rand.NewPCG(seed, 7))
	for _, o := range k.In {
		if without(c, o.Name) {
			t.operand = append(t.operand, tensor.Matrix{})
			t.buffer = append(t.buffer, tensor.Matrix{})
			continue
		}
		rows, cols := o.Shape(c.Dims)
		buffer := tensor.NewMatrix(p.Type(o.Kind), rows, cols)
		operand := buffer
		if f.views > 0 && !o.Constant {
			buffer = tensor.NewMatrix(buffer.Type, 2*rows+1, cols+f.views+viewTail(f.views, cols))
			operand.Pitch, operand.Data = 2*buffer.Pitch, buffer.Data[(buffer.Pitch+f.views)*buffer.Type.Size():]
		}
		fill := o.Fill
		if fill == nil {
			fill = (*rand.Rand).NormFloat64
		}
		for i := range buffer.Rows {
			for j := range buffer.Cols {
				buffer.Set(i, j, fill(r))
			}
		}
		t.operand, t.buffer = append(t.operand, operand), append(t.buffer, buffer)
	}
	for _, o := range k.Out {
		rows, cols := o.Shape(c.Dims)
		t.want = append(t.want, tensor.NewMatrix(p.Type(o.Kind), rows, cols))
	}
	k.Host(kernels.Args{In: t.operand, Out: t.want, Dims: c.Dims, Scalars: c.Scalars, Attrs: c.Attrs})
	return t
}

// program is the call of the trial over inputs and outputs. In place, the shared operand goes through scratch buffers:
// a copy before the call and one after it.
func (t *trial) program(caps kernels.Caps) (*kernels.Program, error) {
	p := kernels.NewProgram()
	var in []kernels.Buf
	for i, o := range t.kernel.In {
		m := t.buffer[i]
		switch {
		case m.Data == nil:
			in = append(in, kernels.Absent)
			continue
		case o.Constant:
			in = append(in, p.Weight(weight(o.Name, m)))
			continue
		}
		b := p.Input(o.Name, m.Type, m.Rows, m.Cols)
		if t.form.views > 0 {
			b = kernels.Buf{ID: b.ID, Row: 1, Col: t.form.views, Rows: t.operand[i].Rows, Cols: t.operand[i].Cols, Step: 2}
		}
		if a := t.form.alias; a != nil && a.In == i {
			b = p.Cast(b, m.Type)
		}
		in = append(in, b)
	}
	out := p.Append("y", t.types, kernels.Call{
		Kernel: t.kernel, In: in, Dims: t.kase.Dims, Scalars: t.kase.Scalars, Attrs: t.kase.Attrs,
	})
	if a := t.form.alias; a != nil {
		out[a.Out] = p.Cast(out[a.Out], t.want[a.Out].Type)
	}
	for _, b := range out {
		p.Output(b)
	}
	lowered, err := kernels.Lower(p, caps)
	if err != nil {
		return nil, err
	}
	if a := t.form.alias; a != nil {
		c, plan := lowered.Calls[1], kernels.MakePlan(lowered)
		if plan.Offset[c.In[a.In].ID] != plan.Offset[c.Out[a.Out].ID] {
			return nil, fmt.Errorf("the plan does not compute it in place")
		}
	}
	return lowered, nil
}

// viewTail is how many columns lie behind those of a view: a few, so that rows start at multiples of 8 elements if the
// view does.
func viewTail(views, cols int) int {
	if views%8 != 0 {
		return 2
	}
	return 16 - cols%8
}

func weight(name string, m tensor.Matrix) *kernels.Weight {
	return &kernels.Weight{Key: name, Type: m.Type, Rows: m.Rows, Cols: m.Cols, Fill: func(dst []float32, row0, rows int) error {
		for i := range rows * m.Cols {
			dst[i] = float32(m.At(row0+i/m.Cols, i%m.Cols))
		}
		return nil
	}}
}

// run runs the trial twice on b and reports everything that is wrong with it.
func (t *trial) run(b kernels.Backend) error {
	p, err := t.program(b.Caps())
	if err != nil {
		return err
	}
	r, err := b.Load(p)
	if err != nil {
		return err
	}
	defer r.Close()

	var in, out []*guarded
	for i, o := range t.kernel.In {
		if t.buffer[i].Data != nil && !o.Constant {
			in = append(in, guard(o.Name, t.buffer[i].Data))
		}
	}
	for i, o := range t.kernel.Out {
		out = append(out, guard(o.Name, t.want[i].Data))
	}
	var errs []error
	var first [][]byte
	for range 2 {
		for _, g := range out {
			poison(g.data())
		}
		wait, err := r.Start(contents(in), contents(out))
		if err == nil {
			err = wait()
		}
		if err != nil {
			return err
		}
		for i, g := range out {
			if len(first) < len(out) {
				first = append(first, bytes.Clone(g.data()))
			} else if !bytes.Equal(first[i], g.data()) {
				errs = append(errs, fmt.Errorf("output %s differs from run to run", g.name))
			}
		}
	}
	j := 0
	for i, o := range t.kernel.In {
		if t.buffer[i].Data == nil || o.Constant {
			continue
		}
		if !bytes.Equal(in[j].data(), t.buffer[i].Data) {
			errs = append(errs, fmt.Errorf("input %s was written", o.Name))
		}
		j++
	}
	for _, g := range append(in, out...) {
		errs = append(errs, g.check())
	}
	for i, o := range t.kernel.Out {
		got := t.want[i]
		got.Data = out[i].data()
		if err := tensor.Compare(got, t.want[i], t.kernel.Tolerance(t.types, t.kase)); err != nil {
			errs = append(errs, fmt.Errorf("output %s: %w", o.Name, err))
		}
	}
	return errors.Join(errs...)
}

// A guarded buffer lies between guard bytes.
type guarded struct {
	name string
	all  []byte
}

const (
	guardSize = 256
	guardByte = 0xa5
)

func guard(name string, data []byte) *guarded {
	g := &guarded{name, make([]byte, len(data)+2*guardSize)}
	for i := range g.all {
		g.all[i] = guardByte
	}
	copy(g.data(), data)
	return g
}

func (g *guarded) data() []byte {
	return g.all[guardSize : len(g.all)-guardSize]
}

func (g *guarded) check() error {
	for i, b := range g.all {
		if b != guardByte && (i < guardSize || i >= len(g.all)-guardSize) {
			return fmt.Errorf("%s: byte %d of a buffer of %d was written", g.name, i-guardSize, len(g.all)-2*guardSize)
		}
	}
	return nil
}

// poison fills an output with ones in every bit: NaN in all float types.
func poison(b []byte) {
	for i := range b {
		b[i] = 0xff
	}
}

func contents(list []*guarded) [][]byte {
	var data [][]byte
	for _, g := range list {
		data = append(data, g.data())
	}
	return data
}
