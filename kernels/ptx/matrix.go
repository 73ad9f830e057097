package ptx

// LdMatrix loads matrices of 8 rows of 8 b16 (16 bytes, aligned to 16) from shared memory into the registers of a warp.
// Lane 8·i+r gives the address of row r of matrix i; lane l gets the pair at row l/4, columns 2·(l%4) and the next, of
// each matrix. Trans gives the transposed matrices.

func (f *Func) LdMatrixX1(a SharedAddr) (v [1]B32) {
	f.b32s(v[:], "ldmatrix.sync.aligned.m8n8.x1.shared.b16", a)
	return v
}

func (f *Func) LdMatrixX1Trans(a SharedAddr) (v [1]B32) {
	f.b32s(v[:], "ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16", a)
	return v
}

func (f *Func) LdMatrixX2(a SharedAddr) (v [2]B32) {
	f.b32s(v[:], "ldmatrix.sync.aligned.m8n8.x2.shared.b16", a)
	return v
}

func (f *Func) LdMatrixX2Trans(a SharedAddr) (v [2]B32) {
	f.b32s(v[:], "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16", a)
	return v
}

func (f *Func) LdMatrixX4(a SharedAddr) (v [4]B32) {
	f.b32s(v[:], "ldmatrix.sync.aligned.m8n8.x4.shared.b16", a)
	return v
}

func (f *Func) LdMatrixX4Trans(a SharedAddr) (v [4]B32) {
	f.b32s(v[:], "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16", a)
	return v
}

// Mma returns a·b + c of a warp: a [M,K] row by row, b [K,N] column by column, c [M,N], in the fragments that the PTX
// manual draws for the shape. The name has the shape and the type of a and b; c is f32, or s32 if they are s8.

func (f *Func) MmaM16N8K8F16(a [2]B32, b [1]B32, c [4]F32) [4]F32 {
	return f.mmaF32("m16n8k8.row.col.f32.f16.f16.f32", vector(a[:]), vector(b[:]), c)
}

func (f *Func) MmaM16N8K8TF32(a [4]B32, b [2]B32, c [4]F32) [4]F32 {
	return f.mmaF32("m16n8k8.row.col.f32.tf32.tf32.f32", vector(a[:]), vector(b[:]), c)
}

func (f *Func) MmaM16N8K16F16(a [4]B32, b [2]B32, c [4]F32) [4]F32 {
	return f.mmaF32("m16n8k16.row.col.f32.f16.f16.f32", vector(a[:]), vector(b[:]), c)
}

func (f *Func) MmaM16N8K16BF16(a [4]B32, b [2]B32, c [4]F32) [4]F32 {
	return f.mmaF32("m16n8k16.row.col.f32.bf16.bf16.f32", vector(a[:]), vector(b[:]), c)
}

func (f *Func) MmaM8N8K16S8(a, b [1]B32, c [2]B32) (d [2]B32) {
	f.b32s(d[:], "mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32", vector(a[:]), vector(b[:]), vector(c[:]))
	return d
}

func (f *Func) MmaM16N8K32S8(a [4]B32, b [2]B32, c [4]B32) (d [4]B32) {
	f.b32s(d[:], "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32", vector(a[:]), vector(b[:]), vector(c[:]))
	return d
}

func (f *Func) mmaF32(form string, a, b Operand, c [4]F32) (d [4]F32) {
	f.f32s(d[:], "mma.sync.aligned."+form, a, b, vector(c[:]))
	return d
}
