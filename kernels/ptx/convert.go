package ptx

// Widths of integers.

func (f *Func) CvtU64U32(a B32) B64 { return f.b64("cvt.u64.u32", a) }
func (f *Func) CvtS64S32(a B32) B64 { return f.b64("cvt.s64.s32", a) }
func (f *Func) CvtU32U64(a B64) B32 { return f.b32("cvt.u32.u64", a) }
func (f *Func) CvtU32U16(a B16) B32 { return f.b32("cvt.u32.u16", a) }
func (f *Func) CvtU16U32(a B32) B16 { return f.b16("cvt.u16.u32", a) }

// Integers to floats.

func (f *Func) CvtRnF32U32(a B32) F32 { return f.f32("cvt.rn.f32.u32", a) }
func (f *Func) CvtRnF32S32(a B32) F32 { return f.f32("cvt.rn.f32.s32", a) }

// Floats to integers, rounding by RNI, RZI, RMI or RPI. They saturate.

func (f *Func) CvtU32F32(r Round, a F32) B32 { return f.b32("cvt."+r.String()+".u32.f32", a) }
func (f *Func) CvtS32F32(r Round, a F32) B32 { return f.b32("cvt."+r.String()+".s32.f32", a) }

// CvtF32F32 rounds to an integral value by RNI, RZI, RMI or RPI.
func (f *Func) CvtF32F32(r Round, a F32) F32 { return f.f32("cvt."+r.String()+".f32.f32", a) }

// CvtRniSatU8F32 rounds to the nearest of 0 to 255.
func (f *Func) CvtRniSatU8F32(a F32) B32 { return f.b32("cvt.rni.sat.u8.f32", a) }

// CvtRniSatS8F32 rounds to the nearest of -128 to 127, extended to 32 bits.
func (f *Func) CvtRniSatS8F32(a F32) B32 { return f.b32("cvt.rni.sat.s8.f32", a) }

// CvtSatF32F32 clamps to 0 to 1; NaN becomes 0.
func (f *Func) CvtSatF32F32(a F32) F32 { return f.f32("cvt.sat.f32.f32", a) }

// Half precision.

func (f *Func) CvtF32F16(a B16) F32    { return f.f32("cvt.f32.f16", a) }
func (f *Func) CvtRnF16F32(a F32) B16  { return f.b16("cvt.rn.f16.f32", a) }
func (f *Func) CvtRnBF16F32(a F32) B16 { return f.b16("cvt.rn.bf16.f32", a) }

// Pairs: hi goes to the high half.

func (f *Func) CvtRnF16x2F32(hi, lo F32) F16x2   { return f.f16x2("cvt.rn.f16x2.f32", hi, lo) }
func (f *Func) CvtRnBF16x2F32(hi, lo F32) BF16x2 { return f.bf16x2("cvt.rn.bf16x2.f32", hi, lo) }

// CvtRnSatfiniteE4M3x2F32 makes a pair of e4m3; what is beyond the largest finite one, 448, becomes it.
func (f *Func) CvtRnSatfiniteE4M3x2F32(hi, lo F32) B16 {
	return f.b16("cvt.rn.satfinite.e4m3x2.f32", hi, lo)
}

// CvtRnaTF32F32 rounds to a tf32, in a register of 32 bits as mma takes it.
func (f *Func) CvtRnaTF32F32(a F32) B32 { return f.b32("cvt.rna.tf32.f32", a) }

// CvtPackSatU8S32B32 saturates a and b to bytes and returns them below the low half of c: c<<16 | a<<8 | b.
func (f *Func) CvtPackSatU8S32B32(a, b, c B32) B32 { return f.b32("cvt.pack.sat.u8.s32.b32", a, b, c) }

// CvtPackSatS8S32B32 is CvtPackSatU8S32B32 for signed bytes.
func (f *Func) CvtPackSatS8S32B32(a, b, c B32) B32 { return f.b32("cvt.pack.sat.s8.s32.b32", a, b, c) }
