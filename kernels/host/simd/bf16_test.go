package simd

import (
	"math"
	"slices"
	"testing"
	"unsafe"

	"vith/kernels/tensor"
)

// place16 is place for n bfloat16 values.
func (f fence) place16(n int, end bool) []uint16 {
	all := unsafe.Slice((*uint16)(unsafe.Pointer(&f[0])), 2*len(f))
	if end {
		return all[len(all)-n:]
	}
	return all[:n]
}

// fill16 gives x normally distributed values.
func fill16(x []uint16) {
	for i := range x {
		x[i] = tensor.ToBF16(source.NormFloat64())
	}
}

// panel16 packs b[k, n], row-major, as the tiles take it, into dst.
func panel16(dst, b []uint16, k, n int) {
	clear(dst)
	for i, x := range b {
		l, j := i/n, i%n
		dst[(l/2*n+j)*2+l%2] = x
	}
}

// A product16 is one way of a tier to multiply bfloat16, and what it is held to.
type product16 struct {
	name    string
	rows    []int
	lengths []int
	// run multiplies; A's rows are lda apart.
	run func(m, k int, a []uint16, lda int, b []uint16, c []float32, ldc int, bias *float32, acc bool)
	// element is one element as the instructions are specified: a is its row of A, b its column of B with stride n, held what
	// C had, which counts with acc.
	element func(a, b []uint16, n int, bias, held float32, acc bool) float32
}

// products16 are all of a tier. Operands that one does not take as they are are copied into fences.
func products16(t *testing.T, tier *Tier) []product16 {
	var rows []int
	for m := range tier.MR {
		rows = append(rows, m+1)
	}
	wide := newFence(t, tier.MR*(slices.Max(tileLengths)+5))
	tile := func(a, b []uint16, n int, bias, held float32, acc bool) float32 {
		sum := sum16(a, b, n, bias)
		if acc {
			sum += held
		}
		return sum
	}
	mixed := func(m, k int, a []uint16, lda int, b []uint16, c []float32, ldc int, bias *float32, acc bool) {
		for _, end := range []bool{false, true} {
			x := wide.place(len(a), end)
			for i, v := range a {
				x[i] = tensor.FromBF16(v)
			}
			if !end && acc {
				continue // which would add twice
			}
			tier.TileMixed[m](k, &x[0], lda, &b[0], &c[0], ldc, bias, acc, 2*len(b), 64)
		}
	}
	list := []product16{{"TileMixed", rows, tileLengths, mixed, tile}}
	if tier.TileBF16[1] != nil {
		run := func(m, k int, a []uint16, lda int, b []uint16, c []float32, ldc int, bias *float32, acc bool) {
			tier.TileBF16[m](k, &a[0], lda, &b[0], &c[0], ldc, bias, acc, 2*len(b), 64)
		}
		list = append(list, product16{"TileBF16", rows, tileLengths, run, tile})
	}
	if tier.BlockBF16 != nil {
		run := func(m, k int, a []uint16, lda int, b []uint16, c []float32, ldc int, bias *float32, acc bool) {
			tier.BlockBF16(m, k, &a[0], lda, &b[0], &c[0], ldc, bias, acc)
		}
		element := func(a, b []uint16, n int, bias, held float32, acc bool) float32 {
			if acc {
				bias += held
			}
			return sumBlock(a, b, n, bias)
		}
		around := []int{1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 64, 65} // what tiles of it have
		lengths := []int{2, 4, 30, 32, 34, 62, 64, 66, 80, 128, 258}
		list = append(list, product16{"BlockBF16", around, lengths, run, element})
	}
	return list
}

// sum16 is one element of a tile as the instructions are specified: a is its row of A, b its column of B with stride n.
func sum16(a, b []uint16, n int, bias float32) float32 {
	s := bias
	add := func(l int) { s += tensor.FromBF16(a[l]) * tensor.FromBF16(b[l*n]) } // the product is exact
	for l := 0; l < len(a); l += 2 {
		if l+1 < len(a) {
			add(l + 1)
		}
		add(l)
	}
	return s
}

// sumBlock is one element of a block as TDPBF16PS is specified, start what it starts from: a is its row of A, b its column
// of B with stride n.
func sumBlock(a, b []uint16, n int, start float32) float32 {
	for len(a) > 0 {
		var sum [2]float32
		for l, x := range a[:min(32, len(a))] {
			sum[l%2] += float32(tensor.FromBF16(x) * tensor.FromBF16(b[l*n])) // the product is exact
		}
		start += sum[0] + sum[1]
		if len(a) <= 32 {
			break
		}
		a, b = a[32:], b[32*n:]
	}
	return start
}

// TestProducts16 holds every product of bfloat16, with and without bias and acc, at dense and at padded strides, to the bits
// of the definition.
func TestProducts16(t *testing.T) {
	eachTier(t, func(t *testing.T, tier *Tier) {
		nr := tier.NR
		for _, product := range products16(t, tier) {
			rows, most := slices.Max(product.rows), slices.Max(product.lengths)
			fenceA, fenceB := newFence(t, rows*(most+5)), newFence(t, (most+1)/2*nr)
			fenceC, fenceBias := newFence(t, rows*(nr+5)), newFence(t, nr)
			held := make([]float32, rows*(nr+5))
			check := func(m, k, pad int, biased, acc, end bool) {
				lda, ldc := k+pad, nr+pad
				a, packed := fenceA.place16((m-1)*lda+k, end), fenceB.place16((k+k&1)*nr, end)
				c, bias := fenceC.place((m-1)*ldc+nr, end), fenceBias.place(nr, end)
				for i := range a {
					a[i] = 0x7fc0 // NaN
				}
				mark(c)
				for r := range m {
					fill16(a[r*lda:][:k])
					if acc {
						fill(c[r*ldc:][:nr], 0)
					}
				}
				b := make([]uint16, k*nr)
				fill16(b)
				panel16(packed, b, k, nr)
				fill(bias, 0)
				copy(held, c)
				p := &bias[0]
				if !biased {
					clear(bias)
					p = nil
				}
				product.run(m, k, a, lda, packed, c, ldc, p, acc)
				for i, got := range c {
					r, j := i/ldc, i%ldc
					want := nan
					if j < nr {
						want = product.element(a[r*lda:][:k], b[j:], nr, bias[j], held[i], acc)
					}
					if !same(got, want) {
						t.Fatalf("%s m=%d k=%d lda=%d ldc=%d bias=%t acc=%t: C[%d,%d] = %g, want %g",
							product.name, m, k, lda, ldc, biased, acc, r, j, got, want)
					}
				}
			}
			for _, m := range product.rows {
				for _, k := range product.lengths {
					for mode := range 16 {
						check(m, k, mode&1*5, mode&2 != 0, mode&4 != 0, mode&8 != 0)
					}
				}
			}
		}
	})
}

// TestSubnormals16 holds TileBF16, and BlockBF16 beside it, to what VDPBF16PS and TDPBF16PS make of subnormal numbers: operands
// and sums of that size are zeros. Portable Go, which has no TileBF16, keeps them.
func TestSubnormals16(t *testing.T) {
	eachTier(t, func(t *testing.T, tier *Tier) {
		if tier.TileBF16[1] == nil {
			return
		}
		const one, tiny, subnormal = 0x3f80, 0x1f80, 0x007f // 1, 2⁻⁶⁴, just below 2⁻¹²⁶
		for _, c := range []struct {
			a, b        uint16
			bias        float32
			tile, block float32
		}{
			{one, one, 0, 2, 2}, {subnormal, one, 0, 0, 0}, {one, subnormal, 0, 0, 0}, {tiny, tiny, 0, 0, 0},
			{tiny, tiny, 0x1p-120, 0x1p-120 + 2*0x1p-128, 0x1p-120}, {subnormal, one, 3, 3, 3},
		} {
			a, b := []uint16{c.a, c.a}, make([]uint16, 2*tier.NR)
			y, bias := make([]float32, tier.NR), make([]float32, tier.NR)
			for i := range b {
				b[i], bias[i/2] = c.b, c.bias
			}
			check := func(way string, want float32) {
				for j, got := range y {
					if got != want {
						t.Errorf("%s: %g + 2·%g·%g = %g in column %d, want %g",
							way, c.bias, tensor.FromBF16(c.a), tensor.FromBF16(c.b), got, j, want)
						break
					}
				}
			}
			tier.TileBF16[1](2, &a[0], 2, &b[0], &y[0], tier.NR, &bias[0], false, 0, 0)
			check("TileBF16", c.tile)
			if tier.BlockBF16 != nil {
				tier.BlockBF16(1, 2, &a[0], 2, &b[0], &y[0], tier.NR, &bias[0], false)
				check("BlockBF16", c.block)
			}
		}
	})
}

// TestNarrow rounds, of every bfloat16, the value itself and those around the middle to the next one.
func TestNarrow(t *testing.T) {
	var x []float32
	for high := range uint32(1 << 16) {
		for _, low := range []uint32{0, 1, 0x7fff, 0x8000, 0x8001, 0xffff} {
			x = append(x, math.Float32frombits(high<<16|low))
		}
	}
	eachTier(t, func(t *testing.T, tier *Tier) {
		y := make([]uint16, len(x))
		tier.Narrow(&y[0], len(y), &x[0], len(x), 1, len(x))
		for i, v := range x {
			bits := math.Float32bits(v)
			want := tensor.ToBF16(float64(v))
			switch {
			case v != v:
				want = uint16(bits>>16) | 0x40
			case math.Abs(float64(v)) < 0x1p-126:
				want = uint16(bits>>16) & 0x8000
			}
			if y[i] != want {
				t.Fatalf("%#08x rounds to %#04x, want %#04x", bits, y[i], want)
			}
		}
	})
}

// TestConversionBlocks holds conversions of blocks of any width to those of single values, and lets them touch nothing
// outside.
func TestConversionBlocks(t *testing.T) {
	const rows, pad = 3, 5
	eachTier(t, func(t *testing.T, tier *Tier) {
		halves, singles := newFence(t, rows*(1280+pad)), newFence(t, rows*(1280+pad))
		for _, cols := range lengths() {
			for _, end := range []bool{false, true} {
				ld := cols + pad
				n := (rows-1)*ld + cols
				h, s := halves.place16(n, end), singles.place(n, end)
				const canary = 0xa5a5
				for i := range h {
					h[i] = canary
					s[i] = float32(source.NormFloat64())
				}
				tier.Narrow(&h[0], ld, &s[0], ld, rows, cols)
				for i, got := range h {
					want := uint16(canary)
					if i%ld < cols {
						want = narrow(s[i])
					}
					if got != want {
						t.Fatalf("%d columns: Narrow gives %#04x at [%d,%d], want %#04x", cols, got, i/ld, i%ld, want)
					}
				}
				mark(s)
				tier.Widen(&s[0], ld, &h[0], ld, rows, cols)
				for i, got := range s {
					want := nan
					if i%ld < cols {
						want = tensor.FromBF16(h[i])
					}
					if !same(got, want) {
						t.Fatalf("%d columns: Widen gives %g at [%d,%d], want %g", cols, got, i/ld, i%ld, want)
					}
				}
			}
		}
	})
}

// TestWiden widens every bfloat16.
func TestWiden(t *testing.T) {
	x := make([]uint16, 1<<16)
	for i := range x {
		x[i] = uint16(i)
	}
	eachTier(t, func(t *testing.T, tier *Tier) {
		y := make([]float32, len(x))
		tier.Widen(&y[0], len(y), &x[0], len(x), 1, len(x))
		for i, v := range x {
			if math.Float32bits(y[i]) != uint32(v)<<16 {
				t.Fatalf("%#04x widens to %#08x", v, math.Float32bits(y[i]))
			}
		}
	})
}
