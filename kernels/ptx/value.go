package ptx

import "math"

// The registers and constants that instructions work on. A value of one of these types is a register of the kernel that
// made it, or a constant; the zero value is neither and refused wherever it is used. The types whose field is the same
// convert into each other.
type (
	Pred   struct{ pred value } // one bit
	B16    struct{ b16 value }  // an f16, a bf16, 16 bits
	B32    struct{ b32 value }  // a u32, an s32, 32 bits; an address in shared memory
	F16x2  struct{ b32 value }  // two f16
	BF16x2 struct{ b32 value }  // two bf16
	B64    struct{ b64 value }  // a u64, an s64; an address in global memory
	F32    struct{ f32 value }
)

// A Register is a value that instructions can write.
type Register interface {
	Pred | B16 | B32 | F16x2 | BF16x2 | B64 | F32
	Value
}

// A Value is an operand of an instruction.
type Value interface{ operand() Operand }

// A value is a register or a constant: an Operand without the kinds that those are not.
type value struct {
	kind OperandKind
	reg  Reg
	imm  int64
}

func regValue(r Reg) value { return value{kind: KindReg, reg: r} }

func (v value) operand() Operand { return Operand{Kind: v.kind, Reg: v.reg, Imm: v.imm} }

func (v Pred) operand() Operand   { return v.pred.operand() }
func (v B16) operand() Operand    { return v.b16.operand() }
func (v B32) operand() Operand    { return v.b32.operand() }
func (v F16x2) operand() Operand  { return v.b32.operand() }
func (v BF16x2) operand() Operand { return v.b32.operand() }
func (v B64) operand() Operand    { return v.b64.operand() }
func (v F32) operand() Operand    { return v.f32.operand() }

func (o Operand) operand() Operand { return o }

// Int is the 32-bit constant n. One that does not fit 32 bits, signed or unsigned, is refused where it is used.
func Int(n int) B32 { return B32{value{kind: KindInt, imm: int64(n)}} }

// Long is the 64-bit constant n.
func Long(n int64) B64 { return B64{value{kind: KindInt, imm: n}} }

// Float is the constant x.
func Float(x float32) F32 {
	return F32{value{kind: KindFloat, imm: int64(math.Float32bits(x))}}
}

// A GlobalAddr is an address in global memory: a register plus a constant.
type GlobalAddr struct {
	base   B64
	offset int
}

// At is the address offset bytes after a.
func (a B64) At(offset int) GlobalAddr { return GlobalAddr{a, offset} }

func (a GlobalAddr) operand() Operand { return address(a.base, a.offset) }

// A SharedAddr is an address in shared memory: a register plus a constant.
type SharedAddr struct {
	base   B32
	offset int
}

// At is the address offset bytes after a.
func (a B32) At(offset int) SharedAddr { return SharedAddr{a, offset} }

func (a SharedAddr) operand() Operand { return address(a.base, a.offset) }

func address(base Value, offset int) Operand {
	b := base.operand()
	if b.Kind != KindReg {
		return Operand{}
	}
	return Operand{Kind: KindAddress, Reg: b.Reg, Imm: int64(offset)}
}

func integer(n int) Operand { return Operand{Kind: KindInt, Imm: int64(n)} }

// vector makes registers one operand.
func vector[T Register](vs []T) Operand {
	o := Operand{Kind: KindVector}
	for _, v := range vs {
		r := v.operand()
		if r.Kind != KindReg {
			return Operand{}
		}
		o.Vec = append(o.Vec, r.Reg)
	}
	return o
}
