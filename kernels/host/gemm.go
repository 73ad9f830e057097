package host

import (
	"unsafe"

	"vith/kernels"
	"vith/kernels/host/simd"
	"vith/kernels/tensor"
)

const (
	// maxK is the longest sum of one call of a tile: a panel of it stays in the second-level cache (160 KiB at 32
	// columns of float32), and the call below 20 microseconds. Sums are cut there for every size, so results do not
	// depend on it. It is even: pairs of bfloat16 are not cut.
	maxK = 1280
)

// A size bounds the result of one task: its rows are a multiple of 3.
type size struct{ rows, cols int }

var (
	// tiled is for products in tiles. A task's rows of x are read once for each panel, from the second-level cache, and each
	// of its panels once from memory.
	tiled = size{132, 128}
	// widened is for those whose rows of bfloat16 take twice their size in the cache.
	widened = size{84, 128}
	// blocked is for those that take any number of rows at a time. They are so fast that panels should be read from memory
	// once for all rows of an image, of which a model for images of 224 pixels has 257; maxK columns of so many take 720 KiB.
	blocked = size{288, 256}
)

// A product is a gemm call: y = activation(alpha·x·wᵀ + bias) + residual. In fp32, alpha is in the packed weights. The
// bfloat16 weights are what the model has, rounded, so that alpha multiplies the sums.
type product struct {
	tier           *simd.Tier
	x, y, residual *operand // residual may be nil
	w, bias        *operand // w in panels; bias may be nil
	layout         layout   // of w
	activate       func(x *float32, ld, rows, cols int)
	scaled         *scaled // what is done with the sums before the residual; nil if they are begun with bias, and activated
	m, n, k        int
	rowBlocks      int // tasks along m
	colBlocks      int // tasks along n
	panelsPerBlock int
	tileRows       int // most rows of a tile
	multiply       func(g *product, x tile, k, n int, w unsafe.Pointer, c *float32, ldc int, bias *float32, acc bool)
	widens         bool // x is bfloat16, and multiplied as float32
	direct         bool // whole panels are summed in y itself
	widePitch      int  // elements between widened rows of x
	scratch        func(worker int) (block, wide []float32)
}

// A scaled is the rest of a product whose sums are multiplied by an alpha that is not 1, and then only get their bias and
// activation.
type scaled struct {
	alpha    float32
	bias     *operand
	activate func(x *float32, ld, rows, cols int)
}

// A tile is some rows of x.
type tile struct {
	row, rows   int
	wide        []float32 // the columns that are being multiplied, if the product widens
	next, share int       // what to prefetch meanwhile, as simd.Tier's tiles take it
}

// compileGEMM splits the result into blocks of some size, columns first, so that few threads read the same weights. Where
// that leaves threads without work, blocks are narrower, then lower.
func compileGEMM(c *compiler, call *kernels.Call) step {
	t, alpha, most := c.backend.tier, call.Scalars[0], tiled
	g := &product{
		tier: t, m: call.Dims[0], n: call.Dims[1], k: call.Dims[2], tileRows: t.MR,
		x: c.operand(call.In[0]), bias: c.weight(call.In[2], plain, 1), residual: c.operand(call.In[3]),
		y: c.operand(call.Out[0]), activate: activation(t, call.Attrs.Activation),
	}
	if g.x.kind == tensor.F32 {
		g.layout, g.w, g.multiply = panels, c.weight(call.In[1], panels, alpha), (*product).multiplyF32
	} else {
		g.layout, g.w = pairs, c.weight(call.In[1], pairs, 1)
		switch {
		case t.BlockBF16 != nil && g.k%2 == 0:
			g.multiply, g.tileRows, most = (*product).multiplyBlock, blocked.rows, blocked
		case t.TileBF16[1] != nil:
			g.multiply = (*product).multiplyBF16
		default:
			g.multiply, g.widens, most = (*product).multiplyMixed, true, widened
		}
		if alpha != 1 {
			g.scaled = &scaled{alpha, g.bias, g.activate}
			g.bias, g.activate = nil, nil
		}
	}
	g.direct = g.y.kind == tensor.F32 && g.scaled == nil && (g.residual == nil || g.activate == nil)
	all := (g.n + t.NR - 1) / t.NR
	g.split(c.backend.pool, all, most)

	rows := (g.m + g.rowBlocks - 1) / g.rowBlocks
	block, wide := rows*min(g.panelsPerBlock, all)*t.NR, 0
	if g.widens {
		g.widePitch = min(maxK, g.k) + 16
		wide = rows * g.widePitch
	}
	scratch := c.need(block + wide)
	g.scratch = func(worker int) ([]float32, []float32) {
		s := scratch(worker)
		return s[:block], s[block:]
	}
	return step{tasks: g.rowBlocks * g.colBlocks, run: g.run}
}

// split chooses the blocks of a result of so many panels: the largest that balance, else those that balance best.
func (g *product) split(p *pool, all int, most size) {
	best := 0.0
	for _, rows := range [...]int{most.rows, most.rows / 3 * 2, most.rows / 3} {
		for cols := max(1, most.cols/g.tier.NR); cols >= 1; cols /= 2 {
			rowBlocks, colBlocks := (g.m+rows-1)/rows, (all+cols-1)/cols
			if b := p.balance(rowBlocks * colBlocks); b > best {
				best, g.rowBlocks, g.colBlocks, g.panelsPerBlock = b, rowBlocks, colBlocks, cols
			}
			if best >= enough {
				return
			}
		}
	}
}

func activation(t *simd.Tier, a kernels.Activation) func(x *float32, ld, rows, cols int) {
	switch a {
	case kernels.GELU:
		return t.GELU
	case kernels.GELUTanh:
		return t.GELUTanh
	case kernels.QuickGELU:
		return t.QuickGELU
	}
	return nil
}

func (g *product) run(task, worker int) {
	row0, row1 := span(g.m, g.rowBlocks, task/g.colBlocks)
	nr, rows := g.tier.NR, row1-row0
	first := task % g.colBlocks * g.panelsPerBlock
	last := min(first+g.panelsPerBlock, (g.n+nr-1)/nr)
	block, wide := g.scratch(worker)
	staged := first // the first panel that is not summed in y
	if g.direct {
		staged = max(first, min(last, g.n/nr)) // a panel that reaches beyond the last column
	}
	if first < staged {
		col, cols := first*nr, (staged-first)*nr
		if g.residual != nil && g.residual.at(0, 0) != g.y.at(0, 0) {
			for r := row0; r < row1; r++ {
				copy(g.y.row(r)[col:][:cols], g.residual.row(r)[col:])
			}
		}
		g.sum(row0, rows, first, staged, g.y.f32(row0, col), g.y.pitch, g.residual != nil, wide)
	}
	if staged < last {
		ld := (last - staged) * nr
		g.sum(row0, rows, staged, last, &block[0], ld, false, wide)
		g.finish(row0, rows, staged*nr, min(last*nr, g.n)-staged*nr, block, ld)
	}
}

// sum computes panels [first, last) of some rows in c, and applies the activation if it is not for later.
func (g *product) sum(row0, rows, first, last int, c *float32, ldc int, acc bool, wide []float32) {
	t := g.tier
	tiles := (rows + g.tileRows - 1) / g.tileRows
	// The panel that follows is fetched from memory evenly, a part of it in every tile.
	line := 4 * t.NR
	share := (line + tiles - 1) / tiles
	for k := 0; k < g.k; k += maxK {
		n := min(maxK, g.k-k)
		lines := g.layout.lines(n)
		if g.widens {
			t.Widen(&wide[0], g.widePitch, g.x.u16(row0, k), g.x.pitch, rows, n)
		}
		for p := first; p < last; p++ {
			w := unsafe.Add(*g.w.base, panelAt(g.layout, g.n, g.k, t.NR, p, k))
			var bias *float32
			if k == 0 && g.bias != nil {
				bias = g.bias.f32(0, p*t.NR)
			}
			for i := range tiles {
				lo, hi := span(rows, tiles, i)
				part := tile{row: row0 + lo, rows: hi - lo, next: lines * (line + i*share), share: share}
				if g.widens {
					part.wide = wide[lo*g.widePitch:]
				}
				dst := index(c, lo*ldc+(p-first)*t.NR)
				g.multiply(g, part, k, n, w, dst, ldc, bias, k > 0 || acc)
				if g.activate != nil && k+n == g.k {
					g.activate(dst, ldc, hi-lo, t.NR)
				}
			}
		}
	}
}

func (g *product) multiplyF32(x tile, k, n int, w unsafe.Pointer, c *float32, ldc int, bias *float32, acc bool) {
	g.tier.Tile[x.rows](n, g.x.f32(x.row, k), g.x.pitch, (*float32)(w), c, ldc, bias, acc, x.next, x.share)
}

func (g *product) multiplyBF16(x tile, k, n int, w unsafe.Pointer, c *float32, ldc int, bias *float32, acc bool) {
	g.tier.TileBF16[x.rows](n, g.x.u16(x.row, k), g.x.pitch, (*uint16)(w), c, ldc, bias, acc, x.next, x.share)
}

func (g *product) multiplyBlock(x tile, k, n int, w unsafe.Pointer, c *float32, ldc int, bias *float32, acc bool) {
	g.tier.BlockBF16(x.rows, n, g.x.u16(x.row, k), g.x.pitch, (*uint16)(w), c, ldc, bias, acc)
}

func (g *product) multiplyMixed(x tile, k, n int, w unsafe.Pointer, c *float32, ldc int, bias *float32, acc bool) {
	g.tier.TileMixed[x.rows](n, &x.wide[0], g.widePitch, (*uint16)(w), c, ldc, bias, acc, x.next, x.share)
}

// finish does what is left to do on sums in scratch memory, which go to columns [col, col+cols) of some rows of y.
func (g *product) finish(row0, rows, col, cols int, block []float32, ld int) {
	if s := g.scaled; s != nil {
		for r := range rows {
			sums := block[r*ld:][:cols]
			for i := range sums {
				sums[i] *= s.alpha
			}
			if s.bias != nil {
				accumulate(sums, s.bias.row(0)[col:])
			}
		}
		if s.activate != nil {
			s.activate(&block[0], ld, rows, cols)
		}
	}
	if g.residual != nil {
		for r := range rows {
			sums := block[r*ld:][:cols]
			if g.residual.kind == tensor.F32 {
				accumulate(sums, g.residual.row(row0 + r)[col:])
				continue
			}
			for i, x := range unsafe.Slice(g.residual.u16(row0+r, col), cols) {
				sums[i] += tensor.FromBF16(x)
			}
		}
	}
	if g.y.kind == tensor.BF16 {
		g.tier.Narrow(g.y.u16(row0, col), g.y.pitch, &block[0], ld, rows, cols)
		return
	}
	for r := range rows {
		copy(g.y.row(row0 + r)[col:], block[r*ld:][:cols])
	}
}

// accumulate adds as many values of x to dst as it has.
func accumulate(dst, x []float32) {
	for i, v := range x[:len(dst)] {
		dst[i] += v
	}
}
