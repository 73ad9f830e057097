package ptx

// Correctly rounded, to nearest even. Subnormals are kept.

func (f *Func) AddRnF32(a, b F32) F32    { return f.f32("add.rn.f32", a, b) }
func (f *Func) SubRnF32(a, b F32) F32    { return f.f32("sub.rn.f32", a, b) }
func (f *Func) MulRnF32(a, b F32) F32    { return f.f32("mul.rn.f32", a, b) }
func (f *Func) FmaRnF32(a, b, c F32) F32 { return f.f32("fma.rn.f32", a, b, c) }
func (f *Func) DivRnF32(a, b F32) F32    { return f.f32("div.rn.f32", a, b) }
func (f *Func) RcpRnF32(a F32) F32       { return f.f32("rcp.rn.f32", a) }
func (f *Func) SqrtRnF32(a F32) F32      { return f.f32("sqrt.rn.f32", a) }

// Exact. MinF32 and MaxF32 return the other operand where one is NaN, MinNaNF32 and MaxNaNF32 return NaN.

func (f *Func) MinF32(a, b F32) F32    { return f.f32("min.f32", a, b) }
func (f *Func) MaxF32(a, b F32) F32    { return f.f32("max.f32", a, b) }
func (f *Func) MinNaNF32(a, b F32) F32 { return f.f32("min.NaN.f32", a, b) }
func (f *Func) MaxNaNF32(a, b F32) F32 { return f.f32("max.NaN.f32", a, b) }
func (f *Func) NegF32(a F32) F32       { return f.f32("neg.f32", a) }
func (f *Func) AbsF32(a F32) F32       { return f.f32("abs.f32", a) }

// CopysignF32 returns b with the sign of a.
func (f *Func) CopysignF32(a, b F32) F32 { return f.f32("copysign.f32", a, b) }

// Approximate, to about 2 units in the last place. Ftz takes subnormal operands and results for zero, and is cheaper.

func (f *Func) DivFullF32(a, b F32) F32     { return f.f32("div.full.f32", a, b) }
func (f *Func) RcpApproxF32(a F32) F32      { return f.f32("rcp.approx.f32", a) }
func (f *Func) RcpApproxFtzF32(a F32) F32   { return f.f32("rcp.approx.ftz.f32", a) }
func (f *Func) SqrtApproxF32(a F32) F32     { return f.f32("sqrt.approx.f32", a) }
func (f *Func) SqrtApproxFtzF32(a F32) F32  { return f.f32("sqrt.approx.ftz.f32", a) }
func (f *Func) RsqrtApproxF32(a F32) F32    { return f.f32("rsqrt.approx.f32", a) }
func (f *Func) RsqrtApproxFtzF32(a F32) F32 { return f.f32("rsqrt.approx.ftz.f32", a) }

// Ex2ApproxF32 and Lg2ApproxF32 are of base 2.

func (f *Func) Ex2ApproxF32(a F32) F32    { return f.f32("ex2.approx.f32", a) }
func (f *Func) Ex2ApproxFtzF32(a F32) F32 { return f.f32("ex2.approx.ftz.f32", a) }
func (f *Func) Lg2ApproxF32(a F32) F32    { return f.f32("lg2.approx.f32", a) }
func (f *Func) Lg2ApproxFtzF32(a F32) F32 { return f.f32("lg2.approx.ftz.f32", a) }

// TanhApproxF32 has a relative error of 2^-11.
func (f *Func) TanhApproxF32(a F32) F32 { return f.f32("tanh.approx.f32", a) }

// Pairs of halves, each on its own.

func (f *Func) AddRnF16x2(a, b F16x2) F16x2       { return f.f16x2("add.rn.f16x2", a, b) }
func (f *Func) SubRnF16x2(a, b F16x2) F16x2       { return f.f16x2("sub.rn.f16x2", a, b) }
func (f *Func) MulRnF16x2(a, b F16x2) F16x2       { return f.f16x2("mul.rn.f16x2", a, b) }
func (f *Func) FmaRnF16x2(a, b, c F16x2) F16x2    { return f.f16x2("fma.rn.f16x2", a, b, c) }
func (f *Func) FmaRnBF16x2(a, b, c BF16x2) BF16x2 { return f.bf16x2("fma.rn.bf16x2", a, b, c) }
func (f *Func) MinF16x2(a, b F16x2) F16x2         { return f.f16x2("min.f16x2", a, b) }
func (f *Func) MaxF16x2(a, b F16x2) F16x2         { return f.f16x2("max.f16x2", a, b) }
func (f *Func) MinBF16x2(a, b BF16x2) BF16x2      { return f.bf16x2("min.bf16x2", a, b) }
func (f *Func) MaxBF16x2(a, b BF16x2) BF16x2      { return f.bf16x2("max.bf16x2", a, b) }
func (f *Func) Ex2ApproxF16x2(a F16x2) F16x2      { return f.f16x2("ex2.approx.f16x2", a) }
