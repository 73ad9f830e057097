//go:build amd64 && !purego

package simd

// transpose is Transpose of both tiers in assembly: strips of 8 columns in AVX2, what is left of rows and columns in
// Go. Strips run along the rows of dst, which fills its cache lines when it is a packed panel.
func transpose(dst *float32, ldd int, src *float32, lds, rows, cols int) {
	r, c := rows&^7, cols&^7
	if r > 0 {
		for i := 0; i < c; i += 8 {
			avx2Transpose8(at(dst, i*ldd), ldd, at(src, i), lds, r/8)
		}
	}
	if r < rows && c > 0 {
		genericTranspose(at(dst, r), ldd, at(src, r*lds), lds, rows-r, c)
	}
	if c < cols {
		genericTranspose(at(dst, c*ldd), ldd, at(src, c), lds, rows, cols-c)
	}
}
