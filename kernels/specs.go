package kernels

import (
	"errors"
	"slices"

	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// Precisions are those that kernels in PTX have on a target.
func Precisions(t ptx.Target) []Precision {
	list := []Precision{FP32, {tensor.F16, tensor.F32}, {tensor.F16, tensor.F16}, {tensor.BF16, tensor.F32}}
	return slices.DeleteFunc(list, func(p Precision) bool { return supports(Spec{Target: t, Precision: p}) != nil })
}

// Specs are the texts that the kernel's cases need on a target, each once: in all precisions, on operands without gaps
// between their rows. There is none for what the kernel's PTX does not support.
func (k *Kernel) Specs(t ptx.Target) ([]Spec, error) {
	var list []Spec
	for _, c := range k.Cases {
		specs, err := k.caseSpecs(t, c)
		if err != nil {
			return nil, err
		}
		for _, s := range specs {
			if !slices.Contains(list, s) {
				list = append(list, s)
			}
		}
	}
	return list, nil
}

// caseSpecs are the texts of one case, one a precision.
func (k *Kernel) caseSpecs(t ptx.Target, c Case) ([]Spec, error) {
	if c.Refused || k.GPU == nil {
		return nil, nil
	}
	var list []Spec
	var seen []Precision
	for _, p := range Precisions(t) {
		p = k.distinct(p)
		if slices.Contains(seen, p) {
			continue
		}
		seen = append(seen, p)
		program := k.program(c, p)
		if err := program.Err(); err != nil {
			return nil, err
		}
		s, err := program.Spec(0, t)
		if errors.Is(err, ErrUnsupported) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// largestCase is the case of the largest product of sizes: the real one.
func (k *Kernel) largestCase() Case {
	var largest Case
	most := 0
	for _, c := range k.Cases {
		n := 1
		for _, d := range c.Dims {
			n *= d
		}
		if n > most && !c.Refused {
			largest, most = c, n
		}
	}
	return largest
}

// Example is a program of one call: of the kernel's largest case, of whole buffers.
func (k *Kernel) Example(p Precision) *Program { return k.program(k.largestCase(), k.distinct(p)) }

// distinct is p with the types of kinds that no operand of k has set to those of the other kind, as Program's methods
// set them.
func (k *Kernel) distinct(p Precision) Precision {
	var has [Samples + 1]bool
	for _, o := range slices.Concat(k.In, k.Out) {
		has[o.Kind] = true
	}
	if !has[Stream] {
		p.Stream = p.Activation
	}
	if !has[Activations] {
		p.Activation = p.Stream
	}
	return p
}

// program is a call of k at case c, of whole buffers.
func (k *Kernel) program(c Case, t Precision) *Program {
	p := NewProgram()
	var in []Buf
	for _, o := range k.In {
		rows, cols := o.Shape(c.Dims)
		switch {
		case slices.Contains(c.Without, o.Name):
			in = append(in, Absent)
		case o.Constant:
			in = append(in, p.Weight(&Weight{Key: o.Name, Type: t.Type(o.Kind), Rows: rows, Cols: cols}))
		default:
			in = append(in, p.Input(o.Name, t.Type(o.Kind), rows, cols))
		}
	}
	p.Append("y", t, Call{Kernel: k, In: in, Dims: c.Dims, Scalars: c.Scalars, Attrs: c.Attrs})
	return p
}
