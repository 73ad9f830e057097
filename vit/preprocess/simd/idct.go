package simd

// The inverse DCT is the algorithm of Loeffler, Ligtenberg and Moschytz with
// 12 multiplications per 8 points (ICASSP 1989, figure 1), in fixed point with
// 13 fractional bits: columns first, whose results keep 2 fractional bits, then
// rows. It gives the bits of jpeg_idct_islow in libjpeg.
//
// Where libjpeg-turbo's vector code (jidctint-avx2.asm) works with 16 bits so
// does this: dequantised coefficients and three of the sums wrap, the results of
// the columns are limited. That shows in damaged data only.
const (
	constBits = 13
	passBits  = 2

	fix0_298631336 = 2446
	fix0_390180644 = 3196
	fix0_541196100 = 4433
	fix0_765366865 = 6270
	fix0_899976223 = 7373
	fix1_175875602 = 9633
	fix1_501321110 = 12299
	fix1_847759065 = 15137
	fix1_961570560 = 16069
	fix2_053119869 = 16819
	fix2_562915447 = 20995
	fix3_072711026 = 25172
)

// idct writes the 8 x 8 samples of a block to rows of dst, stride apart. The
// coefficients and the quantisation table are in natural order.
func idct(dst []byte, stride int, block *[64]int16, quant *[64]uint16) {
	var ac [8]int16 // of each column: not 0 if there is one
	for i, v := range block[8:] {
		ac[i&7] |= v
	}
	if ac == [8]int16{} {
		idctFirstRow(dst, stride, block, quant)
		return
	}
	var work [64]int32 // [row, column], passBits fractional bits
	for x := range 8 {
		if ac[x] == 0 {
			dc := limit(int32(dequantise(block, quant, x)) << passBits)
			for y := range 8 {
				work[8*y+x] = dc
			}
			continue
		}
		even, odd := butterflies(
			dequantise(block, quant, x), dequantise(block, quant, 8+x),
			dequantise(block, quant, 16+x), dequantise(block, quant, 24+x),
			dequantise(block, quant, 32+x), dequantise(block, quant, 40+x),
			dequantise(block, quant, 48+x), dequantise(block, quant, 56+x))
		const shift = constBits - passBits
		const round = 1 << (shift - 1)
		for y := range 4 {
			work[8*y+x] = limit((even[y] + odd[y] + round) >> shift)
			work[8*(7-y)+x] = limit((even[y] - odd[y] + round) >> shift)
		}
	}
	for y := range 8 {
		idctRow(dst[y*stride:], (*[8]int32)(work[8*y:]))
	}
}

// idctFirstRow is idct for a block whose coefficients are all in its first row.
func idctFirstRow(dst []byte, stride int, block *[64]int16, quant *[64]uint16) {
	var work [8]int32
	for x := range work {
		work[x] = int32(dequantise(block, quant, x) << passBits)
	}
	row := dst[:8:8]
	if [7]int32(work[1:]) == [7]int32{} {
		v := clamp((work[0]+1<<(passBits+2))>>(passBits+3) + 128)
		for x := range row {
			row[x] = v
		}
	} else {
		idctRow(row, &work)
	}
	for y := 1; y < 8; y++ {
		copy(dst[y*stride:][:8], row)
	}
}

// idctRow transforms a row of the columns' results to samples.
func idctRow(dst []byte, w *[8]int32) {
	row := dst[:8:8]
	even, odd := butterflies(int16(w[0]), int16(w[1]), int16(w[2]), int16(w[3]), int16(w[4]), int16(w[5]), int16(w[6]), int16(w[7]))
	const shift = constBits + passBits + 3
	const round = 1 << (shift - 1)
	for x := range 4 {
		row[x] = clamp((even[x]+odd[x]+round)>>shift + 128)
		row[7-x] = clamp((even[x]-odd[x]+round)>>shift + 128)
	}
}

func dequantise(block *[64]int16, quant *[64]uint16, i int) int16 {
	return block[i&63] * int16(quant[i&63])
}

// butterflies is the 8-point transform but for the last step: outputs i and 7-i
// are even[i] + odd[i] and even[i] - odd[i], with constBits more fractional
// bits than the input.
func butterflies(c0, c1, c2, c3, c4, c5, c6, c7 int16) (even, odd [4]int32) {
	x1, x2, x3, x5, x6, x7 := int32(c1), int32(c2), int32(c3), int32(c5), int32(c6), int32(c7)

	z := (x2 + x6) * fix0_541196100
	t2 := z - x6*fix1_847759065
	t3 := z + x2*fix0_765366865
	t0 := int32(c0+c4) << constBits
	t1 := int32(c0-c4) << constBits
	even = [4]int32{t0 + t3, t1 + t2, t1 - t2, t0 - t3}

	z1 := (x7 + x1) * -fix0_899976223
	z2 := (x5 + x3) * -fix2_562915447
	z3, z4 := int32(c7+c3), int32(c5+c1)
	z5 := (z3 + z4) * fix1_175875602
	z3 = z3*-fix1_961570560 + z5
	z4 = z4*-fix0_390180644 + z5
	odd = [4]int32{
		x1*fix1_501321110 + z1 + z4,
		x3*fix3_072711026 + z2 + z3,
		x5*fix2_053119869 + z2 + z4,
		x7*fix0_298631336 + z1 + z3,
	}
	return even, odd
}
