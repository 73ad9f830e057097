package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
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

// idct writes the inverse DCT of a block.
//
// A pass transforms 8 columns at once. Its input is four vectors of two rows each, as halves: the left halves (columns
// 0 to 3) of rows 2i and 2i+1 in the lower lane, the right halves in the upper. Interleaving the words of two of them
// gives pairs of rows in 32-bit lanes, column by column, for VPMADDWD: a product and its share of the common factors
// at once, so that a pass takes 8 of them.
func idct() {
	function("idctAVX2", "func(dst *byte, stride int, block *[64]int16, quant *[64]uint16)")
	Doc("idctAVX2 writes 8 rows of 8 samples, stride apart.")
	dst := Load(Param("dst"), GP64())
	stride := Load(Param("stride"), GP64())
	block := Load(Param("block"), GP64())
	quant := Load(Param("quant"), GP64())
	at := func(i int) Mem { return Mem{Base: block, Disp: i} }

	below := YMM() // anything below the first row
	VMOVDQU(at(16), below.AsX())
	for i := 32; i < 128; i += 32 {
		VPOR(at(i), below, below)
	}
	var rows [4]vec
	for i := range rows {
		rows[i] = YMM()
	}
	VPTEST(below, below)
	JZ(LabelRef("firstRow"))

	Comment("Dequantise, and arrange rows as halves.")
	for i := range rows {
		v := mulLow(load(at(32*i)), Mem{Base: quant, Disp: 32 * i})
		VPERMQ(U8(0b11_01_10_00), v, rows[i])
	}
	Comment("Columns.")
	columns := pass(rows, dwords(1<<(13-2-1)), 13-2)
	Comment("Saturate to words and transpose.")
	transposed(columns, rows)

	Label("rows")
	Comment("Rows.")
	storeRows(dst, stride, pass(rows, dwords(1<<(13+2+3-1)), 13+2+3))
	ret()

	Label("firstRow")
	Comment("Column c of the result is constant: it is the row's element c, with 2 fractional bits, which may wrap.")
	first := XMM()
	VMOVDQU(at(0), first)
	VPMULLW(Mem{Base: quant}, first, first)
	VPSLLW(Imm(2), first, first)
	both := YMM()
	VINSERTI128(Imm(1), first, first.AsY(), both)
	for i := range rows {
		a, b := 4*i, 4*i+2
		VPSHUFB(bytes(a, a+1, a, a+1, a, a+1, a, a+1, b, b+1, b, b+1, b, b+1, b, b+1), both, rows[i])
	}
	JMP(LabelRef("rows"))
}

// pass is the 8-point transform of 8 columns, with 32-bit results shifted down by shift after round was added.
func pass(rows [4]vec, round Mem, shift int) (out [8]vec) {
	r01, r23, r45, r67 := rows[0], rows[1], rows[2], rows[3]
	z := zero()
	sum04, sum37 := addWords(r01, r45), addWords(r23, r67) // upper words: rows 1 and 5, rows 3 and 7

	// A word above zeros is the word shifted by 16.
	t0 := addDwords(shifted(VPSRAD, lowWords(z, sum04), 16-13), round)
	t1 := addDwords(shifted(VPSRAD, lowWords(z, subWords(r01, r45)), 16-13), round)
	x26 := lowWords(r23, r67)
	t2 := maddWords(x26, words(fix0_541196100, fix0_541196100-fix1_847759065))
	t3 := maddWords(x26, words(fix0_541196100+fix0_765366865, fix0_541196100))
	even := [4]vec{addDwords(t0, t3), addDwords(t1, t2), subDwords(t1, t2), subDwords(t0, t3)}

	z34 := highWords(sum37, sum04)
	z3 := maddWords(z34, words(fix1_175875602-fix1_961570560, fix1_175875602))
	z4 := maddWords(z34, words(fix1_175875602, fix1_175875602-fix0_390180644))
	x17, x35 := highWords(r01, r67), highWords(r23, r45)
	odd := [4]vec{
		addDwords(z4, maddWords(x17, words(fix1_501321110-fix0_899976223, -fix0_899976223))),
		addDwords(z3, maddWords(x35, words(fix3_072711026-fix2_562915447, -fix2_562915447))),
		addDwords(z4, maddWords(x35, words(-fix2_562915447, fix2_053119869-fix2_562915447))),
		addDwords(z3, maddWords(x17, words(-fix0_899976223, fix0_298631336-fix0_899976223))),
	}
	for i := range 4 {
		out[i] = shifted(VPSRAD, addDwords(even[i], odd[i]), shift)
		out[7-i] = shifted(VPSRAD, subDwords(even[i], odd[i]), shift)
	}
	return out
}

// transposed writes the transpose of v, 8 x 8 lanes of 32 bits, to rows: words, as halves.
func transposed(v [8]vec, rows [4]vec) {
	var left, right [2]vec // columns 0, 1 | 4, 5 and 2, 3 | 6, 7 of four rows each
	for i := range 2 {
		r02, r13 := packDwords(v[4*i], v[4*i+2]), packDwords(v[4*i+1], v[4*i+3])
		r01, r23 := lowWords(r02, r13), highWords(r02, r13)
		left[i], right[i] = lowDwords(r01, r23), highDwords(r01, r23)
	}
	for i := range 2 {
		VPERM2I128(U8(uint8(0x20|0x11*i)), left[1], left[0], rows[2*i])
		VPERM2I128(U8(uint8(0x20|0x11*i)), right[1], right[0], rows[2*i+1])
	}
}

// storeRows writes the transpose of v, 8 x 8 lanes of 32 bits, as 8 rows of bytes: saturated, around 128.
func storeRows(dst, stride Register, v [8]vec) {
	even := packWords(packDwords(v[0], v[2]), packDwords(v[4], v[6])) // 4 rows in each lane
	odd := packWords(packDwords(v[1], v[3]), packDwords(v[5], v[7]))
	even, odd = addBytes(even, bytes(128)), addBytes(odd, bytes(128))
	c03, c47 := lowBytes(even, odd), highBytes(even, odd) // pairs of columns 0, 1 of 4 rows, then 2, 3
	a, b := lowWords(c03, c47), highWords(c03, c47)       // pairs 0, 1 and 4, 5 of 4 rows; 2, 3 and 6, 7
	r01, r23 := lowWords(a, b), highWords(a, b)           // and 4, 5; 6, 7 in the upper lane

	stride3, lower := GP64(), GP64()
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)
	LEAQ(Mem{Base: dst, Index: stride, Scale: 4}, lower)
	for i, base := range []Register{dst, lower} {
		x, y := r01.AsX(), r23.AsX()
		if i == 1 {
			x, y = XMM(), XMM()
			VEXTRACTI128(Imm(1), r01, x)
			VEXTRACTI128(Imm(1), r23, y)
		}
		VMOVQ(x, Mem{Base: base})
		VPEXTRQ(Imm(1), x, Mem{Base: base, Index: stride, Scale: 1})
		VMOVQ(y, Mem{Base: base, Index: stride, Scale: 2})
		VPEXTRQ(Imm(1), y, Mem{Base: base, Index: stride3, Scale: 1})
	}
}
