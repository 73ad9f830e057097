package host

import (
	"unsafe"

	"vith/kernels"
	"vith/kernels/host/simd"
)

const (
	// maxK is the longest sum of one call of a tile: a panel of it stays in the second-level cache (160 KiB at 32
	// columns), and the call below 20 microseconds. Sums are cut there for every size, so results do not depend on it.
	maxK = 1280
	// blockRows and blockCols bound the result of one task. Its rows of x are read once for each panel, from the
	// second-level cache.
	blockRows = 84
	blockCols = 128
)

// A product is a gemm call: y = activation(x·wᵀ + bias) + residual, alpha being in the packed weights.
type product struct {
	tier           *simd.Tier
	x, y, residual *operand // residual may be nil
	w, bias        *operand // w in panels; bias may be nil
	activate       func(x *float32, ld, rows, cols int)
	m, n, k        int
	rowBlocks      int // tasks along m
	colBlocks      int // tasks along n
	panelsPerBlock int
	tile           func(worker int) []float32 // one MR x NR tile
}

// compileGEMM splits the result into blocks of about blockRows x blockCols, columns first, so that few threads read
// the same weights.
func compileGEMM(c *compiler, call *kernels.Call) step {
	t := c.backend.tier
	g := &product{
		tier: t, m: call.Dims[0], n: call.Dims[1], k: call.Dims[2],
		x: c.operand(call.In[0]), w: c.weight(call.In[1], panels, call.Scalars[0]), bias: c.weight(call.In[2], plain, 1), residual: c.operand(call.In[3]),
		y: c.operand(call.Out[0]), tile: c.need(t.MR * t.NR),
		activate: activation(t, call.Attrs.Activation),
	}
	g.panelsPerBlock = max(1, blockCols/t.NR)
	all := (g.n + t.NR - 1) / t.NR
	g.colBlocks = (all + g.panelsPerBlock - 1) / g.panelsPerBlock
	g.rowBlocks = (g.m + blockRows - 1) / blockRows
	return step{tasks: g.rowBlocks * g.colBlocks, run: g.run}
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
	nr := g.tier.NR
	panel0 := task % g.colBlocks * g.panelsPerBlock
	whole := min(panel0+g.panelsPerBlock, g.n/nr) // panels of which y has every column
	if g.residual == nil || g.activate == nil {
		g.direct(row0, row1, panel0, whole)
	} else {
		whole = panel0
	}
	for p := whole; p < min(panel0+g.panelsPerBlock, (g.n+nr-1)/nr); p++ {
		g.staged(row0, row1, p, g.tile(worker))
	}
}

// panel is the address of panel p of the weights, from column k on.
func (g *product) panel(p, k int) *float32 {
	return (*float32)(unsafe.Add(*g.w.base, 4*panelAt(g.n, g.k, g.tier.NR, p, k)))
}

// biasAt is the address of the bias of panel p, or nil.
func (g *product) biasAt(p int) *float32 {
	if g.bias == nil {
		return nil
	}
	return g.bias.f32(0, p*g.tier.NR)
}

// direct computes whole panels in y itself, the residual being in y beforehand.
func (g *product) direct(row0, row1, panel0, panel1 int) {
	t, x, y := g.tier, g.x, g.y
	nr := t.NR
	if g.residual != nil && panel0 < panel1 && g.residual.f32(0, 0) != y.f32(0, 0) {
		for r := row0; r < row1; r++ {
			copy(y.row(r)[panel0*nr:panel1*nr], g.residual.row(r)[panel0*nr:])
		}
	}
	tiles := (row1 - row0 + t.MR - 1) / t.MR
	for k := 0; k < g.k; k += maxK {
		n := min(maxK, g.k-k)
		for p := panel0; p < panel1; p++ {
			var bias *float32
			if k == 0 {
				bias = g.biasAt(p)
			}
			for i := range tiles {
				lo, hi := span(row1-row0, tiles, i)
				c := y.f32(row0+lo, p*nr)
				t.Tile[hi-lo](n, x.f32(row0+lo, k), x.pitch, g.panel(p, k), c, y.pitch, bias, k > 0 || g.residual != nil)
				if g.activate != nil && k+n == g.k {
					g.activate(c, y.pitch, hi-lo, nr)
				}
			}
		}
	}
}

// staged computes one panel tile by tile in scratch memory, for panels that reach beyond the last column and for a
// residual after an activation.
func (g *product) staged(row0, row1, p int, tile []float32) {
	t, x, y := g.tier, g.x, g.y
	nr := t.NR
	cols := min(nr, g.n-p*nr)
	tiles := (row1 - row0 + t.MR - 1) / t.MR
	for i := range tiles {
		lo, hi := span(row1-row0, tiles, i)
		bias := g.biasAt(p)
		for k := 0; k < g.k; k += maxK {
			t.Tile[hi-lo](min(maxK, g.k-k), x.f32(row0+lo, k), x.pitch, g.panel(p, k), &tile[0], nr, bias, k > 0)
			bias = nil
		}
		if g.activate != nil {
			g.activate(&tile[0], nr, hi-lo, cols)
		}
		for r := lo; r < hi; r++ {
			dst, src := y.row(row0 + r)[p*nr:][:cols], tile[(r-lo)*nr:][:cols]
			if g.residual == nil {
				copy(dst, src)
				continue
			}
			for i, v := range g.residual.row(row0 + r)[p*nr:][:cols] {
				dst[i] = src[i] + v
			}
		}
	}
}
