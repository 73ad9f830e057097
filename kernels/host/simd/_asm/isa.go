package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// An isa is what the routines need to know of an instruction set. Most of the instructions they use have one name for
// all widths of register; the functions here stand for the others.
type isa struct {
	name string
	vecs []VecPhysical // all of one width; the last may hold the tail's mask
	mr   int           // rows of the largest GEMM tile: 2·mr sums, 2 vectors of B and some of A fill vecs

	constant func(s *isa, bits uint32) Op // an operand with these bits in every lane, good until the routine ends
	tailMask func(s *isa)                 // selects as many lanes for tail as CX, modulo lanes, says; changes AX and CX
	tail     access                       // to those lanes only
	halves   func(src, dst VecPhysical)   // dst is src with its halves exchanged
	quarters func(src, dst VecPhysical)   // dst is src with the quarters of each half exchanged; nil where a half is 128 bits

	highHalves func(m Mem, v VecPhysical)      // loads words less their low halves, and needs no other register
	rounding   func(s *isa) func(src, dst Mem) // prepares the rounding of a vector to bfloat16, and returns the code of it

	used  int           // registers that the routine has taken so far
	words map[uint32]Op // constants that the routine has so far
}

var isas = map[string]*isa{"amx": &amx, "avx512bf16": &avx512bf16, "avx512": &avx512, "avx2": &avx2}

// size is the bytes of a vector, lanes the values in it.
func (s *isa) size() int  { return int(s.vecs[0].Size()) }
func (s *isa) lanes() int { return s.size() / 4 }

// function opens a routine without a frame, under its Go signature.
func (s *isa) function(name, signature string) {
	TEXT(s.name+name, NOSPLIT, signature)
	Pragma("noescape")
	s.used, s.words = 0, map[uint32]Op{}
}

// ret leaves a routine with the upper halves of the registers clear, as code in SSE needs them.
func (s *isa) ret() {
	VZEROUPPER()
	RET()
}

// vec takes a register for the rest of the routine.
func (s *isa) vec() VecPhysical {
	if s.used == len(s.vecs)-1 {
		panic(fmt.Sprintf("%s: a routine needs more than %d registers and the mask", s.name, s.used))
	}
	s.used++
	return s.vecs[s.used-1]
}

// word returns an operand with the bits in every lane, float one with v rounded to fp32. They may emit a load: call
// them before the loop.
func (s *isa) word(bits uint32) Op {
	if s.words[bits] == nil {
		s.words[bits] = s.constant(s, bits)
	}
	return s.words[bits]
}

func (s *isa) float(v float64) Op { return s.word(math.Float32bits(float32(v))) }

// split returns v as the nearest fp32 value and what that leaves.
func (s *isa) split(v float64) (hi, lo Op) {
	nearest := float64(float32(v))
	return s.float(nearest), s.float(v - nearest)
}

func (s *isa) floats(v []float64) []Op {
	ops := make([]Op, len(v))
	for i := range v {
		ops[i] = s.float(v[i])
	}
	return ops
}

// spread reduces v by op across its lanes and leaves the result in all of them. It changes t.
func (s *isa) spread(op func(...Op), v, t VecPhysical) {
	s.halves(v, t)
	op(t, v, v)
	if s.quarters != nil {
		s.quarters(v, t)
		op(t, v, v)
	}
	VPERMILPS(Imm(0x4e), v, t)
	op(t, v, v)
	VPERMILPS(Imm(0xb1), v, t)
	op(t, v, v)
}

// horner computes p = c[0] + c[1]·x + c[2]·x² + … from the highest power down.
func horner(c []Op, x, p VecPhysical) {
	last := len(c) - 1
	VMOVUPS(c[last], p)
	for i := last - 1; i >= 0; i-- {
		VFMADD213PS(c[i], x, p)
	}
}

// symbols are the read-only data of the file so far.
var symbols = map[string]Mem{}

// data returns the symbol of that name, read-only memory with these words.
func data(name string, words ...uint32) Mem {
	if _, ok := symbols[name]; !ok {
		symbols[name] = GLOBL(name, RODATA|NOPTR)
		for i, w := range words {
			DATA(4*i, U32(w))
		}
	}
	return symbols[name]
}

// imm is a constant that need not fit the sign-extended byte of Imm.
func imm(v int) Op { return U32(uint32(v)) }
