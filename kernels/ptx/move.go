package ptx

// Special reads a special register: mov.u32.
func (f *Func) Special(s Special) B32 {
	return f.b32("mov.u32", Operand{Kind: KindSpecial, Special: s})
}

// Copies of registers and constants.

func (f *Func) MovPred(a Pred) Pred { return f.pred("mov.pred", a) }
func (f *Func) MovB16(a B16) B16    { return f.b16("mov.b16", a) }
func (f *Func) MovB32(a B32) B32    { return f.b32("mov.b32", a) }
func (f *Func) MovB64(a B64) B64    { return f.b64("mov.b64", a) }
func (f *Func) MovF32(a F32) F32    { return f.f32("mov.f32", a) }

// BitsB32 returns the bits of a: mov.b32.
func (f *Func) BitsB32(a F32) B32 { return f.b32("mov.b32", a) }

// BitsF32 returns the float with the bits a: mov.b32.
func (f *Func) BitsF32(a B32) F32 { return f.f32("mov.b32", a) }

// PackB32 joins two halves: mov.b32.
func (f *Func) PackB32(lo, hi B16) B32 { return f.b32("mov.b32", vector([]B16{lo, hi})) }

// PackB64 joins two halves: mov.b64.
func (f *Func) PackB64(lo, hi B32) B64 { return f.b64("mov.b64", vector([]B32{lo, hi})) }

// UnpackB32 splits a into halves: mov.b32.
func (f *Func) UnpackB32(a B32) (lo, hi B16) {
	r := f.results(RegB16, 2, "mov.b32", []Value{a})
	return B16{regValue(r[0])}, B16{regValue(r[1])}
}

// UnpackB64 splits a into halves: mov.b64.
func (f *Func) UnpackB64(a B64) (lo, hi B32) {
	var v [2]B32
	f.b32s(v[:], "mov.b64", a)
	return v[0], v[1]
}

// Selections: a where p is true, b where it is false.

func (f *Func) SelpB32(a, b B32, p Pred) B32 { return f.b32("selp.b32", a, b, p) }
func (f *Func) SelpB64(a, b B64, p Pred) B64 { return f.b64("selp.b64", a, b, p) }
func (f *Func) SelpF32(a, b F32, p Pred) F32 { return f.f32("selp.f32", a, b, p) }

// PrmtB32 picks four of the eight bytes of b:a by the nibbles of selector.
func (f *Func) PrmtB32(a, b, selector B32) B32 { return f.b32("prmt.b32", a, b, selector) }

// CvtaToGlobalU64 makes a generic address one in global memory.
func (f *Func) CvtaToGlobalU64(a B64) B64 { return f.b64("cvta.to.global.u64", a) }
