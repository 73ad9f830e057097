package ptx

// A Cache tells a load or a store which caches to use.
type Cache string

const (
	CA         Cache = ".ca"              // loads: all levels, the default
	CG         Cache = ".cg"              // L2 only
	CS         Cache = ".cs"              // streaming: not read again
	WT         Cache = ".wt"              // stores: write through
	NC         Cache = ".nc"              // loads: not written by anyone during the launch
	NoAllocate Cache = ".L1::no_allocate" // loads: do not keep in L1; alone or after NC
)

func ldGlobal(cs []Cache, suffix string) string { return cached("ld.global", cs, suffix) }
func stGlobal(cs []Cache, suffix string) string { return cached("st.global", cs, suffix) }

func cached(name string, cs []Cache, suffix string) string {
	for _, c := range cs {
		name += string(c)
	}
	return name + suffix
}

// Loads from global memory. An access of n bytes, vectors as a whole, must be aligned to n.

func (f *Func) LdGlobalU8(a GlobalAddr, c ...Cache) B32  { return f.b32(ldGlobal(c, ".u8"), a) }
func (f *Func) LdGlobalS8(a GlobalAddr, c ...Cache) B32  { return f.b32(ldGlobal(c, ".s8"), a) }
func (f *Func) LdGlobalB16(a GlobalAddr, c ...Cache) B16 { return f.b16(ldGlobal(c, ".b16"), a) }
func (f *Func) LdGlobalB32(a GlobalAddr, c ...Cache) B32 { return f.b32(ldGlobal(c, ".b32"), a) }
func (f *Func) LdGlobalF32(a GlobalAddr, c ...Cache) F32 { return f.f32(ldGlobal(c, ".f32"), a) }
func (f *Func) LdGlobalB64(a GlobalAddr, c ...Cache) B64 { return f.b64(ldGlobal(c, ".b64"), a) }

func (f *Func) LdGlobalV2B32(a GlobalAddr, c ...Cache) (v [2]B32) {
	f.b32s(v[:], ldGlobal(c, ".v2.b32"), a)
	return v
}

func (f *Func) LdGlobalV2F32(a GlobalAddr, c ...Cache) (v [2]F32) {
	f.f32s(v[:], ldGlobal(c, ".v2.f32"), a)
	return v
}

func (f *Func) LdGlobalV4B32(a GlobalAddr, c ...Cache) (v [4]B32) {
	f.b32s(v[:], ldGlobal(c, ".v4.b32"), a)
	return v
}

func (f *Func) LdGlobalV4F32(a GlobalAddr, c ...Cache) (v [4]F32) {
	f.f32s(v[:], ldGlobal(c, ".v4.f32"), a)
	return v
}

// Loads from shared memory.

func (f *Func) LdSharedU8(a SharedAddr) B32  { return f.b32("ld.shared.u8", a) }
func (f *Func) LdSharedS8(a SharedAddr) B32  { return f.b32("ld.shared.s8", a) }
func (f *Func) LdSharedB16(a SharedAddr) B16 { return f.b16("ld.shared.b16", a) }
func (f *Func) LdSharedB32(a SharedAddr) B32 { return f.b32("ld.shared.b32", a) }
func (f *Func) LdSharedF32(a SharedAddr) F32 { return f.f32("ld.shared.f32", a) }
func (f *Func) LdSharedB64(a SharedAddr) B64 { return f.b64("ld.shared.b64", a) }

func (f *Func) LdSharedV2B32(a SharedAddr) (v [2]B32) {
	f.b32s(v[:], "ld.shared.v2.b32", a)
	return v
}

func (f *Func) LdSharedV2F32(a SharedAddr) (v [2]F32) {
	f.f32s(v[:], "ld.shared.v2.f32", a)
	return v
}

func (f *Func) LdSharedV4B32(a SharedAddr) (v [4]B32) {
	f.b32s(v[:], "ld.shared.v4.b32", a)
	return v
}

func (f *Func) LdSharedV4F32(a SharedAddr) (v [4]F32) {
	f.f32s(v[:], "ld.shared.v4.f32", a)
	return v
}

// Stores to global memory. B8 stores the low byte.

func (f *Func) StGlobalB8(a GlobalAddr, v B32, c ...Cache)  { f.do(stGlobal(c, ".b8"), a, v) }
func (f *Func) StGlobalB16(a GlobalAddr, v B16, c ...Cache) { f.do(stGlobal(c, ".b16"), a, v) }
func (f *Func) StGlobalB32(a GlobalAddr, v B32, c ...Cache) { f.do(stGlobal(c, ".b32"), a, v) }
func (f *Func) StGlobalF32(a GlobalAddr, v F32, c ...Cache) { f.do(stGlobal(c, ".f32"), a, v) }
func (f *Func) StGlobalB64(a GlobalAddr, v B64, c ...Cache) { f.do(stGlobal(c, ".b64"), a, v) }

func (f *Func) StGlobalV2B32(a GlobalAddr, v [2]B32, c ...Cache) {
	f.do(stGlobal(c, ".v2.b32"), a, vector(v[:]))
}

func (f *Func) StGlobalV2F32(a GlobalAddr, v [2]F32, c ...Cache) {
	f.do(stGlobal(c, ".v2.f32"), a, vector(v[:]))
}

func (f *Func) StGlobalV4B32(a GlobalAddr, v [4]B32, c ...Cache) {
	f.do(stGlobal(c, ".v4.b32"), a, vector(v[:]))
}

func (f *Func) StGlobalV4F32(a GlobalAddr, v [4]F32, c ...Cache) {
	f.do(stGlobal(c, ".v4.f32"), a, vector(v[:]))
}

// Stores to shared memory.

func (f *Func) StSharedB8(a SharedAddr, v B32)       { f.do("st.shared.b8", a, v) }
func (f *Func) StSharedB16(a SharedAddr, v B16)      { f.do("st.shared.b16", a, v) }
func (f *Func) StSharedB32(a SharedAddr, v B32)      { f.do("st.shared.b32", a, v) }
func (f *Func) StSharedF32(a SharedAddr, v F32)      { f.do("st.shared.f32", a, v) }
func (f *Func) StSharedB64(a SharedAddr, v B64)      { f.do("st.shared.b64", a, v) }
func (f *Func) StSharedV2B32(a SharedAddr, v [2]B32) { f.do("st.shared.v2.b32", a, vector(v[:])) }
func (f *Func) StSharedV2F32(a SharedAddr, v [2]F32) { f.do("st.shared.v2.f32", a, vector(v[:])) }
func (f *Func) StSharedV4B32(a SharedAddr, v [4]B32) { f.do("st.shared.v4.b32", a, vector(v[:])) }
func (f *Func) StSharedV4F32(a SharedAddr, v [4]F32) { f.do("st.shared.v4.f32", a, vector(v[:])) }

// Atomics. Atom returns what was there before, Red returns nothing.

func (f *Func) AtomGlobalAddU32(a GlobalAddr, v B32) B32 { return f.b32("atom.global.add.u32", a, v) }
func (f *Func) AtomGlobalAddF32(a GlobalAddr, v F32) F32 { return f.f32("atom.global.add.f32", a, v) }
func (f *Func) AtomGlobalMaxU32(a GlobalAddr, v B32) B32 { return f.b32("atom.global.max.u32", a, v) }
func (f *Func) AtomGlobalMaxS32(a GlobalAddr, v B32) B32 { return f.b32("atom.global.max.s32", a, v) }
func (f *Func) AtomSharedAddU32(a SharedAddr, v B32) B32 { return f.b32("atom.shared.add.u32", a, v) }
func (f *Func) AtomSharedAddF32(a SharedAddr, v F32) F32 { return f.f32("atom.shared.add.f32", a, v) }
func (f *Func) AtomSharedMaxU32(a SharedAddr, v B32) B32 { return f.b32("atom.shared.max.u32", a, v) }
func (f *Func) AtomSharedMaxS32(a SharedAddr, v B32) B32 { return f.b32("atom.shared.max.s32", a, v) }
func (f *Func) RedGlobalAddU32(a GlobalAddr, v B32)      { f.do("red.global.add.u32", a, v) }
func (f *Func) RedGlobalAddF32(a GlobalAddr, v F32)      { f.do("red.global.add.f32", a, v) }
func (f *Func) RedGlobalMaxU32(a GlobalAddr, v B32)      { f.do("red.global.max.u32", a, v) }
func (f *Func) RedGlobalMaxS32(a GlobalAddr, v B32)      { f.do("red.global.max.s32", a, v) }
func (f *Func) RedSharedAddU32(a SharedAddr, v B32)      { f.do("red.shared.add.u32", a, v) }
func (f *Func) RedSharedAddF32(a SharedAddr, v F32)      { f.do("red.shared.add.f32", a, v) }
func (f *Func) RedSharedMaxU32(a SharedAddr, v B32)      { f.do("red.shared.max.u32", a, v) }
func (f *Func) RedSharedMaxS32(a SharedAddr, v B32)      { f.do("red.shared.max.s32", a, v) }

// CpAsyncCA copies size bytes, 4, 8 or 16, through all caches.
func (f *Func) CpAsyncCA(dst SharedAddr, src GlobalAddr, size int) {
	f.do("cp.async.ca.shared.global", dst, src, integer(size))
}

// CpAsyncCASrcSize copies the first n of size bytes, 4, 8 or 16, and writes zeros for the rest.
func (f *Func) CpAsyncCASrcSize(dst SharedAddr, src GlobalAddr, size int, n B32) {
	f.do("cp.async.ca.shared.global", dst, src, integer(size), n)
}

// CpAsyncCG copies 16 bytes, past L1.
func (f *Func) CpAsyncCG(dst SharedAddr, src GlobalAddr) {
	f.do("cp.async.cg.shared.global", dst, src, integer(16))
}

// CpAsyncCGSrcSize copies the first n of 16 bytes, past L1, and writes zeros for the rest.
func (f *Func) CpAsyncCGSrcSize(dst SharedAddr, src GlobalAddr, n B32) {
	f.do("cp.async.cg.shared.global", dst, src, integer(16), n)
}

// CpAsyncCommitGroup makes the thread's copies since the last one a group.
func (f *Func) CpAsyncCommitGroup() { f.do("cp.async.commit_group") }

// CpAsyncWaitGroup waits until at most the n youngest groups of the thread are unfinished. Other threads see the copies
// after a barrier.
func (f *Func) CpAsyncWaitGroup(n int) { f.do("cp.async.wait_group", integer(n)) }

// CpAsyncWaitAll waits for all copies of the thread.
func (f *Func) CpAsyncWaitAll() { f.do("cp.async.wait_all") }
