package kernels

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"vith/kernels/ptx"
)

// A GPU is a kernel's implementation in PTX. One text serves every call with the same Spec.
type GPU struct {
	// Burn names the sizes that are constants of the text; the others are parameters.
	Burn []string
	// Accepts refuses what this implementation, or the target, cannot do at sizes d; nil accepts what the kernel does.
	Accepts func(s Spec, d []int) error
	// Launch is the geometry of a call of sizes d.
	Launch func(s Spec, d []int) Geometry
	// PTX writes the body. It states .maxntid and .minnctapersm; the parameters are declared already.
	PTX func(f *ptx.Func, s Spec, p Params)
}

// maxDims is the most sizes that a kernel has.
const maxDims = 5

// A Spec is everything that one text of a kernel depends on. It is comparable: golden texts, tables and caches of
// modules are keyed by it and the kernel.
type Spec struct {
	Target    ptx.Target
	Precision Precision
	Dims      [maxDims]int // the burnt sizes, 0 for the others
	Attrs     Attrs
	Operands  uint8 // bit i: input i is there
	// Vector is how many consecutive elements may be accessed at once: in every operand, rows start at a multiple of
	// Vector elements, or of 16 bytes. It is 1, 2, 4 or 8.
	Vector uint8
}

// Has reports whether input i is there.
func (s Spec) Has(i int) bool { return s.Operands>>i&1 == 1 }

// A Geometry is how a call is launched.
type Geometry struct {
	Grid, Block [3]int
	Shared      int // dynamic shared memory, bytes
}

// Params are a kernel's parameters, loaded into registers: of each input that is there and each output its address and
// pitch, then the sizes that are not burnt, then the scalars.
type Params struct {
	In, Out []Pointer
	Dims    []ptx.B32 // by place; the burnt ones are not to be used
	Scalars []ptx.F32
}

// A Pointer is an operand in global memory: the address of its first element, and the bytes from a row to the next.
type Pointer struct {
	Address ptx.B64
	Pitch   ptx.B32
}

// Row is the address of row r.
func (p Pointer) Row(f *ptx.Func, r ptx.B32) ptx.B64 { return f.MadWideU32(r, p.Pitch, p.Address) }

// ErrUnsupported marks the errors of sizes, types or operands that a kernel has and an implementation of it has not.
var ErrUnsupported = errors.New("not supported")

// Spec returns the text that call i needs on a target. An error that is ErrUnsupported says why there is none, naming
// kernel, sizes, precision and target.
func (p *Program) Spec(i int, t ptx.Target) (Spec, error) {
	c := &p.Calls[i]
	k := c.Kernel
	if k.GPU == nil {
		return Spec{}, fmt.Errorf("kernels: %s has no PTX: %w", k.Name, ErrUnsupported)
	}
	if err := k.Check(c.Dims); err != nil {
		return Spec{}, err
	}
	s := Spec{Target: t, Precision: c.Precision, Attrs: c.Attrs, Vector: 8}
	for i, d := range c.Dims {
		if k.burnt(i) {
			s.Dims[i] = d
		}
	}
	for i, b := range c.In {
		if b.ID != None {
			s.Operands |= 1 << i
			s.Vector = min(s.Vector, p.vector(b))
		}
	}
	for _, b := range c.Out {
		s.Vector = min(s.Vector, p.vector(b))
	}
	err := supports(s)
	if err == nil && k.GPU.Accepts != nil {
		err = k.GPU.Accepts(s, c.Dims)
	}
	if err != nil {
		return Spec{}, fmt.Errorf("kernels: %s%v in %v on %v: %w: %w", k.Name, c.Dims, c.Precision, t, ErrUnsupported, err)
	}
	return s, nil
}

// vector is how many elements of b may be accessed at once, in a buffer that starts at a multiple of 16 bytes.
func (p *Program) vector(b Buf) uint8 {
	info := p.Bufs[b.ID]
	size := info.Type.Size()
	starts := (b.Row*info.Pitch + b.Col) * size
	if b.Rows > 1 {
		starts |= b.Step * info.Pitch * size
	}
	if starts%16 == 0 {
		return 8
	}
	return uint8(max(1, starts&-starts/size))
}

// burnt reports whether size i is a constant of the text.
func (k *Kernel) burnt(i int) bool {
	for _, name := range k.GPU.Burn {
		if name == k.Dims[i] {
			return true
		}
	}
	return false
}

// Entry is the name of the kernel's entry point for s: the kernel's name, precision, choices and burnt sizes.
func (k *Kernel) Entry(s Spec) string {
	parts := []string{k.Name, strings.ReplaceAll(s.Precision.String(), "/", "_")}
	if s.Attrs.Activation != NoActivation {
		parts = append(parts, s.Attrs.Activation.String())
	}
	for i, o := range k.In {
		if o.Optional && s.Has(i) {
			parts = append(parts, o.Name)
		}
	}
	for i, name := range k.Dims {
		if k.burnt(i) {
			parts = append(parts, fmt.Sprintf("%s%d", name, s.Dims[i]))
		}
	}
	return strings.Join(append(parts, fmt.Sprintf("v%d", s.Vector)), "_")
}

// Assemble returns the module of one text. The same kernel and Spec give the same text.
func (k *Kernel) Assemble(s Spec) (*ptx.Module, error) {
	return ptx.Assemble(s.Target, ptx.Entry{Name: k.Entry(s), Body: func(f *ptx.Func) {
		var p Params
		pointer := func(name string) Pointer {
			return Pointer{Address: f.ParamPtr(name), Pitch: f.ParamU32(name + "_pitch")}
		}
		for i, o := range k.In {
			if s.Has(i) {
				p.In = append(p.In, pointer(o.Name))
			} else {
				p.In = append(p.In, Pointer{})
			}
		}
		for _, o := range k.Out {
			p.Out = append(p.Out, pointer(o.Name))
		}
		for i, name := range k.Dims {
			if k.burnt(i) {
				p.Dims = append(p.Dims, ptx.B32{})
			} else {
				p.Dims = append(p.Dims, f.ParamU32(name))
			}
		}
		for _, name := range k.Scalars {
			p.Scalars = append(p.Scalars, f.ParamF32(name))
		}
		k.GPU.PTX(f, s, p)
	}})
}

// Slots are the values of call i's parameters, in the order that Assemble declares them, 8 bytes each. base is the
// address of a buffer.
func (p *Program) Slots(i int, base func(id int) uint64) []uint64 {
	c := &p.Calls[i]
	var slots []uint64
	for _, list := range [][]Buf{c.In, c.Out} {
		for _, b := range list {
			if b.ID == None {
				continue
			}
			info := p.Bufs[b.ID]
			size := info.Type.Size()
			slots = append(slots, base(b.ID)+uint64((b.Row*info.Pitch+b.Col)*size), uint64(b.Step*info.Pitch*size))
		}
	}
	for i, d := range c.Dims {
		if !c.Kernel.burnt(i) {
			slots = append(slots, uint64(d))
		}
	}
	for _, x := range c.Scalars {
		slots = append(slots, uint64(math.Float32bits(x)))
	}
	return slots
}
