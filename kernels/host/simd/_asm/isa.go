package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// An isa is what the routines need to know of an instruction set.
type isa struct {
	name string
	vecs []VecPhysical // its registers, all of one width
	size int           // bytes of one
	mr   int           // rows of the largest GEMM tile: mr*2 sums, 2 vectors of B and a few of A fill vecs
}

var isas = map[string]*isa{
	"avx512": {
		name: "avx512",
		vecs: []VecPhysical{
			Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
			Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31,
		},
		size: 64,
		mr:   14,
	},
	"avx2": {
		name: "avx2",
		vecs: []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15},
		size: 32,
		mr:   6,
	},
}

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

// imm is a constant that does not fit the sign-extended byte of Imm, or might not.
func imm(v int) Op { return U32(uint32(v)) }
