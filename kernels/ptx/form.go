package ptx

import "fmt"

// A Module is one unit of PTX text: what the driver's compiler is given. Modules come from Assemble or Parse and are not
// changed afterwards, so they may be used by any number of goroutines.
type Module struct {
	Version Version
	Target  Target
	Kernels []*Kernel
}

// Kernel returns the kernel of that name, or nil.
func (m *Module) Kernel(name string) *Kernel {
	for _, k := range m.Kernels {
		if k.Name == name {
			return k
		}
	}
	return nil
}

// A Kernel is one entry point.
type Kernel struct {
	Name         string
	Params       []Param
	MaxNTID      [3]int // .maxntid: the largest block, in threads by dimension
	MinNCTAPerSM int    // .minnctapersm: blocks that must fit on a multiprocessor together
	Shared       []Shared
	Regs         [numRegClasses]int // registers declared, by class: numbers 0 to n-1
	Insts        []Inst
	Labels       []Label // in the order of the text
}

// A Param is a kernel parameter. Offset is its byte offset in the parameter buffer: each parameter is aligned to its own
// size.
type Param struct {
	Name   string
	Type   Type
	Offset int
}

// A Shared is an array of bytes in shared memory. Size 0 means dynamic (.extern): its size is given at launch and it lies
// behind the static ones.
type Shared struct {
	Name  string
	Align int // bytes
	Size  int // bytes
}

// A Label names the instruction Insts[At]; At is len(Insts) for a label at the end, which Verify refuses.
type Label struct {
	Name string
	At   int
}

// An Inst is one instruction.
type Inst struct {
	Op       *Op // the row of the opcode table; rows are never copied, so pointers may be compared
	Guard    Guard
	Args     []Operand // as Op.Args says: the destination, if any, first
	Comments []string  // lines above the instruction
	Line     int       // in the module's text, from 1
	Source   Pos       // where the author wrote it; zero in a parsed module
}

// A Pos is a line of the kernel author's Go source.
type Pos struct {
	File string // base name
	Line int
}

func (p Pos) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// A Guard predicates an instruction: it takes effect in the threads where Reg is true (If) or false (Unless).
type Guard struct {
	Mode GuardMode
	Reg  Reg
}

// A GuardMode says how a guard reads its predicate.
type GuardMode uint8

const (
	Always GuardMode = iota // no guard
	If                      // @p
	Unless                  // @!p
)

// A RegClass is a declared type of registers. Instructions of any type of the same size work on .b registers; only .f32
// instructions and untyped moves of 32 bits work on .f32 registers.
type RegClass uint8

const (
	RegPred RegClass = iota // %p
	RegB16                  // %h
	RegB32                  // %r
	RegB64                  // %rd
	RegF32                  // %f
	numRegClasses
)

type regClassInfo struct{ prefix, decl string }

var regClasses = [numRegClasses]regClassInfo{
	RegPred: {"%p", "pred"}, RegB16: {"%h", "b16"}, RegB32: {"%r", "b32"}, RegB64: {"%rd", "b64"}, RegF32: {"%f", "f32"},
}

func (c RegClass) String() string { return "." + regClasses[c].decl }

// A Reg is a virtual register.
type Reg struct {
	Class RegClass
	N     int
}

func (r Reg) String() string { return fmt.Sprintf("%s%d", regClasses[r.Class].prefix, r.N) }

// An OperandKind tells which fields of an Operand are used.
type OperandKind uint8

const (
	KindNone    OperandKind = iota // not an operand
	KindReg                        // Reg
	KindInt                        // Imm: the value
	KindFloat                      // Imm: the bits of a float32
	KindAddress                    // [Reg+Imm], or [Symbol+Imm] if Symbol is set
	KindVector                     // Vec: {…}
	KindSpecial                    // Special: %tid.x, …
	KindSymbol                     // Symbol: the address of a shared array
	KindLabel                      // Symbol: a label
)

var operandKindNames = [...]string{"no usable value", "a register", "an integer", "a float", "an address", "a vector", "a special register",
	"a shared array", "a label"}

func (k OperandKind) String() string { return operandKindNames[k] }

// An Operand is one operand of an instruction.
type Operand struct {
	Kind    OperandKind
	Reg     Reg
	Imm     int64
	Symbol  string
	Special Special
	Vec     []Reg
}

// A Special is a read-only register that the hardware provides.
type Special uint8

const (
	TidX Special = iota // thread in the block
	TidY
	TidZ
	NTidX // threads in the block
	NTidY
	NTidZ
	CTAIdX // block in the grid
	CTAIdY
	CTAIdZ
	NCTAIdX // blocks in the grid
	NCTAIdY
	NCTAIdZ
	LaneID // thread in the warp
	WarpID // warp on the multiprocessor: not tid/32, and it may change
)

var specials = [...]string{"%tid.x", "%tid.y", "%tid.z", "%ntid.x", "%ntid.y", "%ntid.z", "%ctaid.x", "%ctaid.y",
	"%ctaid.z", "%nctaid.x", "%nctaid.y", "%nctaid.z", "%laneid", "%warpid"}

func (s Special) String() string { return specials[s] }
