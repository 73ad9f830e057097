package host

import (
	"fmt"
	"unsafe"

	"vith/kernels"
	"vith/kernels/host/simd"
)

// A layout is how a weight lies in memory.
type layout uint8

const (
	plain layout = iota // rows as they are, followed by enough zeros to be read in whole panels
	// panels is for gemm: of each maxK columns, panel p holds rows [p·NR, (p+1)·NR) transposed, [columns][NR], in the
	// order in which they are read. Missing rows are zeros.
	panels
	// pairs is panels of bfloat16: columns 2i and 2i+1 of a weight are rounded and share a word, [columns/2][NR], the odd
	// one in its upper half. It is zero beyond the last column.
	pairs
)

// A weightKey is what makes two uses of a weight the same bytes in memory.
type weightKey struct {
	weight *kernels.Weight
	layout layout
	alpha  float32 // that every element is multiplied by
}

// A request asks for a weight to be placed, and its address to be stored.
type request struct {
	key  weightKey
	base *unsafe.Pointer
}

// weight is the operand of a weight in a layout, multiplied by alpha; nil if b is absent.
func (c *compiler) weight(b kernels.Buf, l layout, alpha float32) *operand {
	o := c.operand(b)
	if o == nil {
		return nil
	}
	o.base = new(unsafe.Pointer)
	c.requests = append(c.requests, request{weightKey{c.program.Bufs[b.ID].Weight, l, alpha}, o.base})
	return o
}

// lines is how many rows of NR words the weight's panels have for so many columns.
func (l layout) lines(cols int) int {
	if l == pairs {
		return (cols + 1) / 2
	}
	return cols
}

// bytes is the size of a weight in its layout, rounded up to whole panels of nr and to cache lines.
func (k weightKey) bytes(nr int) int {
	words := k.weight.Rows * k.weight.Cols
	if k.layout != plain {
		words = (k.weight.Rows + nr - 1) / nr * nr * k.layout.lines(k.weight.Cols)
	}
	return 4 * ((words+nr-1)/nr*nr + 16)
}

// panelAt is where column c, a multiple of maxK, of panel p of a rows x cols weight starts, in bytes.
func panelAt(l layout, rows, cols, nr, p, c int) int {
	return 4 * nr * ((rows+nr-1)/nr*l.lines(c) + p*l.lines(min(maxK, cols-c)))
}

// loadWeights places every requested weight once and tells each request where. Weights are spread over the threads; one
// weight is read by one thread, front to back.
func (b *Backend) loadWeights(requests []request) error {
	var p placement
	seen := map[weightKey]bool{}
	for _, r := range requests {
		if _, ok := b.weights[r.key]; ok || seen[r.key] {
			continue
		}
		seen[r.key] = true
		p.keys = append(p.keys, r.key)
		p.offset = append(p.offset, p.bytes)
		p.bytes += r.key.bytes(b.tier.NR)
	}
	if p.bytes > 0 {
		all, weights, err := b.place(&p)
		if err != nil {
			return err
		}
		b.regions = append(b.regions, all)
		for i, k := range p.keys {
			b.weights[k] = unsafe.Pointer(&weights[p.offset[i]])
		}
	}
	for _, r := range requests {
		*r.base = b.weights[r.key]
	}
	return nil
}

// place returns packed weights, and the memory to release that they are in.
func (b *Backend) place(p *placement) (all, weights region, err error) {
	if b.cache != nil {
		return b.cached(p)
	}
	weights, err = b.pack(p)
	return weights, weights, err
}

// pack reserves memory for weights and fills it.
func (b *Backend) pack(p *placement) (region, error) {
	memory, err := reserve(p.bytes)
	if err != nil {
		return nil, fmt.Errorf("host: reserve %d bytes for weights: %w: %w", p.bytes, kernels.ErrOutOfMemory, err)
	}
	if err := b.eachWeight(p, func(i int, packer *packer) error {
		return packer.place(p.keys[i], memory[p.offset[i]:][:p.keys[i].bytes(b.tier.NR)])
	}); err != nil {
		memory.release()
		return nil, err
	}
	return memory, nil
}

// A packer is one thread that packs weights, and its memory for NR rows of them.
type packer struct {
	tier   *simd.Tier
	rows   []float32
	halves []uint16  // the rows, rounded, in even columns
	panel  []float32 // one packed panel
}

// place writes one weight to dst, NR rows at a time.
func (p *packer) place(k weightKey, dst region) error {
	for r := 0; r < k.weight.Rows; r += p.tier.NR {
		if err := p.placeRows(k, dst, r, min(p.tier.NR, k.weight.Rows-r)); err != nil {
			return err
		}
	}
	return nil
}

// placeRows writes rows [r, r+n) of a weight, at most NR of them from a multiple of NR on.
func (p *packer) placeRows(k weightKey, dst region, r, n int) error {
	nr, rows, cols := p.tier.NR, k.weight.Rows, k.weight.Cols
	var block []float32
	if k.layout == plain {
		block = dst.floats()[r*cols:][:n*cols]
	} else {
		block = grow(&p.rows, n*cols)
	}
	if err := k.weight.Fill(block, r, n); err != nil {
		return err
	}
	if k.alpha != 1 {
		for i := range block {
			block[i] *= k.alpha
		}
	}
	words := block // what is transposed, n rows of so many words
	pitch := cols
	switch k.layout {
	case plain:
		return nil
	case pairs:
		pitch = k.layout.lines(cols)
		halves := grow(&p.halves, 2*n*pitch)
		if cols%2 != 0 {
			clear(halves)
		}
		p.tier.Narrow(&halves[0], 2*pitch, &block[0], cols, n, cols)
		words = unsafe.Slice((*float32)(unsafe.Pointer(&halves[0])), n*pitch)
	}
	for c := 0; c < cols; c += maxK {
		to := (*float32)(unsafe.Pointer(&dst[panelAt(k.layout, rows, cols, nr, r/nr, c)]))
		p.tier.Transpose(to, nr, &words[k.layout.lines(c)], pitch, n, k.layout.lines(min(maxK, cols-c)))
	}
	return nil
}

// grow returns n values of *s, which it makes if they are too few.
func grow[T any](s *[]T, n int) []T {
	if len(*s) < n {
		*s = make([]T, n)
	}
	return (*s)[:n]
}
