package ptx

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A SyntaxError says where text is not the PTX that this package prints.
type SyntaxError struct {
	Line, Col int    // from 1; Col in bytes
	Token     string // where parsing stopped; empty at the end of the text
	Msg       string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("ptx: %d:%d: at %v: %s", e.Line, e.Col, token{text: e.Token}, e.Msg)
}

// Parse reads the PTX that Text prints: whitespace is free, comments are kept where they stand above an instruction.
// Errors are of type *SyntaxError. What is well-formed may still be wrong: see Verify.
func Parse(text string) (*Module, error) {
	p := &parser{lex: lexer{rest: text, line: 1, col: 1}}
	p.next()
	m := p.module()
	if p.err != nil {
		return nil, p.err
	}
	return m, nil
}

// maxRegs bounds the registers of a class, so that no text can ask for much memory.
const maxRegs = 1 << 16

// A parser reads tokens until the first error; from there on it sees only the end of the text.
type parser struct {
	lex lexer
	tok token
	err *SyntaxError
}

func (p *parser) next() {
	if p.err == nil {
		p.tok = p.lex.next()
	}
}

func (p *parser) fail(at token, format string, args ...any) {
	if p.err == nil {
		p.err = &SyntaxError{Line: at.line, Col: at.col, Token: at.text, Msg: fmt.Sprintf(format, args...)}
		p.tok = token{}
	}
}

// take returns the current token and goes to the next.
func (p *parser) take() token {
	t := p.tok
	p.next()
	return t
}

func (p *parser) accept(text string) bool {
	if p.tok.text != text {
		return false
	}
	p.next()
	return true
}

func (p *parser) expect(texts ...string) {
	for _, s := range texts {
		if !p.accept(s) {
			p.fail(p.tok, "expected %q", s)
			return
		}
	}
}

func (p *parser) ident(what string) string {
	t := p.take()
	if !isIdent(t.text) {
		p.fail(t, "expected the name of a %s", what)
	}
	return t.text
}

func (p *parser) number(what string, lo, hi int) int {
	t := p.take()
	n, err := strconv.Atoi(t.text)
	if err != nil || n < lo || n > hi {
		p.fail(t, "expected %s from %d to %d", what, lo, hi)
	}
	return n
}

func (p *parser) module() *Module {
	m := &Module{}
	p.expect(".version")
	if t := p.take(); len(t.text) == 3 && isDigit(t.text[0]) && t.text[1] == '.' && isDigit(t.text[2]) {
		m.Version = Version(10*int(t.text[0]-'0') + int(t.text[2]-'0'))
	} else {
		p.fail(t, "expected a version like 7.0")
	}
	p.expect(".target")
	t := p.take()
	digits, ok := strings.CutPrefix(t.text, "sm_")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil {
		p.fail(t, "expected a target like sm_80")
	}
	m.Target = Target(n)
	p.expect(".address_size", "64")
	for p.err == nil && p.tok.text != "" {
		m.Kernels = append(m.Kernels, p.kernel())
	}
	return m
}

func (p *parser) kernel() *Kernel {
	k := &Kernel{}
	for p.accept(".extern") {
		k.Shared = append(k.Shared, p.shared(true))
	}
	p.expect(".visible", ".entry")
	k.Name = p.ident("kernel")
	p.expect("(")
	for p.tok.text == ".param" || len(k.Params) > 0 {
		p.expect(".param")
		t := p.typ()
		k.Params = append(k.Params, Param{Name: p.ident("parameter"), Type: t})
		if !p.accept(",") {
			break
		}
	}
	layoutParams(k.Params)
	p.expect(")", ".maxntid")
	for i := range k.MaxNTID {
		if i > 0 {
			p.expect(",")
		}
		k.MaxNTID[i] = p.number("threads", 1, maxThreads)
	}
	p.expect(".minnctapersm")
	k.MinNCTAPerSM = p.number("blocks", 1, maxThreads)
	p.lex.comments = nil
	p.expect("{")
	for p.tok.text == ".shared" || p.tok.text == ".reg" {
		if p.tok.text == ".shared" {
			k.Shared = append(k.Shared, p.shared(false))
		} else {
			p.registers(k)
		}
	}
	for p.err == nil && !p.accept("}") {
		p.statement(k)
	}
	return k
}

// layoutParams sets the offsets of ps and returns the bytes they take.
func layoutParams(ps []Param) int {
	end := 0
	for i := range ps {
		size := ps[i].Type.Bits() / 8
		ps[i].Offset = (end + size - 1) / size * size
		end = ps[i].Offset + size
	}
	return end
}

func (p *parser) typ() Type {
	t := p.take()
	name, dot := strings.CutPrefix(t.text, ".")
	typ, ok := typeNamed(name)
	if !dot || !ok || typ.Bits() < 8 {
		p.fail(t, "expected a type")
		return TypeB32
	}
	return typ
}

func (p *parser) shared(dynamic bool) (s Shared) {
	p.expect(".shared", ".align")
	s.Align = p.number("an alignment", 1, 1024)
	p.expect(".b8")
	s.Name = p.ident("shared array")
	p.expect("[")
	if !dynamic {
		s.Size = p.number("a size", 1, maxStaticShared)
	}
	p.expect("]", ";")
	return s
}

func (p *parser) registers(k *Kernel) {
	p.expect(".reg")
	at := p.tok
	c := slices.IndexFunc(regClasses[:], func(c regClassInfo) bool { return "."+c.decl == p.tok.text })
	if c < 0 || k.Regs[c] > 0 {
		p.fail(at, "expected a register class that is not declared yet")
		return
	}
	p.next()
	p.expect(regClasses[c].prefix, "<")
	k.Regs[c] = p.number("registers", 1, maxRegs)
	p.expect(">", ";")
}

// statement reads a label or an instruction.
func (p *parser) statement(k *Kernel) {
	i := Inst{Line: p.tok.line, Comments: p.lex.comments}
	if p.tok.text == "@" {
		p.next()
		i.Guard.Mode = If
		if p.accept("!") {
			i.Guard.Mode = Unless
		}
		i.Guard.Reg = p.reg()
	}
	name := p.take()
	if i.Guard.Mode == Always && isIdent(name.text) && p.accept(":") {
		k.Labels = append(k.Labels, Label{Name: name.text, At: len(k.Insts)})
		return
	}
	p.lex.comments = nil
	forms := byName[name.text]
	if forms == nil {
		p.fail(name, "unknown instruction")
		return
	}
	for p.err == nil && !p.accept(";") {
		if len(i.Args) > 0 {
			p.expect(",")
		}
		i.Args = append(i.Args, p.operand())
	}
	if forms[0].isBranch() && len(i.Args) == 1 && i.Args[0].Kind == KindSymbol {
		i.Args[0].Kind = KindLabel
	}
	if i.Op = findOp(name.text, i.Args); i.Op == nil {
		p.fail(name, "%s", formError(name.text, i.Args))
	}
	k.Insts = append(k.Insts, i)
}

func (p *parser) reg() Reg {
	t := p.take()
	r, ok := regNamed(t.text)
	if !ok {
		p.fail(t, "expected a register")
	}
	return r
}

// regNamed reads a register's name. No prefix but %r is the start of another, and %rd goes on with a letter.
func regNamed(s string) (Reg, bool) {
	for c, info := range regClasses {
		digits, ok := strings.CutPrefix(s, info.prefix)
		if !ok || digits == "" || !isDigit(digits[0]) {
			continue
		}
		n, err := strconv.Atoi(digits)
		return Reg{Class: RegClass(c), N: n}, err == nil && n < maxRegs
	}
	return Reg{}, false
}

func (p *parser) operand() Operand {
	t := p.take()
	switch {
	case t.text == "{":
		o := Operand{Kind: KindVector, Vec: []Reg{p.reg()}}
		for p.accept(",") {
			o.Vec = append(o.Vec, p.reg())
		}
		p.expect("}")
		return o
	case t.text == "[":
		return p.address()
	case strings.HasPrefix(t.text, "0f"):
		bits, err := strconv.ParseUint(t.text[2:], 16, 32)
		if err != nil || len(t.text) != 10 {
			p.fail(t, "expected a float of 8 hexadecimal digits")
		}
		return Operand{Kind: KindFloat, Imm: int64(bits)}
	case isIdent(t.text):
		return Operand{Kind: KindSymbol, Symbol: t.text}
	}
	if r, ok := regNamed(t.text); ok {
		return Operand{Kind: KindReg, Reg: r}
	}
	if s := slices.Index(specials[:], t.text); s >= 0 {
		return Operand{Kind: KindSpecial, Special: Special(s)}
	}
	n, err := strconv.ParseInt(t.text, 10, 64)
	if err != nil {
		p.fail(t, "expected an operand")
	}
	return Operand{Kind: KindInt, Imm: n}
}

func (p *parser) address() Operand {
	o := Operand{Kind: KindAddress}
	if isIdent(p.tok.text) {
		o.Symbol = p.take().text
	} else {
		o.Reg = p.reg()
	}
	if p.accept("+") {
		t := p.take()
		n, err := strconv.ParseInt(t.text, 10, 32)
		if err != nil {
			p.fail(t, "expected an offset in bytes")
		}
		o.Imm = n
	}
	p.expect("]")
	return o
}

// formError says why no form of the named instruction takes args.
func formError(name string, args []Operand) string {
	var want []string
	for _, o := range byName[name] {
		want = append(want, list(o.Args, Arg.String))
	}
	got := list(args, func(x Operand) string { return x.Kind.String() })
	return fmt.Sprintf("no form of %s takes %s: it takes %s", name, got, strings.Join(want, " or "))
}

func list[T any](xs []T, describe func(T) string) string {
	words := make([]string, len(xs))
	for i, x := range xs {
		words[i] = describe(x)
	}
	return "(" + strings.Join(words, ", ") + ")"
}

// String describes the operand in words: "a register or constant .u32".
func (a Arg) String() string {
	switch {
	case a.Kind == KindReg && a.Const:
		return fmt.Sprintf("a register or constant %v", a.Type)
	case a.Kind == KindReg:
		return fmt.Sprintf("a register %v", a.Type)
	case a.Kind == KindVector:
		return fmt.Sprintf("a vector of %d %v", a.N, a.Type)
	case a.Kind == KindInt && a.Min == a.Max:
		return fmt.Sprintf("the constant %d", a.Min)
	case a.Kind == KindInt:
		return fmt.Sprintf("a constant from %d to %d", a.Min, a.Max)
	}
	return a.Kind.String()
}

// isBranch tells whether the operand is a label.
func (o *Op) isBranch() bool { return len(o.Args) == 1 && o.Args[0].Kind == KindLabel }
