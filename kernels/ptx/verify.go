package ptx

import (
	"fmt"
	"slices"
)

// Verify reports, as an ErrorList, what the text of m would be refused for or would leave undefined: names, limits, the
// versions and targets of instructions, the types of operands, and control flow (see flow.go). What depends on values
// (addresses, alignment, divergence at barriers) is for an interpreter. Assemble has verified what it returns.
func (m *Module) Verify() error {
	if errs := m.verify(); errs != nil {
		return errs
	}
	return nil
}

func (m *Module) verify() ErrorList {
	v := &verifier{module: m}
	if t, ok := targets[m.Target]; !ok {
		v.fail(nil, "unknown target %v", m.Target)
	} else if m.Version < max(t.version, minVersion) || m.Version > maxVersion {
		v.fail(nil, "version %v, %v needs %v to %v", m.Version, m.Target, max(t.version, minVersion), maxVersion)
	}
	for i, k := range m.Kernels {
		v.kernel = k
		if slices.ContainsFunc(m.Kernels[:i], func(o *Kernel) bool { return o.Name == k.Name }) {
			v.fail(nil, "two kernels have this name")
		}
		v.checkHeader()
		v.checkLabels()
		n := len(v.errs)
		for i := range k.Insts {
			v.checkInst(&k.Insts[i])
		}
		if n == len(v.errs) { // control flow needs labels and registers that exist
			v.checkFlow()
		}
	}
	return v.errs
}

type verifier struct {
	module *Module
	kernel *Kernel
	errs   ErrorList
}

// fail records an error about instruction i, or about the kernel if i is nil.
func (v *verifier) fail(i *Inst, format string, args ...any) {
	e := &Error{Msg: fmt.Sprintf(format, args...)}
	if v.kernel != nil {
		e.Kernel = v.kernel.Name
	}
	if i != nil {
		e.Source, e.Line, e.Inst = i.Source, i.Line, i.Text()
		e.Context = context(v.kernel, 1+v.kernel.index(i))
	}
	v.errs = append(v.errs, e)
}

// index is the place of i, which is an element of Insts.
func (k *Kernel) index(i *Inst) int {
	n := 0
	for &k.Insts[n] != i {
		n++
	}
	return n
}

func (v *verifier) checkHeader() {
	k := v.kernel
	if !isIdent(k.Name) {
		v.fail(nil, "%q cannot be a kernel's name", k.Name)
	}
	if k.MaxNTID == [3]int{} || k.MinNCTAPerSM == 0 {
		v.fail(nil, "MaxNTID and MinNCTAPerSM must be stated")
	} else if x, y, z := k.MaxNTID[0], k.MaxNTID[1], k.MaxNTID[2]; min(x, y, z, k.MinNCTAPerSM) < 1 || max(x, y, z, x*y*z) > maxThreads {
		v.fail(nil, ".maxntid %d, %d, %d .minnctapersm %d: all must be at least 1, and the threads of a block at most %d",
			x, y, z, k.MinNCTAPerSM, maxThreads)
	}

	names := map[string]bool{}
	declare := func(what, name string) {
		if !isIdent(name) {
			v.fail(nil, "%q cannot be the name of a %s", name, what)
		} else if names[name] {
			v.fail(nil, "%s %s: the name is taken", what, name)
		}
		names[name] = true
	}
	for _, p := range k.Params {
		declare("parameter", p.Name)
	}
	if n := layoutParams(slices.Clone(k.Params)); n > maxParamBytes {
		v.fail(nil, "the parameters take %d bytes, at most %d are allowed", n, maxParamBytes)
	}
	static, dynamic := 0, 0
	for _, s := range k.Shared {
		declare("shared array", s.Name)
		if s.Align < 1 || s.Align&(s.Align-1) != 0 {
			v.fail(nil, "shared array %s: alignment %d is not a power of two", s.Name, s.Align)
			continue
		}
		if s.Size == 0 {
			dynamic++
		}
		static = (static+s.Align-1)/s.Align*s.Align + s.Size
	}
	if dynamic > 1 {
		v.fail(nil, "%d dynamic shared arrays, which would overlap", dynamic)
	}
	if static > maxStaticShared {
		v.fail(nil, "the shared arrays take %d bytes, at most %d can be static", static, maxStaticShared)
	}
	for c, n := range k.Regs {
		if n < 0 || n > maxRegs {
			v.fail(nil, "%d registers %v, at most %d are allowed", n, RegClass(c), maxRegs)
		}
	}
}

func (v *verifier) checkLabels() {
	seen := map[string]bool{}
	for _, l := range v.kernel.Labels {
		switch {
		case !isIdent(l.Name):
			v.fail(nil, "%q cannot be a label", l.Name)
		case seen[l.Name]:
			v.fail(nil, "label %s stands twice", l.Name)
		case l.At < 0 || l.At >= len(v.kernel.Insts):
			v.fail(nil, "label %s has no instruction after it", l.Name)
		}
		seen[l.Name] = true
	}
}

func (v *verifier) checkInst(i *Inst) {
	o := i.Op
	if o.Target > v.module.Target || o.Version > v.module.Version {
		v.fail(i, "needs %v and version %v, the module is for %v and version %v", o.Target, o.Version, v.module.Target, v.module.Version)
	}
	if i.Guard.Mode != Always {
		v.checkReg(i, i.Guard.Reg, TypePred)
	}
	if !slices.EqualFunc(o.Args, i.Args, Arg.fits) {
		v.fail(i, "%s", formError(o.Name, i.Args))
		return
	}
	for n, a := range o.Args {
		v.checkOperand(i, a, i.Args[n])
	}
}

func (v *verifier) checkOperand(i *Inst, a Arg, x Operand) {
	switch x.Kind {
	case KindReg:
		v.checkReg(i, x.Reg, a.Type)
	case KindVector:
		for _, r := range x.Vec {
			v.checkReg(i, r, a.Type)
		}
	case KindInt:
		if bits := a.Type.Bits(); a.Kind == KindReg && bits < 64 && (x.Imm < -1<<(bits-1) || x.Imm >= 1<<bits) {
			v.fail(i, "the constant %d does not fit %v", x.Imm, a.Type)
		}
	case KindSymbol:
		if !slices.ContainsFunc(v.kernel.Shared, func(s Shared) bool { return s.Name == x.Symbol }) {
			v.fail(i, "there is no shared array %s", x.Symbol)
		}
	case KindLabel:
		if !slices.ContainsFunc(v.kernel.Labels, func(l Label) bool { return l.Name == x.Symbol }) {
			v.fail(i, "there is no label %s", x.Symbol)
		}
	case KindAddress:
		v.checkAddress(i, a.Space, x)
	}
}

func (v *verifier) checkReg(i *Inst, r Reg, t Type) {
	if !slices.Contains(types[t].regs, r.Class) {
		v.fail(i, "%v is a register %v, which cannot hold %v", r, r.Class, t)
	} else if r.N < 0 || r.N >= v.kernel.Regs[r.Class] {
		v.fail(i, "%v is not declared", r)
	}
}

func (v *verifier) checkAddress(i *Inst, s Space, x Operand) {
	switch {
	case s != SpaceParam && x.Symbol != "":
		v.fail(i, "the address of %s must be in a register", x.Symbol)
	case s == SpaceGlobal:
		v.checkReg(i, x.Reg, TypeU64)
	case s == SpaceShared:
		v.checkReg(i, x.Reg, TypeU32)
	default:
		p := slices.IndexFunc(v.kernel.Params, func(p Param) bool { return p.Name == x.Symbol })
		if p < 0 {
			v.fail(i, "there is no parameter %s", x)
			return
		}
		size, access := int64(v.kernel.Params[p].Type.Bits()/8), int64(i.Op.Types[0].Bits()/8)
		if x.Imm < 0 || x.Imm+access > size || x.Imm%access != 0 {
			v.fail(i, "%d bytes at offset %d of a parameter of %d bytes", access, x.Imm, size)
		}
	}
}
