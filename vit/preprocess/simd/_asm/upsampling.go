package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// blend is 3·a + b of unsigned bytes, in words: elements 0 to 7 of each lane, and 8 to 15.
func blend(a, b Op) (low, high vec) {
	weights := bytes(3, 1)
	return maddBytes(lowBytes(a, b), weights), maddBytes(highBytes(a, b), weights)
}

// loop writes a loop of n rounds over body.
func loop(n Register, body func()) {
	Label("loop")
	body()
	DECQ(n)
	JNZ(LabelRef("loop"))
	ret()
}

// advance moves pointers.
func advance(bytes int, pointers ...Register) {
	for _, p := range pointers {
		ADDQ(Imm(uint64(bytes)), p)
	}
}

// alternate stores 64 bytes: even and odd ones in turn, given in words.
func alternate(even, odd [2]vec, dst Register) {
	var v [2]vec
	for i := range v {
		v[i] = or(even[i], shifted(VPSLLW, odd[i], 8))
	}
	VMOVDQU(lanes(v[0], 0, v[1], 0), Mem{Base: dst})
	VMOVDQU(lanes(v[0], 1, v[1], 1), Mem{Base: dst, Disp: 32})
}

func upsampling() {
	function("h2v1AVX2", "func(dst, row *byte, chunks int)")
	Doc("h2v1AVX2 writes two samples for each of 32·chunks; it reads one more on both sides.")
	dst := Load(Param("dst"), GP64())
	row := Load(Param("row"), GP64())
	chunks := Load(Param("chunks"), GP64())
	loop(chunks, func() {
		here := load(Mem{Base: row})
		side := func(offset, round int) (v [2]vec) {
			v[0], v[1] = blend(here, load(Mem{Base: row, Disp: offset}))
			for i := range v {
				v[i] = shifted(VPSRLW, addWords(v[i], words(round)), 2)
			}
			return v
		}
		alternate(side(-1, 1), side(1, 2), dst)
		advance(32, row)
		advance(64, dst)
	})

	function("h1v2AVX2", "func(dst, near, far *byte, round uint16, chunks int)")
	Doc("h1v2AVX2 writes 32·chunks samples between two rows.")
	dst = Load(Param("dst"), GP64())
	near := Load(Param("near"), GP64())
	far := Load(Param("far"), GP64())
	round := YMM()
	VPBROADCASTW(NewParamAddr("round", 24), round)
	chunks = Load(Param("chunks"), GP64())
	loop(chunks, func() {
		low, high := blend(load(Mem{Base: near}), load(Mem{Base: far}))
		low, high = shifted(VPSRLW, addWords(low, round), 2), shifted(VPSRLW, addWords(high, round), 2)
		VMOVDQU(packPixels(low, high), Mem{Base: dst})
		advance(32, near, far, dst)
	})

	function("h2v2AVX2", "func(dst, near, far *byte, chunks int)")
	Doc("h2v2AVX2 writes two samples for each of 32·chunks of two rows; it reads one more on both sides.")
	dst = Load(Param("dst"), GP64())
	near = Load(Param("near"), GP64())
	far = Load(Param("far"), GP64())
	chunks = Load(Param("chunks"), GP64())
	loop(chunks, func() {
		column := func(offset int) (v [2]vec) {
			v[0], v[1] = blend(load(Mem{Base: near, Disp: offset}), load(Mem{Base: far, Disp: offset}))
			return v
		}
		here := column(0)
		for i, v := range here {
			here[i] = addWords(v, addWords(v, v))
		}
		side := func(offset, round int) (v [2]vec) {
			for i, w := range column(offset) {
				v[i] = shifted(VPSRLW, addWords(addWords(here[i], w), words(round)), 4)
			}
			return v
		}
		alternate(side(-1, 8), side(1, 7), dst)
		advance(32, near, far)
		advance(64, dst)
	})
}
