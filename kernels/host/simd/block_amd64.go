//go:build amd64 && !purego

package simd

// block is BlockBF16 by AMX, with panels of 32 columns. What is left of k beyond multiples of 32 takes tiles of another shape,
// and so another pass over C.
func block(m, k int, a *uint16, lda int, b *uint16, c *float32, ldc int, bias *float32, acc bool) {
	const step, nr = 32, 32
	start, lds := &zeros[0], 0
	if bias != nil {
		start = bias
	}
	if acc {
		if bias != nil {
			amxAddRow(m, c, 4*ldc, bias)
		}
		start, lds = c, ldc
	}
	whole := k &^ (step - 1)
	if whole > 0 {
		blocks := (m + 31) / 32
		share := (32 + blocks - 1) / blocks // of the cache lines of a step
		amxBlock(m, whole/step, step/2, a, 2*lda, b, c, 4*ldc, start, 4*lds, 2*k*nr, 64*share)
		start, lds = c, ldc
	}
	if whole < k {
		amxBlock(m, 1, (k-whole)/2, at(a, whole), 2*lda, at(b, whole*nr), c, 4*ldc, start, 4*lds, 0, 0)
	}
}

// zeros is where sums start without a bias.
var zeros [32]float32
