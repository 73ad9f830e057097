package kernels

import (
	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// The product on tensor cores. 4 warps take a quarter of the tile each, 64 x 64 results: 4 x 8 multiplications of
// 16 x 8 results, whose sums are 128 registers of a thread. A slab is 64 of k, 4 steps of 16. For a step a warp loads
// 4 fragments of x and 8 of w, one ldmatrix for 16 rows of either; it does so a step ahead, also from one slab to the
// next, so that 32 multiplications lie between a load and its first use.
//
// In a slab a warp so issues 128 multiplications and 32 ldmatrix, each of which reads 4 times 8 chunks in distinct banks.
const (
	gemmWarp = 64 // rows and columns of a warp's results
	gemmMMAM = 16 // rows and columns of one multiplication
	gemmMMAN = 8
)

// gemmSums are the results of a warp by multiplication: with lane = 4·g + t, rows g and g+8, columns 2·t and 2·t+1 are
// elements (0, 1) and (2, 3).
type gemmSums [gemmWarp / gemmMMAM][gemmWarp / gemmMMAN][4]ptx.F32

// gemmFragments are the rows of x, and of w, of a warp for a step, 16 by 16. Of x, the 8x8 matrices are rows 0-7 and rows
// 8-15 of the lower 8 of k, then of the upper ones; of w, the lower and the upper k of rows 0-7, then of rows 8-15.
type gemmFragments [2][gemmWarp / 16][4]ptx.B32

// productMMA computes the tile and stores it.
func (g *gemmBlock) productMMA() {
	f := g.f
	f.Comment("the rows of x and w that the lane addresses for ldmatrix, and their first chunk")
	lane := f.AndB32(g.tid, ptx.Int(warpSize-1))
	warp := f.ShrU32(g.tid, ptx.Int(5))
	warpRow := f.MulLoU32(f.ShrU32(warp, ptx.Int(1)), ptx.Int(gemmWarp))
	warpCol := f.MulLoU32(f.AndB32(warp, ptx.Int(1)), ptx.Int(gemmWarp))
	r, bit3, bit4 := f.AndB32(lane, ptx.Int(7)), f.BfeU32(lane, ptx.Int(3), ptx.Int(1)), f.ShrU32(lane, ptx.Int(4))
	place := func(first, upperRows, upperK ptx.B32) ptx.B32 {
		row := f.AddU32(first, f.MadLoU32(upperRows, ptx.Int(8), r))
		return f.MadLoU32(f.XorB32(upperK, r), ptx.Int(16), f.MadLoU32(row, ptx.Int(gemmLine), g.slab))
	}
	x := place(warpRow, bit3, bit4)
	w := f.AddU32(place(warpCol, bit4, bit3), ptx.Int(gemmOperand))

	load := func(step int, ldmatrix func(operand, i int, at ptx.SharedAddr)) {
		for operand, place := range [2]ptx.B32{x, w} {
			from := f.XorB32(f.AddU32(place, g.from), ptx.Int(step*2*16)) // two chunks a step
			for i := range gemmWarp / 16 {
				ldmatrix(operand, i, from.At(i*16*gemmLine))
			}
		}
	}
	loadNew := func(step int) *gemmFragments {
		var a gemmFragments
		load(step, func(operand, i int, at ptx.SharedAddr) { a[operand][i] = f.LdMatrixX4(at) })
		return &a
	}

	var sums gemmSums
	for i := range sums {
		for j := range sums[i] {
			for e := range sums[i][j] {
				sums[i][j][e] = f.MovF32(ptx.Float(0))
			}
		}
	}
	first := loadNew(0)
	g.pipeline(func(bring func(part int)) {
		now := first
		for step := range 4 {
			var next *gemmFragments
			switch {
			case step < 3:
				next = loadNew(step + 1)
				if bring != nil && step < 2 {
					bring(step)
				}
			case bring != nil:
				bring(2)
				f.BarSync(0)
				g.advance()
				load(0, func(operand, i int, at ptx.SharedAddr) { ptx.Into(f, first[operand][i][:]...).LdMatrixX4(at) })
			}
			g.multiply(&sums, now)
			now = next
		}
	})
	g.storeSums(&sums, lane, warp, warpRow, warpCol)
}

// multiply adds the products of a step. What is m16n8k16 from sm_80 on is two m16n8k8 before.
func (g *gemmBlock) multiply(sums *gemmSums, a *gemmFragments) {
	all := func(mma func(to *ptx.Func, x [4]ptx.B32, w [2]ptx.B32, c [4]ptx.F32)) {
		for i, x := range a[0] {
			for j, c := range sums[i] {
				mma(ptx.Into(g.f, c[:]...), x, [2]ptx.B32(a[1][j/2][j%2*2:]), c)
			}
		}
	}
	switch {
	case g.s.Target < ptx.SM80:
		for k := range 2 {
			all(func(to *ptx.Func, x [4]ptx.B32, w [2]ptx.B32, c [4]ptx.F32) {
				to.MmaM16N8K8F16([2]ptx.B32(x[2*k:]), [1]ptx.B32(w[k:]), c)
			})
		}
	case g.s.Precision.Activation == tensor.BF16:
		all(func(to *ptx.Func, x [4]ptx.B32, w [2]ptx.B32, c [4]ptx.F32) { to.MmaM16N8K16BF16(x, w, c) })
	default:
		all(func(to *ptx.Func, x [4]ptx.B32, w [2]ptx.B32, c [4]ptx.F32) { to.MmaM16N8K16F16(x, w, c) })
	}
}

// storeSums finishes the results of a warp. They pass through shared memory, where the slabs were: each warp has 64 rows
// of 256 bytes. From there a lane takes 4 consecutive columns of every second row, so that 16 lanes read and write whole
// rows of 64 results: 128 or 256 consecutive bytes.
//
// Chunk c of a row, 4 results, lies in place c xor 2·(row mod 4). A half warp writes 2 neighbouring chunks of 4
// consecutive rows, 8 lanes read 8 consecutive chunks of a row: distinct banks for both.
func (g *gemmBlock) storeSums(sums *gemmSums, lane, warp, warpRow, warpCol ptx.B32) {
	const (
		line  = gemmWarp * 4 // bytes of a row
		lanes = gemmWarp / 4 // that take a row
		batch = 8            // rows of a lane that are under way together
	)
	f := g.f
	f.Comment("the sums, to shared memory")
	f.BarSync(0)
	own := f.MadLoU32(warp, ptx.Int(gemmWarp*line), g.slab)
	row, pair := f.ShrU32(lane, ptx.Int(2)), f.AndB32(lane, ptx.Int(3))
	place := f.XorB32(f.ShrU32(pair, ptx.Int(1)), f.MulLoU32(f.AndB32(row, ptx.Int(3)), ptx.Int(2)))
	at := f.MadLoU32(row, ptx.Int(line), f.MadLoU32(place, ptx.Int(16), f.MadLoU32(f.AndB32(pair, ptx.Int(1)), ptx.Int(8), own)))
	for j := range sums[0] {
		// Multiplication j's first chunk is 2·j: of that, what the xor can reach, and the rest.
		to := f.XorB32(at, ptx.Int(j%4*32))
		for i := range sums {
			c := sums[i][j]
			f.StSharedV2F32(to.At(i*gemmMMAM*line+j/4*128), [2]ptx.F32(c[:2]))
			f.StSharedV2F32(to.At((i*gemmMMAM+8)*line+j/4*128), [2]ptx.F32(c[2:]))
		}
	}
	f.BarWarpSync(ptx.Int(fullWarp))

	f.Comment("the lane's columns and first row")
	chunk, odd := f.AndB32(lane, ptx.Int(lanes-1)), f.ShrU32(lane, ptx.Int(4))
	col := f.AddU32(f.AddU32(g.col, warpCol), f.MulLoU32(chunk, ptx.Int(4)))
	first := f.AddU32(f.AddU32(g.row, warpRow), odd)
	left := f.SubU32(g.p.Dims[0], first) // rows from the first to the end of y, signed
	bias := []ptx.F32{ptx.Float(0), ptx.Float(0), ptx.Float(0), ptx.Float(0)}
	within := f.SetpU32(ptx.LT, col, ptx.Int(g.n))
	if g.s.Has(2) {
		bias = loadWhen(f, within, tensor.F32, f.MadWideU32(col, ptx.Int(4), g.p.In[2].Address), 0, 4)
	}
	left = f.SelpB32(left, ptx.Int(0), within)
	t := g.s.Precision.Stream
	operand := func(p Pointer) (at, step ptx.B64) {
		return f.MadWideU32(col, ptx.Int(t.Size()), p.Row(f, first)), f.MulWideU32(p.Pitch, ptx.Int(2))
	}
	y, yStep := operand(g.p.Out[0])
	var residual, residualStep ptx.B64
	if g.s.Has(3) {
		residual, residualStep = operand(g.p.In[3])
	}
	place = f.XorB32(chunk, f.MulLoU32(odd, ptx.Int(2)))
	from := f.MadLoU32(odd, ptx.Int(line), f.MadLoU32(place, ptx.Int(16), own))

	f.Comment("bias, activation, residual: %d rows a turn", batch)
	end := f.AddU32(from, ptx.Int(gemmWarp*line))
	f.DoWhile(func() ptx.Pred {
		var there [batch]ptx.Pred
		var sum [batch][4]ptx.F32
		var add [batch][]ptx.F32
		swapped := f.XorB32(from, ptx.Int(64)) // of rows 2 and 3 modulo 4
		for i := range batch {
			there[i] = f.SetpS32(ptx.GT, left, ptx.Int(2*i))
			add[i] = make([]ptx.F32, 4)
			if g.s.Has(3) {
				add[i] = loadWhen(f, there[i], t, residual, 0, 4)
				ptx.Into(f, residual).AddU64(residual, residualStep)
			}
			sum[i] = f.LdSharedV4F32([]ptx.B32{from, swapped}[i%2].At(2 * i * line))
		}
		for i := range batch {
			result := make([]ptx.F32, 4)
			for e := range result {
				result[e] = g.finish(sum[i][e], bias[e], add[i][e])
			}
			storeWhen(f, there[i], t, y, 0, result)
			ptx.Into(f, y).AddU64(y, yStep)
		}
		ptx.Into(f, left).SubU32(left, ptx.Int(2*batch))
		ptx.Into(f, from).AddU32(from, ptx.Int(2*batch*line))
		return f.SetpU32(ptx.NE, from, end)
	})
}
