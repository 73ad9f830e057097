package main

import (
	"encoding/binary"
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// function opens a routine without a frame, under its Go signature.
func function(name, signature string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
}

// ret leaves a routine with the upper halves of the registers clear, as code in SSE needs them.
func ret() {
	VZEROUPPER()
	RET()
}

// vec is a 256-bit register: two lanes of 128 bits, which most instructions treat alike.
type vec = VecVirtual

// op makes a function of two sources of an instruction.
func op(instruction func(...Op)) func(a, b Op) vec {
	return func(a, b Op) vec {
		d := YMM()
		instruction(b, a, d)
		return d
	}
}

// fixed is an instruction of avo that has one form only.
func fixed(instruction func(a, b, c Op)) func(...Op) {
	return func(ops ...Op) { instruction(ops[0], ops[1], ops[2]) }
}

var (
	addBytes   = op(VPADDB)
	addWords   = op(VPADDW)
	addDwords  = op(VPADDD)
	subWords   = op(VPSUBW)
	subDwords  = op(VPSUBD)
	mulLow     = op(VPMULLW)
	mulHigh    = op(VPMULHW)
	mulDwords  = op(VPMULLD)
	maddWords  = op(VPMADDWD)   // signed words times signed words, pairs added
	maddBytes  = op(VPMADDUBSW) // unsigned bytes times signed bytes, pairs added
	or         = op(fixed(VPOR))
	shuffle    = op(VPSHUFB)
	lowBytes   = op(VPUNPCKLBW) // a0 b0 a1 b1 ... of the low half of each lane
	highBytes  = op(VPUNPCKHBW)
	lowWords   = op(VPUNPCKLWD)
	highWords  = op(VPUNPCKHWD)
	lowDwords  = op(VPUNPCKLDQ)
	highDwords = op(VPUNPCKHDQ)
	packDwords = op(VPACKSSDW) // to words, signed saturation; a's, then b's in each lane
	packWords  = op(VPACKSSWB) // to bytes, signed saturation
	packPixels = op(VPACKUSWB) // to bytes, unsigned saturation
	addPairs   = op(fixed(VPHADDD))
)

// lanes puts one lane of a below one lane of b.
func lanes(a Op, i int, b Op, j int) vec {
	d := YMM()
	VPERM2I128(U8(uint8(i|(2+j)<<4)), b, a, d)
	return d
}

func shifted(instruction func(...Op), v Op, bits int) vec {
	d := YMM()
	instruction(Imm(uint64(bits)), v, d)
	return d
}

func zero() vec {
	v := YMM()
	VPXOR(v, v, v)
	return v
}

func load(m Mem) vec {
	v := YMM()
	VMOVDQU(m, v)
	return v
}

// symbols are the read-only data of the file so far.
var symbols = map[string]Mem{}

// data returns read-only memory with these 32 bytes.
func data(b [32]byte) Mem {
	name := fmt.Sprintf("bytes%x", b)
	for n := 16; n >= 1 && string(b[:n]) == string(b[n:2*n]); n /= 2 {
		name = fmt.Sprintf("each%x", b[:n])
	}
	if _, ok := symbols[name]; !ok {
		symbols[name] = GLOBL(name, RODATA|NOPTR)
		for i := 0; i < len(b); i += 8 {
			DATA(i, U64(binary.LittleEndian.Uint64(b[i:])))
		}
	}
	return symbols[name]
}

// bytes, words and dwords are constants that repeat the values given.

func bytes(v ...int) Mem {
	var b [32]byte
	for i := range b {
		b[i] = byte(v[i%len(v)])
	}
	return data(b)
}

func words(v ...int) Mem {
	b := make([]int, 0, 2*len(v))
	for _, w := range v {
		b = append(b, w, w>>8)
	}
	return bytes(b...)
}

func dwords(v ...int) Mem {
	w := make([]int, 0, 2*len(v))
	for _, d := range v {
		w = append(w, d, d>>16)
	}
	return words(w...)
}
