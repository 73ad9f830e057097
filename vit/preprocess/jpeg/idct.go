package jpeg

// The inverse DCT is the algorithm of Loeffler, Ligtenberg and Moschytz with
// 12 multiplications per 8 points (ICASSP 1989, figure 1), in fixed point with
// 13 fractional bits: columns first, whose results keep 2 fractional bits, then
// rows. It gives the bits of jpeg_idct_islow in libjpeg.
//
// Dequantised coefficients wrap at 16 bits, as in the vector code of
// libjpeg-turbo; that matters in damaged data only.
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
	var work [64]int32 // [row, column], passBits fractional bits
	flat := true       // all columns but the first are zero
	for x := range 8 {
		column := func(y int) int32 {
			return int32(block[8*y+x] * int16(quant[8*y+x]))
		}
		if block[8+x]|block[16+x]|block[24+x]|block[32+x]|block[40+x]|block[48+x]|block[56+x] == 0 {
			if block[x] == 0 {
				continue
			}
			flat = flat && x == 0
			dc := column(0) << passBits
			for y := range 8 {
				work[8*y+x] = dc
			}
			continue
		}
		flat = false
		even, odd := butterflies(column(0), column(1), column(2), column(3), column(4), column(5), column(6), column(7))
		const shift = constBits - passBits
		const round = 1 << (shift - 1)
		for y := range 4 {
			work[8*y+x] = (even[y] + odd[y] + round) >> shift
			work[8*(7-y)+x] = (even[y] - odd[y] + round) >> shift
		}
	}
	if flat {
		v := clamp((work[0]+1<<(passBits+2))>>(passBits+3) + 128)
		for y := range 8 {
			row := dst[y*stride:][:8:8]
			for x := range row {
				row[x] = v
			}
		}
		return
	}
	for y := range 8 {
		w := work[8*y:][:8:8]
		row := dst[y*stride:][:8:8]
		even, odd := butterflies(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7])
		const shift = constBits + passBits + 3
		const round = 1<<(shift-1) + 128<<shift
		for x := range 4 {
			row[x] = clamp((even[x] + odd[x] + round) >> shift)
			row[7-x] = clamp((even[x] - odd[x] + round) >> shift)
		}
	}
}

// butterflies is the 8-point transform but for the last step: outputs i and 7-i
// are even[i] + odd[i] and even[i] - odd[i], with constBits more fractional
// bits than the input.
func butterflies(x0, x1, x2, x3, x4, x5, x6, x7 int32) (even, odd [4]int32) {
	z := (x2 + x6) * fix0_541196100
	t2 := z - x6*fix1_847759065
	t3 := z + x2*fix0_765366865
	t0 := (x0 + x4) << constBits
	t1 := (x0 - x4) << constBits
	even = [4]int32{t0 + t3, t1 + t2, t1 - t2, t0 - t3}

	z1 := (x7 + x1) * -fix0_899976223
	z2 := (x5 + x3) * -fix2_562915447
	z5 := (x7 + x3 + x5 + x1) * fix1_175875602
	z3 := (x7+x3)*-fix1_961570560 + z5
	z4 := (x5+x1)*-fix0_390180644 + z5
	odd = [4]int32{
		x1*fix1_501321110 + z1 + z4,
		x3*fix3_072711026 + z2 + z3,
		x5*fix2_053119869 + z2 + z4,
		x7*fix0_298631336 + z1 + z3,
	}
	return even, odd
}

func clamp(v int32) byte {
	if uint32(v) > 255 {
		if v < 0 {
			return 0
		}
		return 255
	}
	return byte(v)
}
