package ptx

// ShflSync returns the a of another lane: lane b (Idx), the own one minus b (Up), plus b (Down), xor b (Bfly). c bounds
// the segment in which lanes look: 31 for the whole warp, but 0 for Up. mask has the lanes that take part; all of them
// must come.

func (f *Func) ShflSyncIdxB32(a, b, c, mask B32) B32 {
	return f.b32("shfl.sync.idx.b32", a, b, c, mask)
}
func (f *Func) ShflSyncUpB32(a, b, c, mask B32) B32 { return f.b32("shfl.sync.up.b32", a, b, c, mask) }
func (f *Func) ShflSyncDownB32(a, b, c, mask B32) B32 {
	return f.b32("shfl.sync.down.b32", a, b, c, mask)
}
func (f *Func) ShflSyncBflyB32(a, b, c, mask B32) B32 {
	return f.b32("shfl.sync.bfly.b32", a, b, c, mask)
}

// The same of floats: the instruction is the .b32 one.

func (f *Func) ShflSyncIdxF32(a F32, b, c, mask B32) F32 {
	return f.f32("shfl.sync.idx.b32", a, b, c, mask)
}

func (f *Func) ShflSyncUpF32(a F32, b, c, mask B32) F32 {
	return f.f32("shfl.sync.up.b32", a, b, c, mask)
}

func (f *Func) ShflSyncDownF32(a F32, b, c, mask B32) F32 {
	return f.f32("shfl.sync.down.b32", a, b, c, mask)
}

func (f *Func) ShflSyncBflyF32(a F32, b, c, mask B32) F32 {
	return f.f32("shfl.sync.bfly.b32", a, b, c, mask)
}

// Votes and reductions over the lanes of mask.

func (f *Func) VoteSyncAllPred(a Pred, mask B32) Pred  { return f.pred("vote.sync.all.pred", a, mask) }
func (f *Func) VoteSyncAnyPred(a Pred, mask B32) Pred  { return f.pred("vote.sync.any.pred", a, mask) }
func (f *Func) VoteSyncBallotB32(a Pred, mask B32) B32 { return f.b32("vote.sync.ballot.b32", a, mask) }
func (f *Func) ReduxSyncAddU32(a, mask B32) B32        { return f.b32("redux.sync.add.u32", a, mask) }
func (f *Func) ReduxSyncAddS32(a, mask B32) B32        { return f.b32("redux.sync.add.s32", a, mask) }
func (f *Func) ReduxSyncMinU32(a, mask B32) B32        { return f.b32("redux.sync.min.u32", a, mask) }
func (f *Func) ReduxSyncMinS32(a, mask B32) B32        { return f.b32("redux.sync.min.s32", a, mask) }
func (f *Func) ReduxSyncMaxU32(a, mask B32) B32        { return f.b32("redux.sync.max.u32", a, mask) }
func (f *Func) ReduxSyncMaxS32(a, mask B32) B32        { return f.b32("redux.sync.max.s32", a, mask) }

// ActivemaskB32 returns the lanes that execute it now.
func (f *Func) ActivemaskB32() B32 { return f.b32("activemask.b32") }

// BarSync waits at barrier id, 0 to 15, for all threads of the block.
func (f *Func) BarSync(id int) { f.do("bar.sync", integer(id)) }

// BarSyncThreads waits at barrier id, 0 to 15, for that many threads, which must be whole warps.
func (f *Func) BarSyncThreads(id, threads int) {
	if threads%32 != 0 {
		f.fail("%d threads at a barrier are not whole warps of 32", threads)
	}
	f.do("bar.sync", integer(id), integer(threads))
}

// BarWarpSync waits for the lanes of mask.
func (f *Func) BarWarpSync(mask B32) { f.do("bar.warp.sync", mask) }

// Fences order the thread's memory accesses as seen by its block (CTA) or by the whole GPU (GL, GPU).

func (f *Func) MembarCTA()      { f.do("membar.cta") }
func (f *Func) MembarGL()       { f.do("membar.gl") }
func (f *Func) FenceAcqRelCTA() { f.do("fence.acq_rel.cta") }
func (f *Func) FenceAcqRelGPU() { f.do("fence.acq_rel.gpu") }
