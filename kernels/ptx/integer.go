package ptx

// Arithmetic wraps. Sums, differences and low products serve signed numbers as well.

func (f *Func) AddU32(a, b B32) B32            { return f.b32("add.u32", a, b) }
func (f *Func) AddU64(a, b B64) B64            { return f.b64("add.u64", a, b) }
func (f *Func) SubU32(a, b B32) B32            { return f.b32("sub.u32", a, b) }
func (f *Func) SubU64(a, b B64) B64            { return f.b64("sub.u64", a, b) }
func (f *Func) MulLoU32(a, b B32) B32          { return f.b32("mul.lo.u32", a, b) }
func (f *Func) MulLoU64(a, b B64) B64          { return f.b64("mul.lo.u64", a, b) }
func (f *Func) MulHiU32(a, b B32) B32          { return f.b32("mul.hi.u32", a, b) }
func (f *Func) MulHiS32(a, b B32) B32          { return f.b32("mul.hi.s32", a, b) }
func (f *Func) MulWideU32(a, b B32) B64        { return f.b64("mul.wide.u32", a, b) }
func (f *Func) MulWideS32(a, b B32) B64        { return f.b64("mul.wide.s32", a, b) }
func (f *Func) MadLoU32(a, b, c B32) B32       { return f.b32("mad.lo.u32", a, b, c) }
func (f *Func) MadWideU32(a, b B32, c B64) B64 { return f.b64("mad.wide.u32", a, b, c) }
func (f *Func) MadWideS32(a, b B32, c B64) B64 { return f.b64("mad.wide.s32", a, b, c) }
func (f *Func) DivU32(a, b B32) B32            { return f.b32("div.u32", a, b) }
func (f *Func) DivS32(a, b B32) B32            { return f.b32("div.s32", a, b) }
func (f *Func) RemU32(a, b B32) B32            { return f.b32("rem.u32", a, b) }
func (f *Func) RemS32(a, b B32) B32            { return f.b32("rem.s32", a, b) }
func (f *Func) MinU32(a, b B32) B32            { return f.b32("min.u32", a, b) }
func (f *Func) MinS32(a, b B32) B32            { return f.b32("min.s32", a, b) }
func (f *Func) MaxU32(a, b B32) B32            { return f.b32("max.u32", a, b) }
func (f *Func) MaxS32(a, b B32) B32            { return f.b32("max.s32", a, b) }
func (f *Func) NegS32(a B32) B32               { return f.b32("neg.s32", a) }
func (f *Func) AbsS32(a B32) B32               { return f.b32("abs.s32", a) }

// Dp4aU32 adds to c the products of the four bytes of a and b.
func (f *Func) Dp4aU32(a, b, c B32) B32 { return f.b32("dp4a.u32.u32", a, b, c) }

// Dp4aS32 adds to c the products of the four signed bytes of a and b.
func (f *Func) Dp4aS32(a, b, c B32) B32 { return f.b32("dp4a.s32.s32", a, b, c) }

// Bits. A shift by the width or more leaves nothing, or copies of the sign.

func (f *Func) AndB32(a, b B32) B32     { return f.b32("and.b32", a, b) }
func (f *Func) AndB64(a, b B64) B64     { return f.b64("and.b64", a, b) }
func (f *Func) AndPred(a, b Pred) Pred  { return f.pred("and.pred", a, b) }
func (f *Func) OrB32(a, b B32) B32      { return f.b32("or.b32", a, b) }
func (f *Func) OrB64(a, b B64) B64      { return f.b64("or.b64", a, b) }
func (f *Func) OrPred(a, b Pred) Pred   { return f.pred("or.pred", a, b) }
func (f *Func) XorB32(a, b B32) B32     { return f.b32("xor.b32", a, b) }
func (f *Func) XorB64(a, b B64) B64     { return f.b64("xor.b64", a, b) }
func (f *Func) XorPred(a, b Pred) Pred  { return f.pred("xor.pred", a, b) }
func (f *Func) NotB32(a B32) B32        { return f.b32("not.b32", a) }
func (f *Func) NotB64(a B64) B64        { return f.b64("not.b64", a) }
func (f *Func) NotPred(a Pred) Pred     { return f.pred("not.pred", a) }
func (f *Func) ShlB32(a, n B32) B32     { return f.b32("shl.b32", a, n) }
func (f *Func) ShlB64(a B64, n B32) B64 { return f.b64("shl.b64", a, n) }
func (f *Func) ShrU32(a, n B32) B32     { return f.b32("shr.u32", a, n) }
func (f *Func) ShrS32(a, n B32) B32     { return f.b32("shr.s32", a, n) }
func (f *Func) ShrU64(a B64, n B32) B64 { return f.b64("shr.u64", a, n) }

// BfeU32 extracts length bits of a from position start up, with zeros above.
func (f *Func) BfeU32(a, start, length B32) B32 { return f.b32("bfe.u32", a, start, length) }

// BfeS32 extracts length bits of a from position start up, with copies of the top one above.
func (f *Func) BfeS32(a, start, length B32) B32 { return f.b32("bfe.s32", a, start, length) }

// BfiB32 puts the low length bits of a into b from position start up.
func (f *Func) BfiB32(a, b, start, length B32) B32 { return f.b32("bfi.b32", a, b, start, length) }

// Lop3B32 applies any bitwise function of three operands. lut is its value at a = 0xF0, b = 0xCC, c = 0xAA.
func (f *Func) Lop3B32(a, b, c B32, lut uint8) B32 {
	return f.b32("lop3.b32", a, b, c, integer(int(lut)))
}

// Comparisons.

func (f *Func) SetpU32(c Cmp, a, b B32) Pred { return f.pred("setp."+c.String()+".u32", a, b) }
func (f *Func) SetpS32(c Cmp, a, b B32) Pred { return f.pred("setp."+c.String()+".s32", a, b) }
func (f *Func) SetpU64(c Cmp, a, b B64) Pred { return f.pred("setp."+c.String()+".u64", a, b) }
func (f *Func) SetpF32(c Cmp, a, b F32) Pred { return f.pred("setp."+c.String()+".f32", a, b) }
