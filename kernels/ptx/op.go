package ptx

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An Op is one form of an instruction, with every modifier fixed: a row of the opcode table, expanded. The name alone may
// belong to several Ops, which then differ in Args.
type Op struct {
	Name     string // as printed: "ld.global.nc.v4.b32"
	Mnemonic string // the name without modifiers: "ld", "cp.async", "shfl.sync"
	Class    Class
	Types    []Type // in the order of the name: the destination's before the sources'
	Space    Space  // the first space in the name
	Vec      int    // registers of a .v or .x operand: 1, 2 or 4
	Cmp      Cmp
	Round    Round
	Shape    Shape // of mma
	Mods     Mods  // everything else
	Args     []Arg
	Version  Version // the first that has it
	Target   Target  // the first that has it
}

func (o *Op) String() string { return o.Name }

// An Arg says what an operand of an Op must be.
type Arg struct {
	Kind     OperandKind // KindReg also stands for constants, where Const is set
	Const    bool        // a constant of Type may stand for the register
	Type     Type        // of a register, of a vector's elements; not of an address
	N        int         // elements of a vector
	Space    Space       // of an address
	Write    bool        // the instruction writes it
	Min, Max int64       // of a KindInt
}

// A Class groups instructions by the unit that executes them, for statistics.
type Class uint8

const (
	ClassMove Class = iota
	ClassInt
	ClassCompare
	ClassFloat
	ClassHalf
	ClassSFU // special functions, and divisions, which start with one
	ClassConvert
	ClassLoad  // by Space
	ClassStore // by Space
	ClassAtomic
	ClassCpAsync
	ClassLdMatrix
	ClassMMA
	ClassWarp // among the threads of a warp
	ClassBarrier
	ClassControl
)

// Mods is a set of modifiers.
type Mods uint64

// The modifiers that are not types, spaces, comparisons, roundings, shapes or vector lengths.
const (
	ModLo Mods = 1 << iota
	ModHi
	ModWide
	ModSat
	ModSatFinite
	ModNaN
	ModApprox
	ModFull
	ModFTZ
	ModCA // caches of loads and stores
	ModCG
	ModCS
	ModWT
	ModNC
	ModNoAllocate
	ModTrans
	ModIdx // shuffles
	ModUp
	ModDown
	ModBfly
	ModAll // votes
	ModAny
	ModBallot
	ModAdd // atomics and reductions
	ModMin
	ModMax
	ModCTA // scopes
	ModGPU
)

// Has tells whether all of m are in the set.
func (s Mods) Has(m Mods) bool { return s&m == m }

var modNames = map[string]Mods{
	"lo": ModLo, "hi": ModHi, "wide": ModWide, "sat": ModSat, "satfinite": ModSatFinite, "NaN": ModNaN,
	"approx": ModApprox, "full": ModFull, "ftz": ModFTZ,
	"ca": ModCA, "cg": ModCG, "cs": ModCS, "wt": ModWT, "nc": ModNC, "L1::no_allocate": ModNoAllocate, "trans": ModTrans,
	"idx": ModIdx, "up": ModUp, "down": ModDown, "bfly": ModBfly, "all": ModAll, "any": ModAny, "ballot": ModBallot,
	"add": ModAdd, "min": ModMin, "max": ModMax, "cta": ModCTA, "gpu": ModGPU, "gl": ModGPU,
	"row": 0, "col": 0, "m8n8": 0, // the only layouts there are
}

var (
	spaceNames = map[string]Space{"param": SpaceParam, "global": SpaceGlobal, "shared": SpaceShared}
	vecNames   = map[string]int{"v2": 2, "v4": 4, "x1": 1, "x2": 2, "x4": 4}
)

var (
	ops    = expandRows()
	byName = func() map[string][]*Op {
		m := map[string][]*Op{}
		for _, o := range ops {
			m[o.Name] = append(m[o.Name], o)
		}
		return m
	}()
)

// Ops returns every form of every instruction, in the order of the table. The caller must not change it.
func Ops() []*Op { return ops }

func expandRows() []*Op {
	var all []*Op
	for _, r := range rows {
		for _, name := range expand(r.names) {
			for _, args := range expand(r.args) {
				o := &Op{Class: r.class, Version: max(r.version, minVersion), Target: max(r.target, SM75), Vec: 1}
				o.decodeName(name)
				o.decodeArgs(args)
				all = append(all, o)
			}
		}
	}
	return all
}

// expand returns the combinations of the alternatives in braces: "{a,b}c" is "ac" and "bc". Braces do not nest.
func expand(s string) []string {
	before, rest, ok := strings.Cut(s, "{")
	if !ok {
		return []string{s}
	}
	alternatives, after, _ := strings.Cut(rest, "}")
	var all []string
	for _, a := range strings.Split(alternatives, ",") {
		for _, tail := range expand(after) {
			all = append(all, before+a+tail)
		}
	}
	return all
}

// decodeName splits a name at its dots. The mnemonic ends at the first part that is a modifier.
func (o *Op) decodeName(name string) {
	o.Name = name
	parts := strings.Split(name, ".")
	n := 1
	for n < len(parts) && !o.decodeModifier(parts[n]) {
		n++
	}
	o.Mnemonic = strings.Join(parts[:n], ".")
	for _, p := range parts[min(n+1, len(parts)):] {
		if !o.decodeModifier(p) {
			panic(fmt.Sprintf("ptx: opcode table: %s: unknown modifier .%s", name, p))
		}
	}
}

func (o *Op) decodeModifier(s string) bool {
	if t, ok := typeNamed(s); ok {
		o.Types = append(o.Types, t)
		return true
	}
	if sp, ok := spaceNames[s]; ok {
		if o.Space == NoSpace {
			o.Space = sp
		}
		return true
	}
	if i := slices.Index(cmpNames[1:], s); i >= 0 {
		o.Cmp = Cmp(i + 1)
		return true
	}
	if i := slices.Index(roundNames[1:], s); i >= 0 {
		o.Round = Round(i + 1)
		return true
	}
	if v, ok := vecNames[s]; ok {
		o.Vec = v
		return true
	}
	if m, ok := modNames[s]; ok {
		o.Mods |= m
		return true
	}
	n, err := fmt.Sscanf(s, "m%dn%dk%d", &o.Shape.M, &o.Shape.N, &o.Shape.K)
	return n == 3 && err == nil
}

func typeNamed(s string) (Type, bool) {
	i := slices.IndexFunc(types[:], func(t typeInfo) bool { return t.name == s })
	return Type(i), i >= 0
}

// decodeArgs reads the operand language described at rows.
func (o *Op) decodeArgs(s string) {
	for f := range strings.SplitSeq(s, ",") {
		f = strings.TrimSpace(f)
		if f == "" {
			continue
		}
		f, write := strings.CutPrefix(f, "=")
		a := Arg{Write: write}
		switch {
		case f == "special":
			a.Kind = KindSpecial
		case f == "symbol":
			a.Kind = KindSymbol
		case f == "label":
			a.Kind = KindLabel
		case f[0] == '[':
			a.Kind, a.Space = KindAddress, spaceNames[strings.Trim(f, "[]")]
		case f[0] == '#':
			lo, hi, isRange := strings.Cut(f[1:], "..")
			if !isRange {
				hi = lo
			}
			a.Kind, a.Min, a.Max = KindInt, o.number(lo), o.number(hi)
		default:
			f, mustReg := strings.CutPrefix(f, "%")
			name, length, isVector := strings.Cut(f, "*")
			a.Kind, a.Type, a.Const = KindReg, o.argType(name), !mustReg && !a.Write
			switch {
			case length == "v" && o.Vec > 1:
				a.Kind, a.N = KindVector, o.Vec
			case isVector && length != "v":
				a.Kind, a.N = KindVector, int(o.number(length))
			}
		}
		o.Args = append(o.Args, a)
	}
}

func (o *Op) argType(name string) Type {
	switch name {
	case "t":
		return o.Types[0]
	case "u":
		return o.Types[1]
	case "w":
		return map[Type]Type{TypeU32: TypeU64, TypeS32: TypeS64}[o.Types[0]]
	}
	t, ok := typeNamed(name)
	if !ok {
		panic(fmt.Sprintf("ptx: opcode table: %s: unknown operand type %q", o.Name, name))
	}
	return t
}

func (o *Op) number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("ptx: opcode table: %s: %v", o.Name, err))
	}
	return n
}

// findOp returns the form of that name whose operands have the shape of args, or nil.
func findOp(name string, args []Operand) *Op {
	for _, o := range byName[name] {
		if slices.EqualFunc(o.Args, args, Arg.fits) {
			return o
		}
	}
	return nil
}

// fits tells whether x has the kind that a asks for. Register classes and the size of constants are Verify's affair,
// except where forms of one name differ by them.
func (a Arg) fits(x Operand) bool {
	switch a.Kind {
	case KindReg:
		return x.Kind == KindReg || a.Const && (x.Kind == KindInt && a.Type != TypeF32 || x.Kind == KindFloat && a.Type == TypeF32)
	case KindInt:
		return x.Kind == KindInt && a.Min <= x.Imm && x.Imm <= a.Max
	case KindVector:
		return x.Kind == KindVector && len(x.Vec) == a.N
	}
	return x.Kind == a.Kind
}
