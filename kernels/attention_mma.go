package kernels

import (
	"math"
	"math/bits"

	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// attentionMMA is attention on tensor cores, without ever storing S or P: the tiling of Dao 2023, arXiv:2307.08691, with
// the online softmax of Milakov, Gimelshein 2018, arXiv:1805.02867.
//
// A block of threads serves rows() queries of one head of one image. Each of its warps owns 16 or 32 of them and keeps in
// registers: Q as left operands of mma.sync; O = Σ p·v, not yet normalised; and of each query the largest score m so far,
// in units of log₂, and the sum l of its p. The warps walk over the keys together, step of them at a time:
//
//	S = Q·Kᵀ
//	m' = max(m, max_j S·scale·log₂e),  α = 2^(m−m'),  P = 2^(S·scale·log₂e − m')
//	l = l·α + Σ_j P,  O = O·α + P·V
//
// In the end y = O/l. An accumulator of mma.sync holds, in lane 4·g+t, rows g and g+8 at columns 2·t and 2·t+1. Packed to
// 16 bits this is a left operand's layout, so P needs no exchange; a row's maximum and sum take the four lanes t together.
//
// # Any number of keys
//
// Keys that do not fill a step come first, so the loop has no mask. 257 keys are 256 and one: the odd key is where the
// softmax starts, with m its score, l = 1 and O its value, which costs one column of products and no tile. Of another
// remainder, the keys missing to a multiple of 16 are copies of the last one: they do not move the maximum, and their p
// are set to zero. Queries beyond the last are copies of it as well, and are not stored.
//
// # Shared memory
//
//	0          one step: K [step, head_dim], V [step, head_dim]
//	stage()    the next step, which cp.async fills meanwhile; before the first one Q, after the last one y
//	odd()      the odd key and its value
//
// A row is head_dim/8 chunks of 16 bytes, without padding. Chunk c of row r lies in place c ^ (r mod 8) >> (3−z), where
// z ≤ 3 is how often 2 divides head_dim/8: the eight rows of one column of chunks, which ldmatrix reads at a time, lie in
// eight different groups of four banks.
//
// A target without cp.async and mma.m16n8k16, sm_75, has one step in memory, copied through registers, and multiplies
// twice at depth 8.
type attentionMMA struct {
	attentionSizes
	warps int // of a block
	tiles int // of 16 queries, of a warp
	step  int // keys
}

const (
	mmaSize    = 16 // queries of a left operand, keys of a pair of right ones, columns of both
	chunkBytes = 16 // what cp.async copies, and ldmatrix reads as a row
)

// newAttentionMMA takes as many queries a warp, and keys a step, as the registers hold, and four warps: or as few as
// serve all queries, or three where that leaves fewer rows without a query.
func newAttentionMMA(sizes attentionSizes) attentionMMA {
	a := attentionMMA{attentionSizes: sizes}
	switch {
	case a.dim <= 80:
		a.tiles, a.step = 2, 64
	case a.dim <= 88, a.dim <= 104 && a.dtype == tensor.F16: // at 104 columns bf16 would spill for some numbers of keys
		a.tiles, a.step = 2, 32
	case a.dim <= 128:
		a.tiles, a.step = 1, 64
	default:
		a.tiles, a.step = 1, 32
	}
	a.warps = max(2, min(4, ceilDiv(a.queries, a.warpRows())))
	three := a
	three.warps = 3
	if a.warps == 4 && three.blocks()*three.rows() < a.blocks()*a.rows() {
		return three
	}
	return a
}

func (a attentionMMA) threads() int  { return a.warps * warpSize }
func (a attentionMMA) warpRows() int { return a.tiles * mmaSize }
func (a attentionMMA) rows() int     { return a.warps * a.warpRows() }
func (a attentionMMA) blocks() int   { return ceilDiv(a.queries, a.rows()) } // of a head
func (a attentionMMA) async() bool   { return a.target >= ptx.SM80 }
func (a attentionMMA) rowBytes() int { return 2 * a.dim }
func (a attentionMMA) chunks() int   { return a.rowBytes() / chunkBytes }
func (a attentionMMA) stage() int    { return 2 * a.step * a.rowBytes() } // bytes of a step

// second is the size of the part of shared memory that the second step shares with Q and y.
func (a attentionMMA) second() int {
	if a.async() {
		return max(a.stage(), a.rows()*a.rowBytes())
	}
	return a.rows() * a.rowBytes()
}

func (a attentionMMA) odd() int    { return a.stage() + a.second() }
func (a attentionMMA) shared() int { return a.odd() + 2*a.rowBytes() }

// idle tells whether some warps have no queries and pass over the steps. From a head_dim of 80 up there are no registers
// for it.
func (a attentionMMA) idle() bool { return a.dim < 80 && a.blocks()*a.rows()-a.queries >= a.warpRows() }

// swizzled is z: how many low bits of a chunk's number its row changes.
func (a attentionMMA) swizzled() int { return min(3, bits.TrailingZeros(uint(a.chunks()))) }

func (a attentionMMA) accepts() error { return a.fits(a.shared()) }

func (a attentionMMA) launch(batch int) Geometry {
	return a.geometry(batch, a.blocks(), a.threads(), a.shared())
}

// attentionWriter writes the text of an attentionMMA. Its registers are those that live long.
type attentionWriter struct {
	*ptx.Func
	attentionMMA

	memory ptx.B32 // shared
	scale  ptx.F32 // scale·log₂e
	zero   ptx.F32 // 0

	// The thread's part of a copy: one chunk of rows row, row+8, …, in several passes where a row has too many chunks.
	row     ptx.B32
	columns int        // chunks from one pass to the next
	passes  []ptx.Pred // is there a chunk for this thread?
	column  ptx.B64    // of the first, in an operand, bytes
	place   ptx.B32    // of the first, in a copy to the start of shared memory
	key     ptx.B32    // row `row` of the step to be copied next

	// The lane's part of the arithmetic.
	quad  ptx.B32        // t, its place among the four lanes of a row
	lanes matrixLanes    // its addresses for ldmatrix of 16 rows at the start
	q     [][][]ptx.B32  // [tile][pair of chunks]: left operands
	m, l  [][2]ptx.F32   // [tile][row g, row g+8]; of l, the lane's part
	o     [][][4]ptx.F32 // [tile][chunk]: accumulators
	busy  ptx.Pred       // has the warp queries? Only if some have none.
}

// matrixLanes are a lane's addresses for ldmatrix of 16 rows and two chunks, in two orders of the four matrices: down,
// rows 0-7 and 8-15 of the first chunk, then of the second one; across, the two chunks of rows 0-7, then of rows 8-15.
// Pair i of chunks is at element i mod the length.
type matrixLanes struct{ down, across []ptx.B32 }

// plus are the addresses so many bytes after l.
func (l matrixLanes) plus(f *ptx.Func, bytes ptx.B32) (m matrixLanes) {
	for i := range l.down {
		m.down = append(m.down, f.AddU32(l.down[i], bytes))
		m.across = append(m.across, f.AddU32(l.across[i], bytes))
	}
	return m
}

func (a attentionMMA) write(f *ptx.Func, p Params) {
	f.MaxNTID(a.threads(), 1, 1)
	f.MinNCTAPerSM(8 / a.warps)
	w := &attentionWriter{
		Func: f, attentionMMA: a,
		memory: f.DynamicShared("memory", 128, a.shared()), scale: ex2Scale(f, p.Scalars[0]), zero: f.MovF32(ptx.Float(0)),
		m: make([][2]ptx.F32, a.tiles), l: make([][2]ptx.F32, a.tiles),
	}
	for range a.tiles {
		w.o = append(w.o, make([][4]ptx.F32, a.chunks()))
	}
	q, k, v, y := p.In[0], p.In[1], p.In[2], p.Out[0]
	tid := f.Special(ptx.TidX)
	image, head, block := a.locate(f, a.blocks())
	w.divideCopies(tid, head)
	w.divideMatrices(tid)

	f.Comment("Q, and the keys that do not fill a step")
	for i := 0; i < a.rows(); i += 8 {
		r := f.MinU32(w.queryRow(block, i), ptx.Int(a.queries-1))
		w.copyRow(w.place, a.stage(), i, w.chunkOf(q, f.MadLoU32(image, ptx.Int(a.queries), r)))
	}
	firstKey := f.MulLoU32(image, ptx.Int(a.keys))
	steps, rest := a.keys/a.step, a.keys%a.step
	switch {
	case rest == 1:
		w.copyOdd(k, v, firstKey)
	case rest > 1:
		w.copyRest(k, v, firstKey, rest)
	}
	w.commit()
	w.key = f.AddU32(firstKey, w.row)
	if a.idle() {
		start := f.MadLoU32(f.ShrU32(tid, ptx.Int(5)), ptx.Int(a.warpRows()), f.MulLoU32(block, ptx.Int(a.rows())))
		w.busy = f.SetpU32(ptx.LT, start, ptx.Int(a.queries))
	}

	ahead := a.async() && steps > 0 // copy step 0 while working on the rest
	first := 0                      // its offset in shared memory
	if ahead && rest <= 1 {
		w.copyStep(k, v, w.place)
		w.arrive(1)
	} else {
		w.arrive(0)
	}
	w.loadQueries(tid)
	if ahead && rest > 1 {
		first = a.stage()
		w.BarSync(0) // it goes where Q was
		w.copyStep(k, v, w.AddU32(w.place, ptx.Int(first)))
	}
	switch {
	case rest == 1:
		w.startOdd()
	case rest > 1:
		w.attend(w.lanes, rest, true)
	default:
		w.startEmpty()
	}
	if steps > 0 {
		w.loop(k, v, steps, first)
	}
	w.storeRows(y)
}

// divideCopies divides copies of rows among the threads: eight neighbours take one chunk of eight rows, which lie in
// different banks, and the eights of a block different chunks.
func (w *attentionWriter) divideCopies(tid, head ptx.B32) {
	w.row = w.AndB32(tid, ptx.Int(7))
	chunk := w.ShrU32(tid, ptx.Int(3))
	w.column = w.CvtU64U32(w.MadLoU32(head, ptx.Int(w.rowBytes()), w.MulLoU32(chunk, ptx.Int(chunkBytes))))
	w.passes = nil
	unit := 1 << w.swizzled() // a pass must leave alone the bits that the swizzle changes
	w.columns = min(w.chunks(), w.threads()/8/unit*unit)
	for done := 0; done < w.chunks(); done += w.columns {
		w.passes = append(w.passes, w.SetpU32(ptx.LT, chunk, ptx.Int(min(w.columns, w.chunks()-done))))
	}
	place := w.MadLoU32(w.row, ptx.Int(w.rowBytes()), w.memory)
	w.place = w.MadLoU32(w.XorB32(chunk, w.swizzle(w.row)), ptx.Int(chunkBytes), place)
}

// swizzle is what the numbers of a row's chunks are exclusive-ored with. The low three bits of r count.
func (w *attentionWriter) swizzle(r ptx.B32) ptx.B32 {
	return w.ShrU32(w.AndB32(r, ptx.Int(7)), ptx.Int(3-w.swizzled()))
}

// chunkOf is the address of the thread's first chunk in row r.
func (w *attentionWriter) chunkOf(p Pointer, r ptx.B32) ptx.B64 {
	return w.MadWideU32(r, p.Pitch, w.AddU64(p.Address, w.column))
}

// copyRow copies the thread's chunks of one row to row i of those at offset after place.
func (w *attentionWriter) copyRow(place ptx.B32, offset, i int, from ptx.B64) {
	w.copyChunks(w.passes, place, offset+i*w.rowBytes(), from)
}

// copyChunks copies one chunk in each of the passes where there is one.
func (w *attentionWriter) copyChunks(passes []ptx.Pred, place ptx.B32, offset int, from ptx.B64) {
	for pass, has := range passes {
		right := pass * w.columns * chunkBytes
		w.copyChunk(has, place.At(offset+right), from.At(right))
	}
}

// copyChunk copies 16 bytes where has is true. They are there after arrive.
func (w *attentionWriter) copyChunk(has ptx.Pred, to ptx.SharedAddr, from ptx.GlobalAddr) {
	if w.async() {
		w.When(has).CpAsyncCG(to, from)
		return
	}
	var x [4]ptx.B32
	for i := range x {
		x[i] = w.MovB32(ptx.Int(0))
	}
	ptx.Into(w.When(has), x[:]...).LdGlobalV4B32(from)
	w.When(has).StSharedV4B32(to, x)
}

// commit makes the copies since the last commit a group.
func (w *attentionWriter) commit() {
	if w.async() {
		w.CpAsyncCommitGroup()
	}
}

// arrive waits until all threads have come here and made their copies, but for the youngest groups of them.
func (w *attentionWriter) arrive(groups int) {
	if w.async() {
		w.CpAsyncWaitGroup(groups)
	}
	w.BarSync(0)
}

// queryRow is which query of the image row row+i of the block is.
func (w *attentionWriter) queryRow(block ptx.B32, i int) ptx.B32 {
	return w.AddU32(w.MadLoU32(block, ptx.Int(w.rows()), w.row), ptx.Int(i))
}

// copyOdd copies the last key and its value.
func (w *attentionWriter) copyOdd(k, v Pointer, firstKey ptx.B32) {
	var passes []ptx.Pred // of the threads with row 0, which is not swizzled
	for _, has := range w.passes {
		passes = append(passes, w.AndPred(has, w.SetpU32(ptx.EQ, w.row, ptx.Int(0))))
	}
	last := w.AddU32(firstKey, ptx.Int(w.keys-1))
	w.copyChunks(passes, w.place, w.odd(), w.chunkOf(k, last))
	w.copyChunks(passes, w.place, w.odd()+w.rowBytes(), w.chunkOf(v, last))
}

// copyRest copies the last keys and their values, rest of them and copies of the last one up to a multiple of 16.
func (w *attentionWriter) copyRest(k, v Pointer, firstKey ptx.B32, rest int) {
	start := w.AddU32(w.row, ptx.Int(w.keys-rest))
	for i := 0; i < roundUp(rest, mmaSize); i += 8 {
		r := w.AddU32(firstKey, w.MinU32(w.AddU32(start, ptx.Int(i)), ptx.Int(w.keys-1)))
		w.copyRow(w.place, 0, i, w.chunkOf(k, r))
		w.copyRow(w.place, 0, w.step+i, w.chunkOf(v, r))
	}
}

// copyStep copies the next step of keys and values to place.
func (w *attentionWriter) copyStep(k, v Pointer, place ptx.B32) {
	w.Comment("copy a step of K and V")
	for i := 0; i < w.step; i += 8 {
		r := w.AddU32(w.key, ptx.Int(i))
		w.copyRow(place, 0, i, w.chunkOf(k, r))
		w.copyRow(place, 0, w.step+i, w.chunkOf(v, r))
	}
	w.commit()
	ptx.Into(w.Func, w.key).AddU32(w.key, ptx.Int(w.step))
}

// divideMatrices sets up where the lane reads its row of its matrix, lane 8·i+r row r of matrix i.
func (w *attentionWriter) divideMatrices(tid ptx.B32) {
	lane := w.AndB32(tid, ptx.Int(warpSize-1))
	w.quad = w.AndB32(lane, ptx.Int(3))
	row, bit0, bit1 := w.AndB32(lane, ptx.Int(7)), w.BfeU32(lane, ptx.Int(3), ptx.Int(1)), w.ShrU32(lane, ptx.Int(4))
	for pair := range max(1, 1<<w.swizzled()/2) {
		at := func(lower, right ptx.B32) ptx.B32 {
			place := w.XorB32(w.AddU32(right, ptx.Int(2*pair)), w.swizzle(row))
			start := w.MadLoU32(w.MadLoU32(lower, ptx.Int(8), row), ptx.Int(w.rowBytes()), w.memory)
			return w.MadLoU32(place, ptx.Int(chunkBytes), start)
		}
		w.lanes.down = append(w.lanes.down, at(bit0, bit1))
		w.lanes.across = append(w.lanes.across, at(bit1, bit0))
	}
}

// pairs is how many pairs of chunks a row has; the last one may be half a pair.
func (w *attentionWriter) pairs() int { return ceilDiv(w.chunks(), 2) }

// half tells whether a pair has only one chunk.
func (w *attentionWriter) half(pair int) bool { return 2*pair+1 == w.chunks() }

// matrices loads the pair'th pair of chunks of the 16 rows that are offset bytes after those of lanes: four matrices, or
// of half a pair the two that come down.
func (w *attentionWriter) matrices(lanes []ptx.B32, offset, pair int, trans bool) []ptx.B32 {
	at := lanes[pair%len(lanes)].At(offset + pair/len(lanes)*len(lanes)*2*chunkBytes)
	half := w.half(pair)
	switch {
	case half && trans:
		x := w.LdMatrixX2Trans(at)
		return x[:]
	case half:
		x := w.LdMatrixX2(at)
		return x[:]
	case trans:
		x := w.LdMatrixX4Trans(at)
		return x[:]
	}
	x := w.LdMatrixX4(at)
	return x[:]
}

// multiply adds a·b to c, of depth 16 or, with half the registers, 8. A c that is fresh is made of new registers.
func (w *attentionWriter) multiply(c *[4]ptx.F32, fresh bool, a, b []ptx.B32) {
	f := ptx.Into(w.Func, c[:]...)
	if fresh {
		f, *c = w.Func, [4]ptx.F32{w.zero, w.zero, w.zero, w.zero}
	}
	switch half := len(b) == 1; {
	case w.dtype == tensor.BF16 && half:
		none := w.MovB32(ptx.Int(0))
		*c = f.MmaM16N8K16BF16([4]ptx.B32{a[0], a[1], none, none}, [2]ptx.B32{b[0], none}, *c)
	case w.dtype == tensor.BF16:
		*c = f.MmaM16N8K16BF16([4]ptx.B32(a), [2]ptx.B32(b), *c)
	case half:
		*c = f.MmaM16N8K8F16([2]ptx.B32(a), [1]ptx.B32(b), *c)
	case w.target < ptx.SM80:
		w.multiply(c, fresh, a[:2], b[:1])
		w.multiply(c, false, a[2:], b[1:])
	default:
		*c = f.MmaM16N8K16F16([4]ptx.B32(a), [2]ptx.B32(b), *c)
	}
}

// loadQueries loads Q's left operands. Afterwards its place in memory is free.
func (w *attentionWriter) loadQueries(tid ptx.B32) {
	warp := w.ShrU32(tid, ptx.Int(5))
	lanes := w.lanes.plus(w.Func, w.MulLoU32(warp, ptx.Int(w.warpRows()*w.rowBytes())))
	for tile := range w.tiles {
		var q [][]ptx.B32
		for pair := range w.pairs() {
			q = append(q, w.matrices(lanes.down, w.stage()+tile*mmaSize*w.rowBytes(), pair, false))
		}
		w.q = append(w.q, q)
	}
}

// startOdd makes the odd key the first: m its score, l = 1, O its value.
func (w *attentionWriter) startOdd() {
	w.Comment("the odd key: all columns of the product are its score")
	at := w.MadLoU32(w.quad, ptx.Int(4), w.memory)
	var k [][]ptx.B32
	for chunk := range w.chunks() {
		if chunk%2 == 0 {
			k = append(k, nil)
		}
		k[chunk/2] = append(k[chunk/2], w.LdSharedB32(at.At(w.odd()+chunk*chunkBytes)))
	}
	for tile := range w.tiles {
		var s [4]ptx.F32
		for pair, k := range k {
			w.multiply(&s, pair == 0, w.q[tile][pair], k)
		}
		for h := range 2 {
			w.m[tile][h] = w.MulRnF32(s[2*h], w.scale)
			w.l[tile][h] = w.MovF32(ptx.Float(0.25)) // in each of four lanes
		}
	}
	for chunk := range w.chunks() {
		lo, hi := unpack(w.Func, w.dtype, w.LdSharedB32(at.At(w.odd()+w.rowBytes()+chunk*chunkBytes)))
		for tile := range w.tiles {
			for i, v := range []ptx.F32{lo, hi, lo, hi} {
				w.o[tile][chunk][i] = w.MovF32(v)
			}
		}
	}
}

// startEmpty starts before the first key.
func (w *attentionWriter) startEmpty() {
	for tile := range w.tiles {
		for h := range 2 {
			w.m[tile][h], w.l[tile][h] = w.MovF32(ptx.Float(float32(math.Inf(-1)))), w.MovF32(ptx.Float(0))
		}
		for chunk := range w.chunks() {
			for i := range 4 {
				w.o[tile][chunk][i] = w.MovF32(ptx.Float(0))
			}
		}
	}
}

// loop takes the full steps, the first of which lies at offset first of the shared memory.
func (w *attentionWriter) loop(k, v Pointer, steps, first int) {
	if !w.async() {
		w.For(ptx.Int(0), ptx.Int(steps), ptx.Int(1), func(ptx.B32) {
			w.BarSync(0) // the step before is no longer needed
			w.copyStep(k, v, w.place)
			w.arrive(0)
			w.attendIfBusy(w.lanes)
		})
		return
	}
	offset := w.MovB32(ptx.Int(first))
	w.For(ptx.Int(0), ptx.Int(steps), ptx.Int(1), func(i ptx.B32) {
		w.arrive(0)
		next := w.SubU32(ptx.Int(w.stage()), offset)
		w.If(w.SetpU32(ptx.LT, i, ptx.Int(steps-1)), func() { w.copyStep(k, v, w.AddU32(w.place, next)) })
		w.attendIfBusy(w.lanes.plus(w.Func, offset))
		ptx.Into(w.Func, offset).MovB32(next)
	})
}

// attendIfBusy takes a full step, in the warps that have queries.
func (w *attentionWriter) attendIfBusy(lanes matrixLanes) {
	attend := func() { w.attend(lanes, w.step, false) }
	if w.idle() {
		w.If(w.busy, attend)
		return
	}
	attend()
}

// attend takes the keys of a step, of which the first `keys` count, into m, l and O; as the first ones, if so.
func (w *attentionWriter) attend(lanes matrixLanes, keys int, first bool) {
	groups := ceilDiv(keys, mmaSize)
	w.Comment("S = Q K^T")
	s := make([][][4]ptx.F32, w.tiles) // [tile][8 keys]
	for tile := range s {
		s[tile] = make([][4]ptx.F32, 2*groups)
	}
	for group := range groups {
		for pair := range w.pairs() {
			order := lanes.across // so that both halves of a right operand are in neighbouring registers
			if w.half(pair) {
				order = lanes.down
			}
			k := w.matrices(order, group*mmaSize*w.rowBytes(), pair, false)
			for tile := range w.tiles {
				for i, k := range [][]ptx.B32{k[:len(k)/2], k[len(k)/2:]} {
					w.multiply(&s[tile][2*group+i], pair == 0, w.q[tile][pair], k)
				}
			}
		}
	}
	p := make([][]ptx.B32, w.tiles)
	for tile := range w.tiles {
		p[tile] = w.softmax(tile, s[tile], keys, first)
	}
	w.Comment("O += P V")
	for group := range groups {
		for pair := range w.pairs() {
			v := w.matrices(lanes.down, (w.step+group*mmaSize)*w.rowBytes(), pair, true)
			for tile := range w.tiles {
				for i := 0; i < len(v); i += 2 {
					w.multiply(&w.o[tile][2*pair+i/2], first && group == 0, p[tile][4*group:][:4], v[i:][:2])
				}
			}
		}
	}
}

// softmax turns scores s, [8 keys], into P, as left operands, and brings m, l and O up to date.
func (w *attentionWriter) softmax(tile int, s [][4]ptx.F32, keys int, first bool) []ptx.B32 {
	w.Comment("softmax of tile %d", tile)
	for h := range 2 {
		top := w.MaxF32(s[0][2*h], s[0][2*h+1])
		for _, x := range s[1:] {
			top = w.MaxF32(w.MaxF32(top, x[2*h]), x[2*h+1])
		}
		top = w.MulRnF32(reduceLanes(w.Func, top, 1, 4, w.MaxF32), w.scale)
		var alpha ptx.F32
		if first {
			w.m[tile][h] = top
		} else {
			m := w.m[tile][h]
			top = w.MaxF32(top, m)
			alpha = w.Ex2ApproxFtzF32(w.SubRnF32(m, top))
			ptx.Into(w.Func, m).MovF32(top)
			for _, o := range w.o[tile] {
				for _, x := range o[2*h:][:2] {
					ptx.Into(w.Func, x).MulRnF32(x, alpha)
				}
			}
		}
		minus := w.NegF32(top)
		var sums []ptx.F32
		for n := range s {
			for i := 2 * h; i < 2*h+2; i++ {
				s[n][i] = w.mask(8*n+i%2, keys, w.Ex2ApproxFtzF32(w.FmaRnF32(s[n][i], w.scale, minus)))
			}
			sums = append(sums, w.AddRnF32(s[n][2*h], s[n][2*h+1]))
		}
		for len(sums) > 1 {
			for i := range len(sums) / 2 {
				sums[i] = w.AddRnF32(sums[i], sums[len(sums)-1-i])
			}
			sums = sums[:ceilDiv(len(sums), 2)]
		}
		if first {
			w.l[tile][h] = sums[0]
		} else {
			ptx.Into(w.Func, w.l[tile][h]).FmaRnF32(w.l[tile][h], alpha, sums[0])
		}
	}
	var p []ptx.B32
	for _, x := range s {
		p = append(p, pack(w.Func, w.dtype, x[0], x[1]), pack(w.Func, w.dtype, x[2], x[3]))
	}
	return p
}

// mask is p, or 0 if key+2·t is not below keys.
func (w *attentionWriter) mask(key, keys int, p ptx.F32) ptx.F32 {
	switch {
	case key+6 < keys:
		return p
	case key >= keys:
		return w.zero
	}
	return w.SelpF32(p, ptx.Float(0), w.SetpU32(ptx.LT, w.quad, ptx.Int(ceilDiv(keys-key, 2))))
}

// storeRows stores y = O/l, through shared memory so that eights of threads write whole chunks.
func (w *attentionWriter) storeRows(y Pointer) {
	w.Comment("y = O/l")
	w.BarSync(0)
	tid := w.Special(ptx.TidX)
	lane, warp := w.AndB32(tid, ptx.Int(warpSize-1)), w.ShrU32(tid, ptx.Int(5))
	g, quad := w.ShrU32(lane, ptx.Int(2)), w.AndB32(lane, ptx.Int(3))
	swizzle := w.MulLoU32(w.swizzle(g), ptx.Int(chunkBytes))
	row := w.MadLoU32(w.MadLoU32(warp, ptx.Int(w.warpRows()), g), ptx.Int(w.rowBytes()), w.MadLoU32(quad, ptx.Int(4), w.memory))
	for tile := range w.tiles {
		for h := range 2 {
			scale := w.RcpApproxFtzF32(reduceLanes(w.Func, w.l[tile][h], 1, 4, w.AddRnF32))
			for chunk, o := range w.o[tile] {
				at := w.AddU32(row, w.XorB32(swizzle, ptx.Int(chunk*chunkBytes)))
				pair := pack(w.Func, w.dtype, w.MulRnF32(o[2*h], scale), w.MulRnF32(o[2*h+1], scale))
				w.StSharedB32(at.At(w.stage()+(tile*mmaSize+8*h)*w.rowBytes()), pair)
			}
		}
	}
	w.BarSync(0)
	image, head, block := w.locate(w.Func, w.blocks())
	w.divideCopies(tid, head) // once more, rather than keep it in registers
	for i := 0; i < w.rows(); i += 8 {
		r := w.queryRow(block, i)
		exists := w.SetpU32(ptx.LT, r, ptx.Int(w.queries))
		to := w.chunkOf(y, w.MadLoU32(image, ptx.Int(w.queries), r))
		for pass, has := range w.passes {
			w.If(w.AndPred(exists, has), func() {
				right := pass * w.columns * chunkBytes
				w.StGlobalV4B32(to.At(right), w.LdSharedV4B32(w.place.At(w.stage()+i*w.rowBytes()+right)))
			})
		}
	}
}
