package kernels

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"vith/kernels/tensor"
)

// A Program is a fixed sequence of calls over buffers. Every buffer is written by at most one call, so a Buf stands for
// a value. A Program knows nothing about where it will run. It is built by one goroutine and read-only afterwards.
type Program struct {
	Bufs  []BufInfo
	Calls []Call

	weights map[*Weight]int
	err     error
}

// A Role says where a buffer's contents come from.
type Role uint8

const (
	Scratch Role = iota // written by one call, read by later ones
	Fixed               // a Weight, the same in every pass
	Input               // handed in with each pass
	Output              // written by one call, handed out after each pass
)

func (r Role) String() string { return [...]string{"scratch", "weight", "input", "output"}[r] }

// A BufInfo describes a buffer of Rows x Cols elements, row r starting Pitch elements after row r-1.
type BufInfo struct {
	Name              string
	Type              tensor.DType
	Rows, Cols, Pitch int
	Role              Role
	Weight            *Weight // of role Fixed
}

// Bytes is the size of the buffer, gaps between rows included.
func (b BufInfo) Bytes() int { return b.Rows * b.Pitch * b.Type.Size() }

// A Weight is a constant matrix, filled by rows on demand. Its pointer is its identity in all programs of a tower.
type Weight struct {
	Key        string       // unique name, for errors and listings
	Type       tensor.DType // in the device's memory
	Rows, Cols int
	// Fill writes rows [row0, row0+rows), converted to float32, to dst, which holds rows·Cols values. It may be called
	// concurrently. Backends call it for consecutive rows of one weight from one goroutine.
	Fill func(dst []float32, row0, rows int) error
}

// A Buf is a view of a buffer: rows Row, Row+Step, Row+2·Step, …, Rows of them, and columns [Col, Col+Cols). Views move
// no bytes; taking each image's class token out of the residual stream is a view.
type Buf struct {
	ID         int // index in Program.Bufs, or None
	Row, Col   int
	Rows, Cols int
	Step       int
}

// None is the ID of an absent optional operand.
const None = -1

// Absent is an optional operand left out.
var Absent = Buf{ID: None}

// Columns is the view of columns [col, col+n) of b.
func (b Buf) Columns(col, n int) Buf {
	b.Col += col
	b.Cols = n
	return b
}

// Every is the view of rows 0, step, 2·step, … of b.
func (b Buf) Every(step int) Buf {
	b.Rows = (b.Rows + step - 1) / step
	b.Step *= step
	return b
}

// A Call applies a kernel. In has an entry for each of the kernel's inputs, absent ones with ID None.
type Call struct {
	Kernel    *Kernel
	In, Out   []Buf
	Dims      []int
	Scalars   []float32
	Attrs     Attrs
	Precision Precision // set by Append
}

// NewProgram returns an empty program.
func NewProgram() *Program { return &Program{weights: map[*Weight]int{}} }

// Err is the first mistake made in building the program: a shape, type or size that does not fit, with the names of
// the kernel and the operands.
func (p *Program) Err() error { return p.err }

// Input adds a buffer that each pass hands in. Inputs are handed in in the order of these calls.
func (p *Program) Input(name string, t tensor.DType, rows, cols int) Buf {
	return p.buffer(BufInfo{Name: name, Type: t, Rows: rows, Cols: cols, Role: Input})
}

// Weight adds a constant, once however often it is asked for.
func (p *Program) Weight(w *Weight) Buf {
	if id, ok := p.weights[w]; ok {
		return Buf{ID: id, Rows: w.Rows, Cols: w.Cols, Step: 1}
	}
	b := p.buffer(BufInfo{Name: w.Key, Type: w.Type, Rows: w.Rows, Cols: w.Cols, Role: Fixed, Weight: w})
	p.weights[w] = b.ID
	return b
}

// Output marks the buffer of b, which must be a whole buffer written by a call, as handed out after each pass.
func (p *Program) Output(b Buf) {
	info := &p.Bufs[b.ID]
	if info.Role != Scratch || b != whole(b.ID, *info) {
		p.fail(fmt.Errorf("kernels: output %s must be the whole result of a call", info.Name))
		return
	}
	info.Role = Output
}

func (p *Program) buffer(info BufInfo) Buf {
	info.Pitch = info.Cols
	p.Bufs = append(p.Bufs, info)
	return whole(len(p.Bufs)-1, info)
}

func whole(id int, info BufInfo) Buf {
	return Buf{ID: id, Rows: info.Rows, Cols: info.Cols, Step: 1}
}

func (p *Program) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// Append appends a call of precision t and returns its outputs, named name, after checking every operand against the
// kernel. Programs are written with the methods in the kernels' files, which call it.
func (p *Program) Append(name string, t Precision, c Call) []Buf {
	k := c.Kernel
	c.Precision = t
	if err := k.Check(c.Dims); err != nil {
		p.fail(err)
	}
	if !t.Activation.Float() || !t.Stream.Float() {
		p.fail(fmt.Errorf("kernels: %s in %v: activations and stream must be of a float type", k.Name, t))
	}
	for i, b := range c.In {
		if err := p.fits(k, k.In[i], b, t, c.Dims); err != nil {
			p.fail(err)
		}
	}
	for i, o := range k.Out {
		rows, cols := o.Shape(c.Dims)
		n := name
		if i > 0 {
			n += "." + o.Name
		}
		c.Out = append(c.Out, p.buffer(BufInfo{Name: n, Type: t.Type(o.Kind), Rows: rows, Cols: cols}))
	}
	p.Calls = append(p.Calls, c)
	return slices.Clone(c.Out)
}

// fits reports why b cannot be operand o.
func (p *Program) fits(k *Kernel, o Operand, b Buf, t Precision, d []int) error {
	if b.ID == None {
		if o.Optional {
			return nil
		}
		return fmt.Errorf("kernels: %s: operand %s is missing", k.Name, o.Name)
	}
	info := p.Bufs[b.ID]
	rows, cols := o.Shape(d)
	if b.Rows != rows || b.Cols != cols {
		return fmt.Errorf("kernels: %s%v: operand %s must be [%d, %d], %s is [%d, %d]", k.Name, d, o.Name, rows, cols, info.Name, b.Rows, b.Cols)
	}
	if b.Row < 0 || b.Col < 0 || b.Step < 1 || b.Row+(b.Rows-1)*b.Step >= info.Rows || b.Col+b.Cols > info.Cols {
		return fmt.Errorf("kernels: %s%v: operand %s: view %+v exceeds %s [%d, %d]", k.Name, d, o.Name, b, info.Name, info.Rows, info.Cols)
	}
	if o.Constant && (info.Role != Fixed || b != whole(b.ID, info)) {
		return fmt.Errorf("kernels: %s: operand %s must be a whole weight, %s is not", k.Name, o.Name, info.Name)
	}
	if want := t.Type(o.Kind); info.Type != want {
		return fmt.Errorf("kernels: %s in %v: operand %s must be %v, %s is %v", k.Name, t, o.Name, want, info.Name, info.Type)
	}
	return nil
}

// typeOf is the type of b's elements.
func (p *Program) typeOf(b Buf) tensor.DType { return p.Bufs[b.ID].Type }

// uniform is the precision in which everything has the type of b.
func (p *Program) uniform(b Buf) Precision { return Precision{p.typeOf(b), p.typeOf(b)} }

// name is the name of b's buffer.
func (p *Program) name(b Buf) string { return p.Bufs[b.ID].Name }

// A Cost is what a call, or a program, asks of a device.
type Cost struct {
	FLOPs int64 // floating-point operations of the mathematics
	Bytes int64 // every operand moved once
}

// Cost of call i.
func (p *Program) Cost(i int) Cost {
	c := p.Calls[i]
	cost := Cost{FLOPs: c.Kernel.FLOPs(c.Dims)}
	for _, operands := range [][]Buf{c.In, c.Out} {
		for _, b := range operands {
			if b.ID != None {
				cost.Bytes += int64(b.Rows) * int64(b.Cols) * int64(p.typeOf(b).Size())
			}
		}
	}
	return cost
}

// Print writes one line a call: its number, result, kernel, sizes, choices and operands.
func (p *Program) Print(w io.Writer) error {
	for i, c := range p.Calls {
		var out, in []string
		for _, b := range c.Out {
			out = append(out, p.describe(b))
		}
		for _, b := range c.In {
			in = append(in, p.describe(b))
		}
		attrs := ""
		if c.Attrs.Activation != NoActivation {
			attrs = " " + c.Attrs.Activation.String()
		}
		_, err := fmt.Fprintf(w, "%d\t%s = %s%v%s (%s)\n", i, strings.Join(out, ", "), c.Kernel.Name, c.Dims, attrs, strings.Join(in, ", "))
		if err != nil {
			return err
		}
	}
	return nil
}

// describe is a buffer's name, with the rows and columns of a view that is not the whole.
func (p *Program) describe(b Buf) string {
	if b.ID == None {
		return "-"
	}
	info := p.Bufs[b.ID]
	s := info.Name
	if b.Step != 1 || b.Rows != info.Rows {
		s += fmt.Sprintf("[%d::%d]", b.Row, b.Step)
	}
	if b.Cols != info.Cols {
		s += fmt.Sprintf("[:,%d:%d]", b.Col, b.Col+b.Cols)
	}
	return s
}
