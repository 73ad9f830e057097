package host

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"vith/kernels"
)

// A layout is how a weight lies in memory.
type layout uint8

const (
	plain layout = iota // rows as they are, followed by enough zeros to be read in whole panels
	// panels is for gemm: of each maxK columns, panel p holds rows [p·NR, (p+1)·NR) transposed, [columns][NR], in the
	// order in which they are read. Missing rows are zeros.
	panels
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

// floats is the size of a weight in a layout, rounded up to whole panels of nr and to cache lines.
func (k weightKey) floats(nr int) int {
	n := k.weight.Rows * k.weight.Cols
	if k.layout == panels {
		n = (k.weight.Rows + nr - 1) / nr * nr * k.weight.Cols
	}
	return (n+nr-1)/nr*nr + 16
}

// loadWeights places every requested weight once and tells each request where. Weights are spread over the threads; one
// weight is read by one thread, front to back.
func (b *Backend) loadWeights(requests []request) error {
	var missing []weightKey
	offset := map[weightKey]int{}
	total := 0
	for _, r := range requests {
		if _, ok := b.weights[r.key]; ok {
			continue
		}
		if _, ok := offset[r.key]; ok {
			continue
		}
		missing = append(missing, r.key)
		offset[r.key] = total
		total += r.key.floats(b.tier.NR)
	}
	if total > 0 {
		memory, err := reserve(4 * total)
		if err != nil {
			return fmt.Errorf("host: reserve %d bytes for weights: %w", 4*total, err)
		}
		if err := b.pack(missing, memory.floats(), offset); err != nil {
			memory.release()
			return err
		}
		b.regions = append(b.regions, memory)
		for _, k := range missing {
			b.weights[k] = unsafe.Pointer(&memory[4*offset[k]])
		}
	}
	for _, r := range requests {
		*r.base = b.weights[r.key]
	}
	return nil
}

// pack fills memory with the weights at their offsets. The first error ends it.
func (b *Backend) pack(keys []weightKey, memory []float32, offset map[weightKey]int) error {
	var (
		failed atomic.Bool
		once   sync.Once
		first  error
	)
	staging := make([][]float32, b.pool.threads)
	b.pool.run(&step{tasks: len(keys), run: func(task, worker int) {
		if failed.Load() {
			return
		}
		k := keys[task]
		if n := b.tier.NR * k.weight.Cols; len(staging[worker]) < n {
			staging[worker] = make([]float32, n)
		}
		if err := b.place(k, memory[offset[k]:][:k.floats(b.tier.NR)], staging[worker]); err != nil {
			failed.Store(true)
			once.Do(func() { first = err })
		}
	}})
	return first
}

// panelAt is where column c, a multiple of maxK, of panel p of a rows x cols weight starts.
func panelAt(rows, cols, nr, p, c int) int {
	return (rows+nr-1)/nr*nr*c + p*nr*min(maxK, cols-c)
}

// place writes one weight to dst, NR rows at a time.
func (b *Backend) place(k weightKey, dst, staging []float32) error {
	nr, rows, cols := b.tier.NR, k.weight.Rows, k.weight.Cols
	for r := 0; r < rows; r += nr {
		n := min(nr, rows-r)
		block := staging[:n*cols]
		if k.layout == plain {
			block = dst[r*cols:][:n*cols]
		}
		if err := k.weight.Fill(block, r, n); err != nil {
			return err
		}
		if k.alpha != 1 {
			for i := range block {
				block[i] *= k.alpha
			}
		}
		if k.layout == plain {
			continue
		}
		for c := 0; c < cols; c += maxK {
			b.tier.Transpose(&dst[panelAt(rows, cols, nr, r/nr, c)], nr, &block[c], cols, n, min(maxK, cols-c))
		}
	}
	return nil
}
