package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// color writes the conversion of YCbCr to RGB, and the interleaving of planes.
//
// With c = Cb - 128 or Cr - 128, each channel needs round(k·c/65536) for a k that takes 17 bits. An integer multiple
// of c brings it into the range of a word: 1.402 = 1 + 26345/65536, 1.772 = 2 - 14942/65536, 0.714 = 1 - 18734/65536.
// Rounding is exact: ((2·c·k >> 16) + 1) >> 1 = (c·k + 32768) >> 16.
func color() {
	function("rgbAVX2", "func(dst, luma, blue, red *byte, chunks int)")
	Doc("rgbAVX2 writes R, G, B of 32·chunks pixels of Y, Cb, Cr.")
	dst := Load(Param("dst"), GP64())
	luma := Load(Param("luma"), GP64())
	blue := Load(Param("blue"), GP64())
	red := Load(Param("red"), GP64())
	chunks := Load(Param("chunks"), GP64())
	z, ones := zero(), YMM()
	VPCMPEQD(ones, ones, ones)
	center := YMM()
	VMOVDQU(words(128), center)
	loop(chunks, func() {
		fraction := func(c vec, k int) vec {
			v := mulHigh(addWords(c, c), words(k))
			return shifted(VPSRAW, subWords(v, ones), 1)
		}
		var r, g, b [2]vec
		ly, lb, lr := load(Mem{Base: luma}), load(Mem{Base: blue}), load(Mem{Base: red})
		for i, unpack := range []func(a, b Op) vec{lowBytes, highBytes} {
			y := unpack(ly, z)
			cb, cr := subWords(unpack(lb, z), center), subWords(unpack(lr, z), center)
			r[i] = addWords(addWords(y, cr), fraction(cr, 91881-65536))
			b[i] = addWords(addWords(y, addWords(cb, cb)), fraction(cb, 116130-2*65536))
			sum := func(pairs vec) vec {
				v := maddWords(pairs, words(-22554, 65536-46802))
				return shifted(VPSRAD, addDwords(v, dwords(32768)), 16)
			}
			g[i] = addWords(subWords(y, cr), packDwords(sum(lowWords(cb, cr)), sum(highWords(cb, cr))))
		}
		storePixels(dst, packPixels(r[0], r[1]), packPixels(g[0], g[1]), packPixels(b[0], b[1]))
		advance(32, luma, blue, red)
		advance(96, dst)
	})

	function("interleaveAVX2", "func(dst, red, green, blue *byte, chunks int)")
	Doc("interleaveAVX2 writes R, G, B of 32·chunks pixels from planes.")
	dst = Load(Param("dst"), GP64())
	red = Load(Param("red"), GP64())
	green := Load(Param("green"), GP64())
	blue = Load(Param("blue"), GP64())
	chunks = Load(Param("chunks"), GP64())
	loop(chunks, func() {
		storePixels(dst, load(Mem{Base: red}), load(Mem{Base: green}), load(Mem{Base: blue}))
		advance(32, red, green, blue)
		advance(96, dst)
	})
}

// storePixels writes 32 pixels from their planes. Byte i of the 48 of a lane is channel i%3 of pixel i/3.
func storePixels(dst Register, planes ...vec) {
	for third := range 3 {
		var parts [3]vec
		for c := range parts {
			from := make([]int, 16)
			for i := range from {
				from[i] = 0x80 // zero
				if at := 16*third + i; at%3 == c {
					from[i] = at / 3
				}
			}
			parts[c] = shuffle(planes[c], bytes(from...))
		}
		v := or(or(parts[0], parts[1]), parts[2])
		VMOVDQU(v.AsX(), Mem{Base: dst, Disp: 16 * third})
		VEXTRACTI128(Imm(1), v, Mem{Base: dst, Disp: 48 + 16*third})
	}
}
