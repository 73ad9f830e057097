package kernels

import (
	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// The product by fused multiply-adds, in float32, of any sizes and alignment. 16 x 16 threads compute 8 x 8 results each:
// thread (i, j) those in rows i, i+16, i+32, … and columns j, j+16, … of the tile. For each chunk of k, 4 values, a
// thread loads 8 chunks of x and one after the other 8 of w, for 256 multiply-adds. The lanes of a quarter warp read the
// same chunk of one row of x and of 8 consecutive rows of w: distinct banks. 16 lanes write 64 or 32 consecutive bytes
// of y.
const (
	gemmSide = 16 // threads along a side of the tile
	gemmEach = gemmTile / gemmSide
)

// productFFMA computes the tile and stores it.
func (g *gemmBlock) productFFMA() {
	f := g.f
	f.Comment("the thread's first row and column of the tile")
	row, col := f.ShrU32(g.tid, ptx.Int(4)), f.AndB32(g.tid, ptx.Int(gemmSide-1))
	place := func(row ptx.B32) ptx.B32 { // of chunk 0; those of the other rows are the same modulo 8
		swizzle := f.AndB32(row, ptx.Int(gemmPlaces-1))
		return f.MadLoU32(swizzle, ptx.Int(16), f.MadLoU32(row, ptx.Int(gemmLine), g.slab))
	}
	x := place(row)
	w := f.AddU32(place(col), ptx.Int(gemmOperand))

	var sums [gemmEach][gemmEach]ptx.F32
	for i := range sums {
		for j := range sums[i] {
			sums[i][j] = f.MovF32(ptx.Float(0))
		}
	}
	g.pipeline(func(bring func(part int)) {
		for half := range 2 {
			if bring != nil {
				bring(half)
			}
			const bytes = gemmLine / 2
			f.For(ptx.Int(half*bytes), ptx.Int((half+1)*bytes), ptx.Int(16), func(chunk ptx.B32) {
				load := func(place ptx.B32) func(i int) [4]ptx.F32 {
					at := f.XorB32(f.AddU32(place, g.from), chunk)
					return func(i int) [4]ptx.F32 { return f.LdSharedV4F32(at.At(i * gemmSide * gemmLine)) }
				}
				loadX, loadW := load(x), load(w)
				var a [gemmEach][4]ptx.F32
				for i := range a {
					a[i] = loadX(i)
				}
				for j := range gemmEach {
					for k, b := range loadW(j) {
						for i := range a {
							ptx.Into(f, sums[i][j]).FmaRnF32(a[i][k], b, sums[i][j])
						}
					}
				}
			})
		}
		if bring != nil {
			bring(2)
			f.BarSync(0)
			g.advance()
		}
	})

	f.Comment("bias, activation, residual")
	row, col = f.AddU32(g.row, row), f.AddU32(g.col, col)
	t := g.s.Precision.Stream
	var within [gemmEach]ptx.Pred
	var bias [gemmEach]ptx.F32
	for j := range bias {
		within[j] = f.SetpS32(ptx.LT, col, ptx.Int(g.n-j*gemmSide))
		bias[j] = ptx.Float(0)
		if g.s.Has(2) {
			at := f.MadWideU32(col, ptx.Int(4), g.p.In[2].Address)
			bias[j] = loadWhen(f, within[j], tensor.F32, at, j*gemmSide*4, 1)[0]
		}
	}
	for i := range sums {
		r := f.AddU32(row, ptx.Int(i*gemmSide))
		there := f.SetpU32(ptx.LT, r, g.p.Dims[0])
		at := func(p Pointer) ptx.B64 { return f.MadWideU32(col, ptx.Int(t.Size()), p.Row(f, r)) }
		var p [gemmEach]ptx.Pred
		var residual [gemmEach]ptx.F32
		for j := range residual {
			p[j] = f.AndPred(there, within[j])
			if g.s.Has(3) {
				residual[j] = loadWhen(f, p[j], t, at(g.p.In[3]), j*gemmSide*t.Size(), 1)[0]
			}
		}
		for j, sum := range sums[i] {
			storeWhen(f, p[j], t, at(g.p.Out[0]), j*gemmSide*t.Size(), []ptx.F32{g.finish(sum, bias[j], residual[j])})
		}
	}
}
