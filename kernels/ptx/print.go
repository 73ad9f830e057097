package ptx

import (
	"fmt"
	"strings"
)

// Text returns the module as PTX. Equal modules have equal text, and Parse gives the module back.
func (m *Module) Text() string {
	var p printer
	p.module(m)
	return p.b.String()
}

// Text returns the instruction as it stands in the module's text, without comments.
func (i *Inst) Text() string {
	var p printer
	p.inst(i)
	return p.b.String()
}

// A printer counts the lines it has written.
type printer struct {
	b      strings.Builder
	line   int
	number func(i *Inst, line int) // told of each instruction's line; may be nil
}

func (p *printer) printf(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	p.line += strings.Count(s, "\n")
	p.b.WriteString(s)
}

func (p *printer) module(m *Module) {
	p.printf(".version %v\n.target %v\n.address_size 64\n", m.Version, m.Target)
	for _, k := range m.Kernels {
		p.printf("\n")
		p.kernel(k)
	}
}

func (p *printer) kernel(k *Kernel) {
	for _, s := range k.Shared {
		if s.Size == 0 {
			p.printf(".extern .shared .align %d .b8 %s[];\n", s.Align, s.Name)
		}
	}
	p.printf(".visible .entry %s(", k.Name)
	for i, a := range k.Params {
		if i > 0 {
			p.printf(",")
		}
		p.printf("\n\t.param %v %s", a.Type, a.Name)
	}
	p.printf("\n)\n.maxntid %d, %d, %d\n.minnctapersm %d\n{\n", k.MaxNTID[0], k.MaxNTID[1], k.MaxNTID[2], k.MinNCTAPerSM)
	for _, s := range k.Shared {
		if s.Size != 0 {
			p.printf("\t.shared .align %d .b8 %s[%d];\n", s.Align, s.Name, s.Size)
		}
	}
	for c, n := range k.Regs {
		if n > 0 {
			p.printf("\t.reg %v %s<%d>;\n", RegClass(c), regClasses[c].prefix, n)
		}
	}
	p.body(k)
	p.printf("}\n")
}

func (p *printer) body(k *Kernel) {
	labels := k.Labels
	for i := range k.Insts {
		for ; len(labels) > 0 && labels[0].At == i; labels = labels[1:] {
			p.printf("%s:\n", labels[0].Name)
		}
		inst := &k.Insts[i]
		for _, c := range inst.Comments {
			p.printf("\t%s\n", strings.TrimRight("// "+c, " "))
		}
		if p.number != nil {
			p.number(inst, p.line+1)
		}
		p.printf("\t")
		p.inst(inst)
		p.printf("\n")
	}
	for _, l := range labels {
		p.printf("%s:\n", l.Name)
	}
}

func (p *printer) inst(i *Inst) {
	switch i.Guard.Mode {
	case If:
		p.printf("@%v ", i.Guard.Reg)
	case Unless:
		p.printf("@!%v ", i.Guard.Reg)
	}
	p.printf("%s", i.Op.Name)
	for n, a := range i.Args {
		if n > 0 {
			p.printf(",")
		}
		p.printf(" %v", a)
	}
	p.printf(";")
}

func (o Operand) String() string {
	switch o.Kind {
	case KindNone:
		return "?"
	case KindReg:
		return o.Reg.String()
	case KindInt:
		return fmt.Sprint(o.Imm)
	case KindFloat:
		return fmt.Sprintf("0f%08X", uint32(o.Imm))
	case KindAddress:
		base := o.Symbol
		if base == "" {
			base = o.Reg.String()
		}
		if o.Imm == 0 {
			return "[" + base + "]"
		}
		return fmt.Sprintf("[%s+%d]", base, o.Imm)
	case KindVector:
		s := make([]string, len(o.Vec))
		for i, r := range o.Vec {
			s[i] = r.String()
		}
		return "{" + strings.Join(s, ", ") + "}"
	case KindSpecial:
		return o.Special.String()
	}
	return o.Symbol
}
