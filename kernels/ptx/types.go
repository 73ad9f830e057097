package ptx

import "fmt"

// A Type is a type in an instruction's name: how it reads and writes bits. Registers have a RegClass.
type Type uint8

const (
	TypePred Type = iota
	TypeB8
	TypeU8
	TypeS8
	TypeB16
	TypeU16
	TypeF16
	TypeBF16
	TypeE4M3x2
	TypeB32
	TypeU32
	TypeS32
	TypeF16x2
	TypeBF16x2
	TypeTF32
	TypeF32
	TypeB64
	TypeU64
	TypeS64
	numTypes
)

type typeInfo struct {
	name string
	bits int
	regs []RegClass // that may hold a value of it
}

var types = [numTypes]typeInfo{
	TypePred:   {"pred", 1, []RegClass{RegPred}},
	TypeB8:     {"b8", 8, []RegClass{RegB32}},
	TypeU8:     {"u8", 8, []RegClass{RegB32}},
	TypeS8:     {"s8", 8, []RegClass{RegB32}},
	TypeB16:    {"b16", 16, []RegClass{RegB16}},
	TypeU16:    {"u16", 16, []RegClass{RegB16}},
	TypeF16:    {"f16", 16, []RegClass{RegB16}},
	TypeBF16:   {"bf16", 16, []RegClass{RegB16}},
	TypeE4M3x2: {"e4m3x2", 16, []RegClass{RegB16}},
	TypeB32:    {"b32", 32, []RegClass{RegB32, RegF32}},
	TypeU32:    {"u32", 32, []RegClass{RegB32}},
	TypeS32:    {"s32", 32, []RegClass{RegB32}},
	TypeF16x2:  {"f16x2", 32, []RegClass{RegB32}},
	TypeBF16x2: {"bf16x2", 32, []RegClass{RegB32}},
	TypeTF32:   {"tf32", 32, []RegClass{RegB32}},
	TypeF32:    {"f32", 32, []RegClass{RegF32}},
	TypeB64:    {"b64", 64, []RegClass{RegB64}},
	TypeU64:    {"u64", 64, []RegClass{RegB64}},
	TypeS64:    {"s64", 64, []RegClass{RegB64}},
}

func (t Type) String() string { return "." + types[t].name }

// Bits is the width of the value: of an 8-bit type held in a 32-bit register, 8.
func (t Type) Bits() int { return types[t].bits }

// A Space is a state space of memory.
type Space uint8

const (
	NoSpace Space = iota
	SpaceParam
	SpaceGlobal
	SpaceShared
)

// A Cmp is a comparison of setp. The ones with a U are true also where an operand is NaN; the others are false there,
// but for NE, which is the negation of EQ for integers and false on NaN for floats.
type Cmp uint8

const (
	NoCmp Cmp = iota
	EQ
	NE
	LT
	LE
	GT
	GE
	EQU
	NEU
	LTU
	LEU
	GTU
	GEU
	Num // neither is NaN
	NaN // one is NaN
)

var cmpNames = [...]string{"", "eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"}

func (c Cmp) String() string { return cmpNames[c] }

// A Round is a rounding: of floats to nearest even, of floats to an integral value, or to tf32.
type Round uint8

const (
	NoRound Round = iota
	RN            // to nearest, ties to even
	RNI           // to the nearest integer, ties to even
	RZI           // to an integer, towards zero
	RMI           // to an integer, down
	RPI           // to an integer, up
	RNA           // to nearest, ties away from zero
)

var roundNames = [...]string{"", "rn", "rni", "rzi", "rmi", "rpi", "rna"}

func (r Round) String() string { return roundNames[r] }

// A Shape is that of a matrix multiplication: [M,N] += [M,K]·[K,N].
type Shape struct{ M, N, K int }

// A Version of the PTX language: 10·major + minor.
type Version int

func (v Version) String() string { return fmt.Sprintf("%d.%d", v/10, v%10) }

// A Target is the compute capability of a GPU: 10·major + minor. Text for one target runs on it and on every newer GPU.
type Target int

const (
	SM75  Target = 75  // Turing: T4, RTX 20
	SM80  Target = 80  // Ampere: A100
	SM86  Target = 86  // Ampere: A10, RTX 30
	SM87  Target = 87  // Ampere: Orin
	SM89  Target = 89  // Ada: L4, L40S, RTX 40
	SM90  Target = 90  // Hopper: H100, H200
	SM100 Target = 100 // Blackwell: B200
	SM120 Target = 120 // Blackwell: RTX 50
)

func (t Target) String() string { return fmt.Sprintf("sm_%d", int(t)) }

const (
	minVersion      = Version(70)
	maxVersion      = Version(88)
	maxThreads      = 1024
	maxParamBytes   = 4096
	maxStaticShared = 48 << 10 // bytes; the rest must be dynamic
)

// targets gives the PTX version that introduced each target and the shared memory that one block may use, static and
// dynamic, in bytes (CUDA C++ Programming Guide, table of technical specifications per compute capability).
var targets = map[Target]struct {
	version Version
	shared  int
}{
	SM75:  {63, 64 << 10},
	SM80:  {70, 163 << 10},
	SM86:  {71, 99 << 10},
	SM87:  {74, 163 << 10},
	SM89:  {78, 99 << 10},
	SM90:  {78, 227 << 10},
	SM100: {86, 227 << 10},
	SM120: {87, 99 << 10},
}

// MaxShared is the shared memory that one block may use on t, static and dynamic together, in bytes; 0 if t is unknown.
func (t Target) MaxShared() int { return targets[t].shared }
