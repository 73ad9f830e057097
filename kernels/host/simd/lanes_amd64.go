//go:build amd64 && !purego

package simd

// A convertFunc is the type of Narrow and Widen.
type convertFunc[D, S float32 | uint16] = func(dst *D, ldd int, src *S, lds, rows, cols int)

// byLanes is a conversion by a routine for columns in multiples of lanes, a power of two, and one for what is left, which
// gives the same bits.
func byLanes[D, S float32 | uint16](lanes int, routine, left convertFunc[D, S]) convertFunc[D, S] {
	return func(dst *D, ldd int, src *S, lds, rows, cols int) {
		whole := cols &^ (lanes - 1)
		if whole > 0 {
			routine(dst, ldd, src, lds, rows, whole)
		}
		if whole < cols {
			left(at(dst, whole), ldd, at(src, whole), lds, rows, cols-whole)
		}
	}
}
