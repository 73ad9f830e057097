package ptx

import (
	"fmt"
	"strings"
)

// An Error is one thing wrong with a kernel.
type Error struct {
	Kernel  string
	Source  Pos    // where the author wrote it; zero if unknown
	Line    int    // in the module's text; 0 if it is not about a line of it
	Inst    string // the instruction, if it is about one
	Msg     string
	Context string // the text that leads up to it
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("ptx: ")
	if e.Source != (Pos{}) {
		fmt.Fprintf(&b, "%v: ", e.Source)
	}
	if e.Kernel != "" {
		fmt.Fprintf(&b, "kernel %s: ", e.Kernel)
	}
	if e.Line != 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Inst != "" {
		fmt.Fprintf(&b, "%s ", e.Inst)
	}
	b.WriteString(e.Msg)
	return b.String()
}

// An ErrorList is all that is wrong with a module; it is not empty.
type ErrorList []*Error

// maxReported is how many errors of a list are spelled out.
const maxReported = 10

// Error gives the first errors, a line each, and the text that leads up to the first.
func (l ErrorList) Error() string {
	var b strings.Builder
	for _, e := range l[:min(len(l), maxReported)] {
		fmt.Fprintln(&b, e)
	}
	if n := len(l) - maxReported; n > 0 {
		fmt.Fprintf(&b, "and %d more errors\n", n)
	}
	if l[0].Context != "" {
		fmt.Fprintf(&b, "the text up to the first:\n%s", l[0].Context)
	}
	return strings.TrimRight(b.String(), "\n")
}

// Unwrap lets errors.As and errors.Is see each error.
func (l ErrorList) Unwrap() []error {
	errs := make([]error, len(l))
	for i, e := range l {
		errs[i] = e
	}
	return errs
}

// contextInsts is how many instructions an error shows.
const contextInsts = 8

// context is the text of the last instructions of k before Insts[end].
func context(k *Kernel, end int) string {
	start := max(0, end-contextInsts)
	part := &Kernel{Insts: k.Insts[start:end]}
	for _, l := range k.Labels {
		if start <= l.At && l.At < end {
			part.Labels = append(part.Labels, Label{Name: l.Name, At: l.At - start})
		}
	}
	var p printer
	p.body(part)
	return p.b.String()
}
