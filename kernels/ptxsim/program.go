package ptxsim

import (
	"fmt"
	"math"

	"vith/kernels/ptx"
)

// A Program is a module, decoded. It does not change, so any number of goroutines may launch its kernels.
type Program struct {
	kernels map[string]*kernel
}

// A kernel is decoded for execution by warps. Registers of all classes but predicates share one numbering, constants
// behind them; predicates have their own.
type kernel struct {
	src        *ptx.Kernel
	target     ptx.Target
	code       []inst
	registers  int
	constants  []uint64
	predicates int
	params     map[string]int // index by name
	arrays     []array
	dynamic    int // index of the dynamic array in arrays, or -1
	shared     int // bytes of the static arrays

	sharedGranule int  // bytes: the least width of an access, so that every access covers whole granules
	globalGranule int  // bytes, likewise
	sharedAtomics bool // has atom.shared or red.shared
	globalAtomics bool
}

// An array of shared memory.
type array struct {
	name string
	base int
	size int
}

// An inst is a decoded instruction.
type inst struct {
	src *ptx.Inst
	// step executes the instruction for the threads of active, which its guard leaves of group g, and moves the
	// group's program counter; or it blocks the group and returns false.
	step   func(w *warp, g *group, i *inst, active uint32) bool
	run    func(w *warp, i *inst, active uint32) // for step: the effect on the threads
	value  value                                 // for runValue
	approx *approximation                        // for runApprox

	dst, args   []int // value registers written and read
	pdst, pargs []int // predicates written and read
	addr        []address
	imm         []int64
	special     ptx.Special
	param       int // index of the kernel's parameter
	target      int // of a branch
	width       int // bytes of a memory access
}

// An address is a register plus bytes.
type address struct {
	reg    int
	offset uint64
}

// Load decodes the kernels of m. It is an error if an instruction cannot be executed, or if a name is not declared.
func Load(m *ptx.Module) (*Program, error) {
	p := &Program{kernels: make(map[string]*kernel)}
	for _, src := range m.Kernels {
		k, err := loadKernel(m, src)
		if err != nil {
			return nil, fmt.Errorf("ptxsim: load kernel %s: %w", src.Name, err)
		}
		p.kernels[src.Name] = k
	}
	return p, nil
}

// A loader decodes one kernel.
type loader struct {
	*kernel
	firstReg map[ptx.RegClass]int
	labels   map[string]int
	constant map[uint64]int // register by value
}

func loadKernel(m *ptx.Module, src *ptx.Kernel) (*kernel, error) {
	d := &loader{
		kernel: &kernel{src: src, target: m.Target, params: make(map[string]int), dynamic: -1,
			sharedGranule: 16, globalGranule: 16, predicates: src.Regs[ptx.RegPred]},
		firstReg: make(map[ptx.RegClass]int),
		labels:   make(map[string]int),
		constant: make(map[uint64]int),
	}
	for c, n := range src.Regs {
		if c := ptx.RegClass(c); c != ptx.RegPred {
			d.firstReg[c] = d.registers
			d.registers += n
		}
	}
	for i, p := range src.Params {
		d.params[p.Name] = i
	}
	for _, l := range src.Labels {
		d.labels[l.Name] = l.At
	}
	d.placeArrays()
	d.code = make([]inst, len(src.Insts))
	for n := range src.Insts {
		s := &src.Insts[n]
		if err := d.decode(&d.code[n], s); err != nil {
			return nil, fmt.Errorf("line %d: %s %w", s.Line, s.Text(), err)
		}
	}
	if n := len(d.code); n == 0 || !endsPath(&src.Insts[n-1]) {
		return nil, fmt.Errorf("the last instruction does not end the kernel or branch")
	}
	d.registers += len(d.constants)
	return d.kernel, nil
}

// endsPath tells whether nothing can follow i.
func endsPath(i *ptx.Inst) bool {
	switch i.Op.Mnemonic {
	case "ret", "exit", "bra", "trap":
		return i.Guard.Mode == ptx.Always
	}
	return false
}

const (
	sharedStart = 1024 // first address used: what is not set by mistake is not mapped
	sharedGap   = 256  // unmapped bytes between arrays, at least
)

// placeArrays gives each array an address that is aligned as declared and not by a power of two more, since no more may
// be relied on. The dynamic arrays share one address, behind the others.
func (d *loader) placeArrays() {
	next := sharedStart
	place := func(name string, align, size int) {
		base := roundUp(next, 2*align) + align
		d.arrays = append(d.arrays, array{name, base, size})
		next = base + size + sharedGap
	}
	align := 0
	for _, s := range d.src.Shared {
		if s.Size == 0 {
			align = max(align, s.Align)
			continue
		}
		place(s.Name, s.Align, s.Size)
		d.kernel.shared = roundUp(d.kernel.shared, s.Align) + s.Size
	}
	if align > 0 {
		d.dynamic = len(d.arrays)
		place("", align, 0)
	}
}

// arrayNamed returns the array that holds the declared array of that name.
func (d *loader) arrayNamed(name string) (array, error) {
	for _, a := range d.arrays {
		if a.name == name {
			return a, nil
		}
	}
	for _, s := range d.src.Shared {
		if s.Name == name {
			return d.arrays[d.dynamic], nil
		}
	}
	return array{}, fmt.Errorf("names %q, which is not a shared array", name)
}

func (d *loader) decode(i *inst, s *ptx.Inst) error {
	i.src = s
	if s.Op == nil || len(s.Args) != len(s.Op.Args) {
		return fmt.Errorf("has no opcode or the wrong number of operands")
	}
	for n := range s.Args {
		if err := d.operand(i, &s.Args[n], &s.Op.Args[n]); err != nil {
			return err
		}
	}
	if s.Guard.Mode != ptx.Always {
		if err := d.checkReg(s.Guard.Reg); err != nil {
			return err
		}
	}
	i.step = stepOver
	if f, ok := values[s.Op.Name]; ok {
		i.run, i.value = runValue, f
		return nil
	}
	if a, ok := approximations[s.Op.Name]; ok {
		i.run, i.approx = runApprox, a
		return nil
	}
	build, ok := builders[s.Op.Mnemonic]
	if !ok {
		return errUnknown
	}
	return build(d, i, s.Op)
}

func (d *loader) checkReg(r ptx.Reg) error {
	if r.N < 0 || r.N >= d.src.Regs[r.Class] {
		return fmt.Errorf("uses %v, which is not declared", r)
	}
	return nil
}

func (d *loader) operand(i *inst, o *ptx.Operand, a *ptx.Arg) error {
	switch o.Kind {
	case ptx.KindReg:
		return d.register(i, o.Reg, a)
	case ptx.KindVector:
		for _, r := range o.Vec {
			if err := d.register(i, r, a); err != nil {
				return err
			}
		}
	case ptx.KindInt:
		if a.Kind == ptx.KindInt {
			i.imm = append(i.imm, o.Imm)
			break
		}
		i.args = append(i.args, d.constantReg(uint64(o.Imm)&(math.MaxUint64>>(64-a.Type.Bits()))))
	case ptx.KindFloat:
		i.args = append(i.args, d.constantReg(uint64(uint32(o.Imm))))
	case ptx.KindAddress:
		return d.address(i, o, a)
	case ptx.KindSymbol:
		x, err := d.arrayNamed(o.Symbol)
		if err != nil {
			return err
		}
		i.args = append(i.args, d.constantReg(uint64(x.base)))
	case ptx.KindSpecial:
		i.special = o.Special
	case ptx.KindLabel:
		at, ok := d.labels[o.Symbol]
		if !ok || at >= len(d.src.Insts) {
			return fmt.Errorf("names %q, which labels no instruction", o.Symbol)
		}
		i.target = at
	}
	return nil
}

// addressBits is the width of addresses in a space.
var addressBits = map[ptx.Space]int{ptx.SpaceGlobal: 64, ptx.SpaceShared: 32}

func (d *loader) address(i *inst, o *ptx.Operand, a *ptx.Arg) error {
	if a.Space == ptx.SpaceParam {
		n, ok := d.params[o.Symbol]
		if !ok || o.Imm != 0 {
			return fmt.Errorf("names %v, which is not a parameter", o)
		}
		i.param = n
		return nil
	}
	base := d.firstReg[o.Reg.Class] + o.Reg.N
	if o.Symbol != "" {
		x, err := d.arrayNamed(o.Symbol)
		if err != nil {
			return err
		}
		base = d.constantReg(uint64(x.base))
	} else if err := d.checkReg(o.Reg); err != nil {
		return err
	} else if want := addressBits[a.Space]; registerBits[o.Reg.Class] != want {
		return fmt.Errorf("takes an address of %d bits where %v is given", want, o.Reg)
	}
	i.args = append(i.args, base)
	i.addr = append(i.addr, address{base, uint64(o.Imm)})
	return nil
}

// registerBits is the width of the registers of a class.
var registerBits = map[ptx.RegClass]int{ptx.RegPred: 1, ptx.RegB16: 16, ptx.RegB32: 32, ptx.RegF32: 32, ptx.RegB64: 64}

func (d *loader) register(i *inst, r ptx.Reg, a *ptx.Arg) error {
	if err := d.checkReg(r); err != nil {
		return err
	}
	bits := a.Type.Bits()
	if bits == 8 {
		bits = 32 // bytes are held in words
	}
	if registerBits[r.Class] != bits {
		return fmt.Errorf("takes %d bits where %v is given", bits, r)
	}
	switch pred, n := r.Class == ptx.RegPred, d.firstReg[r.Class]+r.N; {
	case pred && a.Write:
		i.pdst = append(i.pdst, r.N)
	case pred:
		i.pargs = append(i.pargs, r.N)
	case a.Write:
		i.dst = append(i.dst, n)
	default:
		i.args = append(i.args, n)
	}
	return nil
}

// constantReg returns the register that holds x.
func (d *loader) constantReg(x uint64) int {
	n, ok := d.constant[x]
	if !ok {
		n = d.registers + len(d.constants)
		d.constants = append(d.constants, x)
		d.constant[x] = n
	}
	return n
}
