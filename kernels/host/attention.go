package host

import (
	"unsafe"

	"vith/kernels"
	"vith/kernels/host/simd"
	"vith/kernels/tensor"
)

// A heads is an attention call. A task is one head of one image, or, where those are too few, some of its queries: the keys and values are packed into panels once, then
// each tile of query rows computes its scores, their softmax and the weighted sum of values without leaving the cache.
// bfloat16 operands are widened there, and the result is rounded: everything between is fp32.
type heads struct {
	tier                      *simd.Tier
	q, k, v, y                *operand
	count, queries, keys, dim int
	scale                     float32
	tiles, parts              int // of the queries: tiles, and tasks
	keyPanels, valuePanels    int
	scorePitch, valuePitch    int // elements between rows of a tile of scores, and of weighted values
	scratch                   func(worker int) []float32
}

func compileAttention(c *compiler, call *kernels.Call) step {
	t, d := c.backend.tier, call.Dims
	h := &heads{
		tier: t, q: c.operand(call.In[0]), k: c.operand(call.In[1]), v: c.operand(call.In[2]), y: c.operand(call.Out[0]),
		count: d[1], queries: d[2], keys: d[3], dim: d[4], scale: call.Scalars[0],
		keyPanels: (d[3] + t.NR - 1) / t.NR, valuePanels: (d[4] + t.NR - 1) / t.NR,
	}
	h.tiles = (h.queries + t.MR - 1) / t.MR
	h.parts = c.backend.parts(d[0]*h.count, h.tiles)
	h.scorePitch, h.valuePitch = h.keyPanels*t.NR+16, h.valuePanels*t.NR
	h.scratch = c.need(h.keyPanels*h.dim*t.NR + h.valuePanels*h.keys*t.NR + t.MR*(h.scorePitch+h.valuePitch) + max(t.MR, t.NR)*h.dim)
	return step{tasks: d[0] * h.count * h.parts, run: h.run}
}

// parts is into how many parts each of so many tasks is best cut, at most so many.
func (b *Backend) parts(tasks, most int) int {
	best := 1
	for parts := 1; parts <= most && b.pool.balance(tasks*best) < enough; parts++ {
		if b.pool.balance(tasks*parts) > b.pool.balance(tasks*best) {
			best = parts
		}
	}
	return best
}

func (h *heads) run(task, worker int) {
	t := h.tier
	part, head := task%h.parts, task/h.parts
	image, col := head/h.count, head%h.count*h.dim
	s := h.scratch(worker)
	take := func(n int) (part []float32) {
		part, s = s[:n], s[n:]
		return part
	}
	keys := take(h.keyPanels * h.dim * t.NR)      // kᵀ in panels [dim][NR]
	values := take(h.valuePanels * h.keys * t.NR) // v in panels [keys][NR]
	scores := take(t.MR * h.scorePitch)
	sums := take(t.MR * h.valuePitch)
	wide := take(max(t.MR, t.NR) * h.dim) // rows of q or k, if they are bfloat16
	h.pack(keys, values, wide, image*h.keys, col)

	first, last := span(h.tiles, h.parts, part)
	for i := first; i < last; i++ {
		lo, hi := span(h.queries, h.tiles, i)
		rows, row := hi-lo, image*h.queries+lo
		q, pitch := h.widen(h.q, row, rows, col, wide)
		for p := range h.keyPanels {
			dot(t, rows, h.dim, q, pitch, &keys[p*h.dim*t.NR], &scores[p*t.NR], h.scorePitch)
		}
		var total [len(t.Tile)]float32
		for r := range rows {
			total[r] = t.Softmax(&scores[r*h.scorePitch], h.keys, h.scale)
		}
		for p := range h.valuePanels {
			dot(t, rows, h.keys, &scores[0], h.scorePitch, &values[p*h.keys*t.NR], &sums[p*t.NR], h.valuePitch)
		}
		for r := range rows {
			sum := &sums[r*h.valuePitch]
			if h.y.kind == tensor.F32 {
				t.Scale(h.y.f32(row+r, col), sum, h.dim, 1/total[r])
			} else {
				t.Scale(sum, sum, h.dim, 1/total[r])
			}
		}
		if h.y.kind == tensor.BF16 {
			t.Narrow(h.y.u16(row, col), h.y.pitch, &sums[0], h.valuePitch, rows, h.dim)
		}
	}
}

// widen returns the address and the pitch of one head's columns of some rows of an operand as float32, which are copied
// to wide if they are not.
func (h *heads) widen(o *operand, row, rows, col int, wide []float32) (x *float32, pitch int) {
	if o.kind == tensor.F32 {
		return o.f32(row, col), o.pitch
	}
	h.tier.Widen(&wide[0], h.dim, o.u16(row, col), o.pitch, rows, h.dim)
	return &wide[0], h.dim
}

// pack copies the keys and values of one head, which start at row and col. Columns beyond the last key or the head's
// width hold what was there before: their results are never read.
func (h *heads) pack(keys, values, wide []float32, row, col int) {
	nr := h.tier.NR
	for p := range h.keyPanels {
		n := min(nr, h.keys-p*nr)
		k, pitch := h.widen(h.k, row+p*nr, n, col, wide)
		h.tier.Transpose(&keys[p*h.dim*nr], nr, k, pitch, n, h.dim)
	}
	if h.v.kind == tensor.BF16 {
		for p := range h.valuePanels {
			n := min(nr, h.dim-p*nr)
			h.tier.Widen(&values[p*h.keys*nr], nr, h.v.u16(row, col+p*nr), h.v.pitch, h.keys, n)
		}
		return
	}
	for r := range h.keys {
		v := unsafe.Slice(h.v.f32(row+r, col), h.dim)
		for p := range h.valuePanels {
			copy(values[(p*h.keys+r)*nr:][:nr], v[p*nr:])
		}
	}
}

// dot computes one tile c[m, NR] = a[m, k]·b[k, NR], for any k.
func dot(t *simd.Tier, m, k int, a *float32, lda int, b, c *float32, ldc int) {
	for i := 0; i < k; i += maxK {
		t.Tile[m](min(maxK, k-i), index(a, i), lda, index(b, i*t.NR), c, ldc, nil, i > 0, 0, 0)
	}
}

// index is the address of p[i].
func index(p *float32, i int) *float32 { return (*float32)(unsafe.Add(unsafe.Pointer(p), 4*i)) }
