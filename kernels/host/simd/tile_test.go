package simd

import (
	"math"
	"testing"
)

// referenceTile is the definition of Tile, in float64, for one element: a is its row of A, b its column of B with
// stride n, c what it held. size is the sum of the magnitudes of its terms.
func referenceTile(a, b []float32, n int, bias, c float32) (want, size float64) {
	want, size = float64(bias)+float64(c), math.Abs(float64(bias))+math.Abs(float64(c))
	for l, x := range a {
		term := float64(x) * float64(b[l*n])
		want += term
		size += math.Abs(term)
	}
	return want, size
}

// tileLengths are the k that tiles are tested with: around what a round of the loop takes, and real ones.
var tileLengths = []int{1, 2, 3, 4, 5, 7, 8, 9, 13, 80, 257}

// TestTile compares every tile with the definition, with and without bias and acc, at dense and at padded strides, while it
// prefetches what lies behind the fence of B. Each of k+2 terms is rounded at most once as a product and once in every
// later sum, so that an element is within (k+2)·2⁻²⁴·(1 + a little) of the sum of their magnitudes.
func TestTile(t *testing.T) {
	eachTier(t, func(t *testing.T, tier *Tier) {
		nr, most := tier.NR, tileLengths[len(tileLengths)-1]
		fenceA, fenceB := newFence(t, tier.MR*(most+5)), newFence(t, most*nr)
		fenceC, fenceBias := newFence(t, tier.MR*(nr+5)), newFence(t, nr)
		held := make([]float32, tier.MR*(nr+5))
		check := func(m, k, pad int, biased, acc, end bool) {
			lda, ldc := k+pad, nr+pad
			a, b := fenceA.place((m-1)*lda+k, end), fenceB.place(k*nr, end)
			c, bias := fenceC.place((m-1)*ldc+nr, end), fenceBias.place(nr, end)
			mark(a)
			mark(c)
			for r := range m {
				fill(a[r*lda:][:k], 0)
				if acc {
					fill(c[r*ldc:][:nr], 0)
				}
			}
			fill(b, 0)
			fill(bias, 0)
			copy(held, c)
			p := &bias[0]
			if !biased {
				clear(bias)
				p = nil
			}
			tier.Tile[m](k, &a[0], lda, &b[0], &c[0], ldc, p, acc, 4*k*nr, 64)
			for i, got := range c {
				r, j := i/ldc, i%ldc
				if j >= nr {
					if !same(got, nan) {
						t.Fatalf("m=%d k=%d ldc=%d: wrote beside C at [%d,%d]", m, k, ldc, r, j)
					}
					continue
				}
				var before float32
				if acc {
					before = held[i]
				}
				want, size := referenceTile(a[r*lda:][:k], b[j:], nr, bias[j], before)
				if !near(got, want, float64(k+2)*0x1.01p-24*size) {
					t.Fatalf("m=%d k=%d lda=%d ldc=%d bias=%t acc=%t: C[%d,%d] = %g, want %g",
						m, k, lda, ldc, biased, acc, r, j, got, want)
				}
			}
		}
		for m := 1; m <= tier.MR; m++ {
			for _, k := range tileLengths {
				for mode := range 16 {
					check(m, k, mode&1*5, mode&2 != 0, mode&4 != 0, mode&8 != 0)
				}
			}
		}
	})
}

// TestTileRows holds that a row has the same bits whatever tile it is computed in.
func TestTileRows(t *testing.T) {
	eachTier(t, func(t *testing.T, tier *Tier) {
		nr := tier.NR
		for _, k := range tileLengths {
			a, b, bias := make([]float32, tier.MR*k), make([]float32, k*nr), make([]float32, nr)
			held, got, want := make([]float32, tier.MR*nr), make([]float32, tier.MR*nr), make([]float32, tier.MR*nr)
			for _, x := range [][]float32{a, b, bias, held} {
				fill(x, 0)
			}
			copy(want, held)
			for r := range tier.MR {
				tier.Tile[1](k, &a[r*k], k, &b[0], &want[r*nr], nr, &bias[0], true, 0, 0)
			}
			for m := 2; m <= tier.MR; m++ {
				copy(got, held)
				tier.Tile[m](k, &a[0], k, &b[0], &got[0], nr, &bias[0], true, 0, 0)
				for i := range m * nr {
					if !same(got[i], want[i]) {
						t.Fatalf("k=%d: row %d in a tile of %d has %g, alone %g", k, i/nr, m, got[i], want[i])
					}
				}
			}
		}
	})
}
