package simd

import (
	"math"
	"unsafe"

	"vith/kernels/tensor"
)

// generic is the tier in portable Go: plain fp32 for the GEMM, float64 inside the rest, whose share of the time is
// small enough to prefer the standard library's accuracy and little code.
var generic = Tier{
	Name: "generic",
	MR:   4,
	NR:   4,
	Tile: [15]tileFunc{
		1: genericTile(1), 2: genericTile(2), 3: genericTile(3), 4: genericTile(4),
	},
	TileMixed: [15]mixedFunc{
		1: genericTileMixed(1), 2: genericTileMixed(2), 3: genericTileMixed(3), 4: genericTileMixed(4),
	},
	BlockBF16: genericBlockBF16,
	Narrow:    genericNarrow,
	Widen:     genericWiden,
	GELU:      genericActivation(gelu),
	GELUTanh:  genericActivation(geluTanh),
	QuickGELU: genericActivation(quickGELU),
	LayerNorm: genericLayerNorm,
	Softmax:   genericSoftmax,
	Scale:     genericScale,
	Transpose: genericTranspose,
	Peak:      genericPeak,
	PeakBF16:  genericPeak,
}

// at returns the address of the element i places after p.
func at[T float32 | uint16](p *T, i int) *T {
	return (*T)(unsafe.Add(unsafe.Pointer(p), int(unsafe.Sizeof(*p))*i))
}

// genericTile returns the tile of m rows. It takes two rows at a time, as many as leave the products and the operands
// of a step in 16 registers; an odd last row is paired with itself, which writes the same values twice.
func genericTile(m int) tileFunc {
	return func(k int, a *float32, lda int, b, c *float32, ldc int, bias *float32, acc bool, _, _ int) {
		for r := 0; r < m; r += 2 {
			r1 := min(r+1, m-1)
			tile2x4(
				unsafe.Slice(at(a, r*lda), k), unsafe.Slice(at(a, r1*lda), k), unsafe.Slice(b, 4*k),
				(*[4]float32)(unsafe.Pointer(at(c, r*ldc))), (*[4]float32)(unsafe.Pointer(at(c, r1*ldc))),
				(*[4]float32)(unsafe.Pointer(bias)), acc)
		}
	}
}

// tile2x4 computes the tile of the two rows a0 and a1, both of len(a0), with b of four times as many.
func tile2x4(a0, a1, b []float32, c0, c1, bias *[4]float32, acc bool) {
	var s [4]float32
	if bias != nil {
		s = *bias
	}
	s00, s01, s02, s03 := s[0], s[1], s[2], s[3]
	s10, s11, s12, s13 := s[0], s[1], s[2], s[3]
	a1 = a1[:len(a0)]
	for i, x0 := range a0 {
		x1, y := a1[i], (*[4]float32)(b[4*i:])
		s00 += x0 * y[0]
		s01 += x0 * y[1]
		s02 += x0 * y[2]
		s03 += x0 * y[3]
		s10 += x1 * y[0]
		s11 += x1 * y[1]
		s12 += x1 * y[2]
		s13 += x1 * y[3]
	}
	if acc {
		s00, s01, s02, s03 = s00+c0[0], s01+c0[1], s02+c0[2], s03+c0[3]
		s10, s11, s12, s13 = s10+c1[0], s11+c1[1], s12+c1[2], s13+c1[3]
	}
	*c0 = [4]float32{s00, s01, s02, s03}
	*c1 = [4]float32{s10, s11, s12, s13}
}

// genericTileMixed returns the tile of m rows with a panel of bfloat16. It takes a row at a time.
func genericTileMixed(m int) mixedFunc {
	return func(k int, a *float32, lda int, b *uint16, c *float32, ldc int, bias *float32, acc bool, _, _ int) {
		for r := range m {
			mixed1x4(unsafe.Slice(at(a, r*lda), k), unsafe.Slice(b, 4*(k+k&1)), (*[4]float32)(unsafe.Pointer(at(c, r*ldc))),
				(*[4]float32)(unsafe.Pointer(bias)), acc)
		}
	}
}

// mixed1x4 computes one row of a tile with a panel of bfloat16. The conversions of the products, which are exact, forbid
// fused multiply-adds.
func mixed1x4(a []float32, b []uint16, c, bias *[4]float32, acc bool) {
	var s [4]float32
	if bias != nil {
		s = *bias
	}
	s0, s1, s2, s3 := s[0], s[1], s[2], s[3]
	for len(a) >= 2 {
		x, y := (*[2]float32)(a), (*[8]uint16)(b)
		s0 += float32(x[1] * tensor.FromBF16(y[1]))
		s0 += float32(x[0] * tensor.FromBF16(y[0]))
		s1 += float32(x[1] * tensor.FromBF16(y[3]))
		s1 += float32(x[0] * tensor.FromBF16(y[2]))
		s2 += float32(x[1] * tensor.FromBF16(y[5]))
		s2 += float32(x[0] * tensor.FromBF16(y[4]))
		s3 += float32(x[1] * tensor.FromBF16(y[7]))
		s3 += float32(x[0] * tensor.FromBF16(y[6]))
		a, b = a[2:], b[8:]
	}
	if len(a) > 0 {
		s0 += float32(a[0] * tensor.FromBF16(b[0]))
		s1 += float32(a[0] * tensor.FromBF16(b[2]))
		s2 += float32(a[0] * tensor.FromBF16(b[4]))
		s3 += float32(a[0] * tensor.FromBF16(b[6]))
	}
	if acc {
		s0, s1, s2, s3 = s0+c[0], s1+c[1], s2+c[2], s3+c[3]
	}
	*c = [4]float32{s0, s1, s2, s3}
}

// genericBlockBF16 takes a row at a time.
func genericBlockBF16(m, k int, a *uint16, lda int, b *uint16, c *float32, ldc int, bias *float32, acc bool) {
	for r := range m {
		sums := (*[4]float32)(unsafe.Pointer(at(c, r*ldc)))
		if !acc {
			*sums = [4]float32{}
		}
		if bias != nil {
			for j, v := range unsafe.Slice(bias, 4) {
				sums[j] += v
			}
		}
		row, panel := unsafe.Slice(at(a, r*lda), k), unsafe.Slice(b, 4*k)
		for i := 0; i < k; i += 32 {
			n := min(32, k-i)
			block1x4(row[i:][:n], panel[4*i:][:4*n], sums)
		}
	}
}

// block1x4 adds the product of a row of at most 32 and four columns: even k, odd k, the sum of both.
func block1x4(a, b []uint16, c *[4]float32) {
	var e0, e1, e2, e3, o0, o1, o2, o3 float32
	for len(a) >= 2 {
		x, y := tensor.FromBF16(a[0]), tensor.FromBF16(a[1])
		b8 := (*[8]uint16)(b)
		e0 += float32(x * tensor.FromBF16(b8[0]))
		o0 += float32(y * tensor.FromBF16(b8[1]))
		e1 += float32(x * tensor.FromBF16(b8[2]))
		o1 += float32(y * tensor.FromBF16(b8[3]))
		e2 += float32(x * tensor.FromBF16(b8[4]))
		o2 += float32(y * tensor.FromBF16(b8[5]))
		e3 += float32(x * tensor.FromBF16(b8[6]))
		o3 += float32(y * tensor.FromBF16(b8[7]))
		a, b = a[2:], b[8:]
	}
	c[0] += e0 + o0
	c[1] += e1 + o1
	c[2] += e2 + o2
	c[3] += e3 + o3
}

// narrow is the nearest bfloat16, the even one of two; a zero for subnormal values, and a quiet NaN for NaN.
func narrow(x float32) uint16 {
	bits := math.Float32bits(x)
	switch exponent := bits >> 23 & 0xff; {
	case exponent == 0:
		return uint16(bits>>31) << 15
	case x != x:
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

func genericNarrow(dst *uint16, ldd int, src *float32, lds, rows, cols int) {
	for r := range rows {
		d := unsafe.Slice(at(dst, r*ldd), cols)
		for i, x := range unsafe.Slice(at(src, r*lds), cols) {
			d[i] = narrow(x)
		}
	}
}

func genericWiden(dst *float32, ldd int, src *uint16, lds, rows, cols int) {
	for r := range rows {
		d := unsafe.Slice(at(dst, r*ldd), cols)
		for i, x := range unsafe.Slice(at(src, r*lds), cols) {
			d[i] = tensor.FromBF16(x)
		}
	}
}

// genericActivation returns the routine that applies f to every element of a block.
func genericActivation(f func(float64) float64) func(x *float32, ld, rows, cols int) {
	return func(x *float32, ld, rows, cols int) {
		for r := range rows {
			row := unsafe.Slice(at(x, r*ld), cols)
			for i, v := range row {
				row[i] = float32(f(float64(v)))
			}
		}
	}
}

// gelu is x·Φ(x) by the complementary error function, which keeps the digits of the left tail.
func gelu(x float64) float64 {
	x = max(x, -40) // zero in fp32 already, for -Inf as well
	return x * math.Erfc(-x/math.Sqrt2) / 2
}

// geluTanh uses (1 + tanh(u))/2 = 1/(1 + exp(-2u)).
func geluTanh(x float64) float64 {
	x = max(x, -40) // exp(4630) is infinite
	return x / (1 + math.Exp(-2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

func quickGELU(x float64) float64 {
	x = max(x, -500) // exp(851) is infinite
	return x / (1 + math.Exp(-1.702*x))
}

func genericLayerNorm(dst, src, gamma, beta *float32, n int, eps float32) {
	d, x, g, b := unsafe.Slice(dst, n), unsafe.Slice(src, n), unsafe.Slice(gamma, n), unsafe.Slice(beta, n)
	var sum, square float64
	for _, v := range x {
		sum += float64(v)
	}
	mean := sum / float64(n)
	for _, v := range x {
		square += (float64(v) - mean) * (float64(v) - mean)
	}
	rstd := 1 / math.Sqrt(square/float64(n)+float64(eps))
	for i, v := range x {
		d[i] = float32((float64(v)-mean)*rstd*float64(g[i]) + float64(b[i]))
	}
}

func genericSoftmax(p *float32, n int, scale float32) float32 {
	x := unsafe.Slice(p, n)
	top := float32(math.Inf(-1))
	for _, v := range x {
		top = max(top, v)
	}
	var sum float64
	for i, v := range x {
		e := math.Exp(float64(scale) * (float64(v) - float64(top)))
		x[i] = float32(e)
		sum += e
	}
	return float32(sum)
}

func genericScale(dst, src *float32, n int, s float32) {
	d := unsafe.Slice(dst, n)
	for i, v := range unsafe.Slice(src, n) {
		d[i] = s * v
	}
}

func genericTranspose(dst *float32, ldd int, src *float32, lds, rows, cols int) {
	for r := range rows {
		for c, v := range unsafe.Slice(at(src, r*lds), cols) {
			*at(dst, c*ldd+r) = v
		}
	}
}

// genericPeak runs eight independent chains of a product and a sum, which have their limit at 1.
func genericPeak(n int) (flops int) {
	const x, y = float32(1) / 3, float32(2) / 3
	var s0, s1, s2, s3, s4, s5, s6, s7 float32
	for range n {
		s0 = s0*x + y
		s1 = s1*x + y
		s2 = s2*x + y
		s3 = s3*x + y
		s4 = s4*x + y
		s5 = s5*x + y
		s6 = s6*x + y
		s7 = s7*x + y
	}
	if s0+s1+s2+s3+s4+s5+s6+s7 < 0 {
		panic("unreachable, and keeps the sums from being optimised away")
	}
	return 16 * n
}
