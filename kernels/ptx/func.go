package ptx

import (
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
)

// An Entry is a kernel to assemble: Body emits its instructions.
type Entry struct {
	Name string
	Body func(f *Func)
}

// Assemble runs the entries' bodies and returns the verified module, whose version is the lowest that has all of its
// instructions, 7.0 at least. The same bodies give the same text. Mistakes come back as an ErrorList. Assemble may be
// called concurrently.
func Assemble(t Target, entries ...Entry) (*Module, error) {
	m := &Module{Version: max(minVersion, targets[t].version), Target: t}
	var errs ErrorList
	for _, e := range entries {
		b := &body{kernel: &Kernel{Name: e.Name}, target: t}
		f := &Func{body: b}
		e.Body(f)
		if !b.ended() {
			f.Ret()
		}
		layoutParams(b.kernel.Params)
		for _, i := range b.kernel.Insts {
			m.Version = max(m.Version, i.Op.Version)
		}
		m.Kernels = append(m.Kernels, b.kernel)
		errs = append(errs, b.errs...)
	}
	p := printer{number: func(i *Inst, line int) { i.Line = line }}
	p.module(m)
	if errs == nil {
		errs = m.verify()
	}
	if errs != nil {
		return nil, errs
	}
	return m, nil
}

// A Func emits the instructions of one kernel, in order. It is good only inside its Entry's Body and not safe for
// concurrent use.
type Func struct {
	*body
	guard Guard
	dst   []Operand // where the result goes; nil for new registers
}

// A body is a kernel in the making, shared by all views of its Func.
type body struct {
	kernel   *Kernel
	target   Target
	comments []string // for the next instruction
	labels   int      // made so far
	dynamic  int      // bytes of dynamic shared memory
	errs     ErrorList
}

// Target is the GPU that the kernel is assembled for.
func (f *Func) Target() Target { return f.target }

// MaxNTID states the threads of a block by dimension, as .maxntid. Every kernel must state it.
func (f *Func) MaxNTID(x, y, z int) { f.kernel.MaxNTID = [3]int{x, y, z} }

// MinNCTAPerSM states the blocks that shall run on a multiprocessor together, as .minnctapersm: it bounds the registers
// of a thread. Every kernel must state it, because compilers guess badly without it.
func (f *Func) MinNCTAPerSM(n int) { f.kernel.MinNCTAPerSM = n }

// Comment puts a comment above the next instruction.
func (f *Func) Comment(format string, args ...any) {
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		f.comments = append(f.comments, strings.TrimRight(line, " \t\r"))
	}
}

// ParamU32 declares the next parameter and loads it.
func (f *Func) ParamU32(name string) B32 {
	return f.b32("ld.param.u32", f.param(name, TypeU32))
}

// ParamU64 declares the next parameter and loads it.
func (f *Func) ParamU64(name string) B64 {
	return f.b64("ld.param.u64", f.param(name, TypeU64))
}

// ParamF32 declares the next parameter and loads it.
func (f *Func) ParamF32(name string) F32 {
	return f.f32("ld.param.f32", f.param(name, TypeF32))
}

// ParamPtr declares the next parameter, an address in global memory, and loads it.
func (f *Func) ParamPtr(name string) B64 { return f.CvtaToGlobalU64(f.ParamU64(name)) }

func (f *Func) param(name string, t Type) Operand {
	f.kernel.Params = append(f.kernel.Params, Param{Name: name, Type: t})
	return Operand{Kind: KindAddress, Symbol: name}
}

// Shared declares an array of size bytes in shared memory, aligned to align, and returns its address.
func (f *Func) Shared(name string, align, size int) B32 {
	if size < 1 {
		f.fail("shared array %s has %d bytes, must be at least 1", name, size)
	}
	f.kernel.Shared = append(f.kernel.Shared, Shared{Name: name, Align: align, Size: size})
	f.checkShared()
	return f.b32("mov.u32", Operand{Kind: KindSymbol, Symbol: name})
}

// DynamicShared declares the array in shared memory whose size is given at launch, aligned to align, and returns its
// address. size, in bytes, is what launches will ask for: more than the target has is refused.
func (f *Func) DynamicShared(name string, align, size int) B32 {
	f.kernel.Shared = append([]Shared{{Name: name, Align: align}}, f.kernel.Shared...)
	f.dynamic += size
	f.checkShared()
	return f.b32("mov.u32", Operand{Kind: KindSymbol, Symbol: name})
}

func (f *Func) checkShared() {
	size := f.dynamic
	for _, s := range f.kernel.Shared {
		size += s.Size
	}
	if size > f.target.MaxShared() {
		f.fail("%d bytes of shared memory, %v has %d for a block", size, f.target, f.target.MaxShared())
	}
}

// When returns f with the next instruction guarded: it takes effect in the threads where p is true.
func (f *Func) When(p Pred) *Func { return f.guarded(If, p) }

// Unless returns f with the next instruction guarded: it takes effect in the threads where p is false.
func (f *Func) Unless(p Pred) *Func { return f.guarded(Unless, p) }

func (f *Func) guarded(mode GuardMode, p Pred) *Func {
	if f.guard.Mode != Always {
		f.fail("the instruction is guarded twice")
	}
	if p.pred.kind != KindReg {
		f.fail("the guard is a Pred that was never set")
	}
	return &Func{body: f.body, guard: Guard{Mode: mode, Reg: p.pred.reg}, dst: f.dst}
}

// Into returns f with the next instruction's result going to dst, which are registers of the kernel, instead of new
// ones: all elements of it, if it is a vector.
func Into[T Register](f *Func, dst ...T) *Func {
	g := &Func{body: f.body, guard: f.guard}
	for _, d := range dst {
		g.dst = append(g.dst, d.operand())
	}
	return g
}

// emit appends an instruction.
func (f *Func) emit(name string, args []Operand) {
	i := Inst{Op: findOp(name, args), Guard: f.guard, Args: args, Comments: f.comments, Source: caller()}
	f.comments = nil
	if i.Op != nil {
		f.kernel.Insts = append(f.kernel.Insts, i)
		return
	}
	if byName[name] == nil {
		f.fail("there is no instruction %s", name)
		return
	}
	f.fail("%s", formError(name, args))
}

// do emits an instruction without a result.
func (f *Func) do(name string, args ...Value) {
	if f.dst != nil {
		f.fail("%s has no result to put into a register", name)
	}
	f.emit(name, operands(nil, args))
}

// result emits an instruction whose first operand is a register it writes.
func (f *Func) result(c RegClass, name string, args []Value) value {
	d := f.destination(c, 1, name)
	f.emit(name, operands([]Operand{{Kind: KindReg, Reg: d[0]}}, args))
	return regValue(d[0])
}

// results emits an instruction whose first operand is a vector of n registers it writes.
func (f *Func) results(c RegClass, n int, name string, args []Value) []Reg {
	d := f.destination(c, n, name)
	f.emit(name, operands([]Operand{{Kind: KindVector, Vec: d}}, args))
	return d
}

func operands(os []Operand, args []Value) []Operand {
	for _, a := range args {
		os = append(os, a.operand())
	}
	return os
}

// destination returns the n registers of class c that a result goes to.
func (f *Func) destination(c RegClass, n int, name string) []Reg {
	regs := make([]Reg, n)
	for i := range regs {
		switch {
		case f.dst == nil:
			regs[i] = f.newReg(c)
		case len(f.dst) != n || f.dst[i].Kind != KindReg || f.dst[i].Reg.Class != c:
			f.fail("the result of %s is %d registers %v, Into names %v", name, n, c, f.dst)
			return regs
		default:
			regs[i] = f.dst[i].Reg
		}
	}
	return regs
}

func (f *Func) newReg(c RegClass) Reg {
	r := Reg{Class: c, N: f.kernel.Regs[c]}
	f.kernel.Regs[c]++
	return r
}

func (f *Func) pred(name string, args ...Value) Pred { return Pred{f.result(RegPred, name, args)} }
func (f *Func) b16(name string, args ...Value) B16   { return B16{f.result(RegB16, name, args)} }
func (f *Func) b32(name string, args ...Value) B32   { return B32{f.result(RegB32, name, args)} }
func (f *Func) b64(name string, args ...Value) B64   { return B64{f.result(RegB64, name, args)} }
func (f *Func) f32(name string, args ...Value) F32   { return F32{f.result(RegF32, name, args)} }

func (f *Func) f16x2(name string, args ...Value) F16x2   { return F16x2(f.b32(name, args...)) }
func (f *Func) bf16x2(name string, args ...Value) BF16x2 { return BF16x2(f.b32(name, args...)) }

// b32s emits an instruction whose result is the vector vs.
func (f *Func) b32s(vs []B32, name string, args ...Value) {
	for i, r := range f.results(RegB32, len(vs), name, args) {
		vs[i] = B32{regValue(r)}
	}
}

// f32s emits an instruction whose result is the vector vs.
func (f *Func) f32s(vs []F32, name string, args ...Value) {
	for i, r := range f.results(RegF32, len(vs), name, args) {
		vs[i] = F32{regValue(r)}
	}
}

// fail records a mistake of the author.
func (f *Func) fail(format string, args ...any) {
	f.errs = append(f.errs, &Error{
		Kernel: f.kernel.Name, Source: caller(), Msg: fmt.Sprintf(format, args...), Context: context(f.kernel, len(f.kernel.Insts)),
	})
}

var thisPackage = reflect.TypeFor[Func]().PkgPath() + "."

// caller is the innermost line of the call stack outside this package.
func caller() Pos {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		fr, more := frames.Next()
		if !strings.HasPrefix(fr.Function, thisPackage) {
			return Pos{File: filepath.Base(fr.File), Line: fr.Line}
		}
		if !more {
			return Pos{}
		}
	}
}
