package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// fractionBits is the number of fractional bits of a weight.
const fractionBits = 22

// filters writes the two passes of the resampler.
func filters() {
	across()
	down()
}

// across makes four pixels a round. A group of a filter is 4 taps: its 4 pixels of 3 bytes are spread to words by a
// shuffle, red and green in the lower lane, blue in the upper,
//
//	r0 r1 r2 r3 g0 g1 g2 g3 | b0 b1 b2 b3 0 0 0 0
//
// and VPMADDWD multiplies them with the upper and with the lower halves of the 4 weights: w = 65536·upper + lower, lower
// being signed. The sums of both are apart until the end; everything is exact modulo 2³².
func across() {
	function("acrossAVX2", "func(dst, row *byte, before int, spread *[32]byte, offsets *int32, weights *int16, groups, quads int)")
	Doc("acrossAVX2 writes 4·quads pixels.")
	dst := Load(Param("dst"), GP64())
	row := Load(Param("row"), GP64())
	SUBQ(Load(Param("before"), GP64()), row)
	mask := Load(Param("spread"), GP64())
	spread := load(Mem{Base: mask})
	offsets := Load(Param("offsets"), GP64())
	weights := Load(Param("weights"), GP64())
	groups := Load(Param("groups"), GP64())
	quads := Load(Param("quads"), GP64())

	Label("quad")
	var pixels [4]Register
	var upper, lower [4]vec
	for i := range pixels {
		pixels[i] = GP64()
		MOVLQSX(Mem{Base: offsets, Disp: 4 * i}, pixels[i])
		ADDQ(row, pixels[i])
		upper[i], lower[i] = zero(), zero()
	}
	left, at := GP64(), GP64()
	MOVQ(groups, left)
	XORQ(at, at)
	Label("group")
	for i := range pixels {
		p, w, v := YMM(), YMM(), YMM()
		VBROADCASTI128(Mem{Base: pixels[i], Index: at, Scale: 1}, p)
		VPSHUFB(spread, p, p)
		VPBROADCASTQ(Mem{Base: weights, Disp: 16 * i}, w)
		VPMADDWD(p, w, w)
		VPADDD(w, upper[i], upper[i])
		VPBROADCASTQ(Mem{Base: weights, Disp: 16*i + 8}, v)
		VPMADDWD(p, v, v)
		VPADDD(v, lower[i], lower[i])
	}
	advance(64, weights)
	advance(12, at)
	DECQ(left)
	JNZ(LabelRef("group"))
	var sums [4]vec
	for i := range sums {
		sums[i] = addDwords(lower[i], shifted(VPSLLD, upper[i], 16))
	}
	var pairs [2]vec // r g r g | b 0 b 0
	for i := range pairs {
		v := addDwords(addPairs(sums[2*i], sums[2*i+1]), dwords(1<<(fractionBits-1)))
		pairs[i] = shifted(VPSRAD, v, fractionBits)
	}
	v := packDwords(pairs[0], pairs[1])
	v = packPixels(v, v) // r g r g r g r g, twice | b 0 b 0 b 0 b 0, twice
	VPERMQ(U8(0b00_00_10_00), v, v)
	VPSHUFB(bytes(0, 1, 8, 2, 3, 10, 4, 5, 12, 6, 7, 14, 0x80, 0x80, 0x80, 0x80), v.AsX(), v.AsX())
	VMOVQ(v.AsX(), Mem{Base: dst})
	VPEXTRD(Imm(2), v.AsX(), Mem{Base: dst, Disp: 8})
	advance(12, dst)
	advance(16, offsets)
	DECQ(quads)
	JNZ(LabelRef("quad"))
	ret()
}

// down makes 32 samples a round, each the sum of the samples above each other in the rows given by offsets.
func down() {
	function("downAVX2", "func(dst, ring *byte, offsets *int, weights *int32, taps, chunks int)")
	Doc("downAVX2 writes 32·chunks samples.")
	dst := Load(Param("dst"), GP64())
	ring := Load(Param("ring"), GP64())
	offsets := Load(Param("offsets"), GP64())
	weights := Load(Param("weights"), GP64())
	taps := Load(Param("taps"), GP64())
	chunks := Load(Param("chunks"), GP64())

	Label("chunk")
	var sums [4]vec
	for i := range sums {
		sums[i] = YMM()
		VMOVDQU(dwords(1<<(fractionBits-1)), sums[i])
	}
	tap := GP64()
	XORQ(tap, tap)
	Label("tap")
	row, w := GP64(), YMM()
	MOVQ(Mem{Base: offsets, Index: tap, Scale: 8}, row)
	VPBROADCASTD(Mem{Base: weights, Index: tap, Scale: 4}, w)
	for i := range sums {
		v := YMM()
		VPMOVZXBD(Mem{Base: ring, Index: row, Scale: 1, Disp: 8 * i}, v)
		VPMULLD(w, v, v)
		VPADDD(v, sums[i], sums[i])
	}
	INCQ(tap)
	CMPQ(tap, taps)
	JLT(LabelRef("tap"))
	for i := range sums {
		VPSRAD(Imm(fractionBits), sums[i], sums[i])
	}
	v := packPixels(packDwords(sums[0], sums[1]), packDwords(sums[2], sums[3])) // 4 bytes of each sum in each lane
	VPERMD(v, load(dwords(0, 4, 1, 5, 2, 6, 3, 7)), v)
	VMOVDQU(v, Mem{Base: dst})
	advance(32, dst, ring)
	DECQ(chunks)
	JNZ(LabelRef("chunk"))
	ret()
}
