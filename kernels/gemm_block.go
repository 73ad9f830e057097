package kernels

import (
	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// How gemm runs on a GPU. A block of threads computes a tile of 128 x 128 results. It goes through k in slabs: 128 bytes
// of each of its 128 rows of x and 128 rows of w, which lie in shared memory while their products are added up in
// registers. The next slabs are on their way meanwhile.
//
// A slab is 32 KiB of shared memory: the rows of x, then those of w, 128 bytes each. A row is 8 chunks of 16 bytes, and
// chunk c of row r lies in place c xor (r mod 8):
//
//	row 0:  0 1 2 3 4 5 6 7
//	row 1:  1 0 3 2 5 4 7 6
//	row 2:  2 3 0 1 6 7 4 5
//	…
//
// A place is 4 of the 32 banks, so that neither the same chunk of 8 consecutive rows nor all chunks of a row use a bank
// twice: the first is how slabs are read, the second how they are filled. Slabs start at multiples of 128 bytes, so the
// xor may be done on an address.
//
// Of T threads, thread t brings chunk t mod 8 of the rows t/8, t/8 + T/8, t/8 + 2·T/8, … of x and of w: 8 threads read
// consecutive bytes. What lies beyond the last row or beyond k is not read and becomes zero.
//
// Three ways share this: tensor cores with slabs that cp.async brings; those of sm_75, which has no cp.async, with slabs
// that pass through registers (both in gemm_mma.go); and multiply-adds in float32 (gemm_ffma.go), for float32 and for
// what tensor cores do not take: any sizes and alignment, widened on the way to shared memory. Operands of 8 bits would
// have the same slabs, of twice as many elements.
const (
	gemmTile    = 128                 // rows and columns of a block's results
	gemmLine    = 128                 // bytes of a row in a slab
	gemmPlaces  = 8                   // chunks of 16 bytes in a line
	gemmOperand = gemmTile * gemmLine // bytes of x, and of w, in a slab
	gemmSlab    = 2 * gemmOperand
)

// A gemmPlan is what a Spec decides.
type gemmPlan struct {
	mma     bool // on tensor cores
	async   bool // slabs come by cp.async
	threads int
	stages  int // slabs in shared memory
	chunk   int // elements in a chunk
	slabs   int // that k takes
}

// planGEMM decides how to compute. Tensor cores take operands of 16 bits whose chunks are aligned and lie within k, and
// write results by four.
func planGEMM(s Spec) gemmPlan {
	n, k := s.Dims[1], s.Dims[2]
	p := gemmPlan{mma: true, async: true, threads: 128, stages: 3, chunk: 8}
	switch {
	case s.Precision.Activation == tensor.F32 || s.Vector < 8 || n%4 != 0 || k%8 != 0:
		p = gemmPlan{threads: 256, stages: 2, chunk: 4}
	case s.Target < ptx.SM80:
		p.async, p.stages = false, 2
	}
	p.slabs = ceilDiv(k, gemmPlaces*p.chunk)
	return p
}

func launchGEMM(s Spec, d []int) Geometry {
	p := planGEMM(s)
	return Geometry{
		Grid:   [3]int{ceilDiv(d[0], gemmTile) * ceilDiv(d[1], gemmTile), 1, 1},
		Block:  [3]int{p.threads, 1, 1},
		Shared: p.stages * gemmSlab,
	}
}

// A gemmBlock is what a block has in registers while its code is written.
type gemmBlock struct {
	gemmPlan
	f    *ptx.Func
	s    Spec
	p    Params
	n, k int

	tid      ptx.B32
	row, col ptx.B32 // of y, where the tile starts
	slab     ptx.B32 // address of the first slab in shared memory
	from, to ptx.B32 // bytes from there to the slab that is read, and to the one that is filled

	x, w    gemmRows
	element ptx.B32      // of a row: the first of the thread's next chunk
	fetched [][4]ptx.F32 // chunks on their way through registers
}

func gemmPTX(f *ptx.Func, s Spec, p Params) {
	g := &gemmBlock{gemmPlan: planGEMM(s), f: f, s: s, p: p, n: s.Dims[1], k: s.Dims[2]}
	f.MaxNTID(g.threads, 1, 1)
	f.MinNCTAPerSM(1)
	g.slab = f.DynamicShared("slabs", gemmLine, g.stages*gemmSlab)
	g.tid = f.Special(ptx.TidX)
	g.tile()
	g.start()
	if g.mma {
		g.productMMA()
	} else {
		g.productFFMA()
	}
}

// maxGEMMBand is the most tiles side by side in a band. The blocks that run at a time, some hundred, should cover about a
// square of tiles: then the fewest rows of x and w are read from L2 by all of them.
const maxGEMMBand = 10

// tile sets where the block's tile starts. Tiles are numbered in bands of columns, along the rows of tiles in a band.
func (g *gemmBlock) tile() {
	f := g.f
	f.Comment("the tile of y")
	id := f.Special(ptx.CTAIdX)
	columns := ceilDiv(g.n, gemmTile)
	bands := ceilDiv(columns, maxGEMMBand)
	width := ceilDiv(columns, bands)
	first, wide := ptx.Int(0), ptx.Int(width)
	if bands > 1 {
		rows := f.ShrU32(f.AddU32(g.p.Dims[0], ptx.Int(gemmTile-1)), ptx.Int(7))
		size := f.MulLoU32(rows, wide)
		band := f.DivU32(id, size)
		id = f.SubU32(id, f.MulLoU32(band, size))
		first = f.MulLoU32(band, wide)
		if columns%width != 0 {
			wide = f.MinU32(wide, f.SubU32(ptx.Int(columns), first))
		}
	}
	g.row = f.MulLoU32(f.DivU32(id, wide), ptx.Int(gemmTile))
	g.col = f.MulLoU32(f.AddU32(first, f.RemU32(id, wide)), ptx.Int(gemmTile))
}

// gemmRows are the rows of x or w that a thread brings.
type gemmRows struct {
	at    ptx.B64 // its next chunk of its first row
	step  ptx.B64 // bytes from a row of it to the next
	left  ptx.B32 // rows from its first to the operand's end, signed
	whole bool    // all chunks are within the operand
	place ptx.B32 // of its chunk of its first row, in the first slab
}

// ragged reports whether the last slab reaches beyond k.
func (g *gemmBlock) ragged() bool { return g.k%(gemmPlaces*g.chunk) != 0 }

// apart is how many rows lie from one row that a thread brings to its next.
func (g *gemmBlock) apart() int { return g.threads / gemmPlaces }

// start brings the first slabs, all but one of those that shared memory has room for, and waits for the first.
func (g *gemmBlock) start() {
	f := g.f
	f.Comment("the rows and the chunk of them that the thread brings")
	line := f.ShrU32(g.tid, ptx.Int(3))
	chunk := f.AndB32(g.tid, ptx.Int(gemmPlaces-1))
	place := f.XorB32(chunk, f.AndB32(line, ptx.Int(gemmPlaces-1)))
	place = f.MadLoU32(place, ptx.Int(16), f.MadLoU32(line, ptx.Int(gemmLine), g.slab))
	g.element = f.MulLoU32(chunk, ptx.Int(g.chunk))
	rows := func(o Pointer, first, count, place ptx.B32) gemmRows {
		if g.async { // chunks that are not read have aligned addresses too; the pitch of a single row may be odd
			o.Pitch = f.AndB32(o.Pitch, ptx.Int(-16))
		}
		row := f.AddU32(first, line)
		return gemmRows{
			at:    f.MadWideU32(g.element, ptx.Int(g.s.Precision.Activation.Size()), o.Row(f, row)),
			step:  f.MulWideU32(o.Pitch, ptx.Int(g.apart())),
			left:  f.SubU32(count, row),
			place: place,
		}
	}
	g.x = rows(g.p.In[0], g.row, g.p.Dims[0], place)
	g.w = rows(g.p.In[1], g.col, ptx.Int(g.n), f.AddU32(place, ptx.Int(gemmOperand)))
	g.w.whole = g.n%gemmTile == 0 && !g.ragged()

	f.Comment("the first slabs")
	g.from, g.to = f.MovB32(ptx.Int(0)), f.MovB32(ptx.Int(0))
	for i := range g.stages - 1 {
		if i < g.slabs {
			g.bring(0, f)
			g.bring(1, f)
		}
		g.bring(2, f)
	}
	f.BarSync(0)
}

// bring does one of the three parts of bringing a slab. After the last part and a barrier, the slab after the one that
// is read is there; with cp.async it has been under way for some slabs. copies is g.f, or guards the copies.
func (g *gemmBlock) bring(part int, copies *ptx.Func) {
	f := g.f
	switch part {
	case 0:
		if g.async {
			g.copy(&g.x, copies)
		} else {
			g.fetch(&g.x)
		}
	case 1:
		if g.async {
			g.copy(&g.w, copies)
			turn(f, g.to, gemmSlab, g.stages)
		} else {
			g.put(&g.x)
			g.fetch(&g.w)
		}
		if g.ragged() {
			ptx.Into(f, g.element).AddU32(g.element, ptx.Int(gemmPlaces*g.chunk))
		}
	case 2:
		if g.async {
			f.CpAsyncCommitGroup()
			f.CpAsyncWaitGroup(g.stages - 2)
		} else {
			g.put(&g.w)
			turn(f, g.to, gemmSlab, g.stages)
		}
	}
}

// advance makes the next slab the one that is read.
func (g *gemmBlock) advance() { turn(g.f, g.from, gemmSlab, g.stages) }

// turn adds step to offset, and takes it back to 0 from n·step.
func turn(f *ptx.Func, offset ptx.B32, step, n int) {
	next := f.AddU32(offset, ptx.Int(step))
	ptx.Into(f, offset).SelpB32(ptx.Int(0), next, f.SetpU32(ptx.EQ, next, ptx.Int(n*step)))
}

// copy starts the copies of the thread's chunks of r by cp.async, which makes zeros of what it is told not to read.
func (g *gemmBlock) copy(r *gemmRows, copies *ptx.Func) {
	f := g.f
	to := f.AddU32(r.place, g.to)
	left := g.within(r, 0)
	g.each(r, func(i int, at ptx.B64) {
		place := to.At(i * gemmLine)
		if r.whole {
			copies.CpAsyncCG(place, at.At(0))
			return
		}
		size := f.SelpB32(ptx.Int(16), ptx.Int(0), f.SetpS32(ptx.GT, left, ptx.Int(i)))
		copies.CpAsyncCGSrcSize(place, at.At(0), size)
	})
}

// fetch loads the thread's chunks of r into registers: as they are for tensor cores, else as float32.
func (g *gemmBlock) fetch(r *gemmRows) {
	f := g.f
	t, n := tensor.F32, 4
	if !g.mma {
		t, n = g.s.Precision.Activation, min(4, int(g.s.Vector))
		for g.k%n != 0 {
			n /= 2
		}
	}
	var left [4]ptx.B32
	for e := 0; e < 4; e += n {
		left[e] = g.within(r, e)
	}
	g.fetched = nil
	g.each(r, func(i int, at ptx.B64) {
		var c []ptx.F32
		for e := 0; e < 4; e += n {
			c = append(c, loadWhen(f, f.SetpS32(ptx.GT, left[e], ptx.Int(i)), t, at, e*t.Size(), n)...)
		}
		g.fetched = append(g.fetched, [4]ptx.F32(c))
	})
}

// put stores what fetch loaded.
func (g *gemmBlock) put(r *gemmRows) {
	to := g.f.AddU32(r.place, g.to)
	for i, c := range g.fetched {
		g.f.StSharedV4F32(to.At(i*g.apart()*gemmLine), c)
	}
}

// within is r.left if element e of the thread's chunks is within k, else 0.
func (g *gemmBlock) within(r *gemmRows, e int) ptx.B32 {
	if !g.ragged() {
		return r.left
	}
	p := g.f.SetpU32(ptx.LT, g.f.AddU32(g.element, ptx.Int(e)), ptx.Int(g.k))
	return g.f.SelpB32(r.left, ptx.Int(0), p)
}

// each calls do with the addresses of the thread's chunks of r, i rows after its first one, and moves on to the next slab.
func (g *gemmBlock) each(r *gemmRows, do func(i int, at ptx.B64)) {
	at := r.at
	for i := 0; i < gemmTile; i += g.apart() {
		if i > 0 {
			at = g.f.AddU64(at, r.step)
		}
		do(i, at)
	}
	bytes := gemmPlaces * g.chunk * g.s.Precision.Activation.Size()
	ptx.Into(g.f, r.at).AddU64(r.at, ptx.Long(int64(bytes)))
}

// pipeline calls slab for each slab, and bring, in it, does the parts of bringing a later one; it is nil for the last.
func (g *gemmBlock) pipeline(slab func(bring func(part int))) {
	f := g.f
	if g.slabs > 1 {
		f.Comment("all slabs but the last")
		i := f.MovB32(ptx.Int(0))
		f.DoWhile(func() ptx.Pred {
			ahead, copies := g.stages-1, f
			if ahead > 1 && g.slabs > ahead {
				copies = f.When(f.SetpU32(ptx.LT, i, ptx.Int(g.slabs-ahead)))
			}
			slab(func(part int) {
				if g.slabs > ahead || part == 2 {
					g.bring(part, copies)
				}
			})
			ptx.Into(f, i).AddU32(i, ptx.Int(1))
			return f.SetpU32(ptx.LT, i, ptx.Int(g.slabs-1))
		})
	}
	f.Comment("the last slab")
	slab(nil)
}

// finish is the result for a sum of products. bias is 0 and residual unused where the call has none.
func (g *gemmBlock) finish(sum, bias, residual ptx.F32) ptx.F32 {
	y := activate(g.f, g.s.Attrs.Activation, g.f.FmaRnF32(sum, g.p.Scalars[0], bias))
	if g.s.Has(3) {
		y = g.f.AddRnF32(y, residual)
	}
	return y
}

// loadWhen is load of 1, 2 or 4 values where p is true, and 0 elsewhere.
func loadWhen(f *ptx.Func, p ptx.Pred, t tensor.DType, base ptx.B64, offset, n int) []ptx.F32 {
	if t == tensor.F32 {
		x := make([]ptx.F32, n)
		for i := range x {
			x[i] = f.MovF32(ptx.Float(0))
		}
		switch into, at := ptx.Into(f.When(p), x...), base.At(offset); n {
		case 1:
			into.LdGlobalF32(at)
		case 2:
			into.LdGlobalV2F32(at)
		default:
			into.LdGlobalV4F32(at)
		}
		return x
	}
	if n == 1 {
		h := f.CvtU16U32(f.MovB32(ptx.Int(0)))
		ptx.Into(f.When(p), h).LdGlobalB16(base.At(offset))
		return []ptx.F32{widen(f, t, h)}
	}
	words := make([]ptx.B32, n/2)
	for i := range words {
		words[i] = f.MovB32(ptx.Int(0))
	}
	if into, at := ptx.Into(f.When(p), words...), base.At(offset); n == 2 {
		into.LdGlobalB32(at)
	} else {
		into.LdGlobalV2B32(at)
	}
	var x []ptx.F32
	for _, w := range words {
		lo, hi := unpack(f, t, w)
		x = append(x, lo, hi)
	}
	return x
}

// storeWhen is store of 1 or 4 values where p is true.
func storeWhen(f *ptx.Func, p ptx.Pred, t tensor.DType, base ptx.B64, offset int, x []ptx.F32) {
	when, at := f.When(p), base.At(offset)
	switch {
	case t == tensor.F32 && len(x) == 1:
		when.StGlobalF32(at, x[0])
	case t == tensor.F32:
		when.StGlobalV4F32(at, [4]ptx.F32(x))
	case len(x) == 1:
		when.StGlobalB16(at, half(f, t, x[0]))
	default:
		when.StGlobalV2B32(at, [2]ptx.B32{pack(f, t, x[0], x[1]), pack(f, t, x[2], x[3])})
	}
}
