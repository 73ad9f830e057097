package main

import (
	"encoding/binary"
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Go's assembler has no AVX512-BF16. Its two instructions that are used here are written as bytes, under a comment with
// what they are, in Go's order of operands. TestEncodings in package simd holds the bytes to a disassembler's reading.

// vdpbf16ps adds the products of the pairs of bfloat16 in the lanes of x and y to dst.
func vdpbf16ps(y, x, dst VecPhysical) {
	Commentf("VDPBF16PS %s, %s, %s", name(y), name(x), name(dst))
	raw(evex(0x52, number(dst), number(x), number(y)))
}

// vcvtneps2bf16 rounds the lanes of the 512-bit src to bfloat16, in the 256-bit dst.
func vcvtneps2bf16(src, dst VecPhysical) {
	Commentf("VCVTNEPS2BF16 %s, %s", name(src), name(dst))
	raw(evex(0x72, number(dst), 0, number(src)))
}

// evex encodes an instruction EVEX.512.F3.0F38.W0 opcode /r on registers of 512 bits, without mask: Intel's manual,
// volume 2, section 2.7.1. Bits 3 and 4 of a register's number are stored inverted.
func evex(opcode byte, reg, vvvv, rm int) []byte {
	const (
		map0F38 = 2
		prefix3 = 2 // F3
		wide    = 2 // 512 bits
	)
	not := func(n, bit int) byte { return byte(^n >> bit & 1) }
	return []byte{
		0x62,
		not(reg, 3)<<7 | not(rm, 4)<<6 | not(rm, 3)<<5 | not(reg, 4)<<4 | map0F38,
		byte(^vvvv&15)<<3 | 1<<2 | prefix3,
		wide<<5 | not(vvvv, 4)<<3,
		opcode,
		3<<6 | byte(reg&7)<<3 | byte(rm&7),
	}
}

// raw emits the bytes of an instruction, of which there are 4 to 7.
func raw(b []byte) {
	emit := func(opcode string, value Op) { Instruction(&ir.Instruction{Opcode: opcode, Operands: []Op{value}}) }
	emit("LONG", U32(binary.LittleEndian.Uint32(b)))
	b = b[4:]
	if len(b) > 1 {
		emit("WORD", U16(binary.LittleEndian.Uint16(b)))
		b = b[2:]
	}
	if len(b) > 0 {
		emit("BYTE", U8(b[0]))
	}
}

// number is which register of its kind v is, name its name in Go's assembler.
func number(v VecPhysical) int { return int(v.PhysicalIndex()) }

func name(v VecPhysical) string {
	kind := map[uint]string{32: "Y", 64: "Z"}[v.Size()]
	if kind == "" {
		panic(fmt.Sprintf("a register of %d bytes", v.Size()))
	}
	return fmt.Sprintf("%s%d", kind, number(v))
}

// Bits of a float32 that rounding to its upper half looks at.
const (
	exponentBits = 0xff << 23
	quietBit     = 0x40   // of NaN, in the upper half
	halfUnit     = 0x7fff // just below half of the last place of the upper half
	unordered    = 3      // VCMPPS: either is NaN
)

// conversions writes the routines between float32 and bfloat16, the upper half of a float32.
func (s *isa) conversions() {
	v := s.vecs[0]
	s.convert("Widen", "func(dst *float32, ldd int, src *uint16, lds, rows, cols int)", func() func(src, dst Mem) {
		return func(src, dst Mem) {
			VPMOVZXWD(src, v)
			VPSLLD(Imm(16), v, v)
			VMOVUPS(v, dst)
		}
	})
	s.narrow()
}

// narrow writes the routine that rounds float32 to bfloat16 as VCVTNEPS2BF16 does: to nearest, ties to even, subnormal
// values to zeros, NaN to a quiet one.
func (s *isa) narrow() {
	s.convert("Narrow", "func(dst *uint16, ldd int, src *float32, lds, rows, cols int)", func() func(src, dst Mem) {
		return s.rounding(s)
	})
}

// convert writes the routine that moves a [rows, cols] block, cols a multiple of lanes, a vector at a time. prepare
// emits the constants that the move needs.
func (s *isa) convert(name, signature string, prepare func() (move func(src, dst Mem))) {
	s.function(name, signature)
	dst := Load(Param("dst"), RDI)
	ldd := Load(Param("ldd"), RDX)
	src := Load(Param("src"), RSI)
	lds := Load(Param("lds"), RAX)
	rows := Load(Param("rows"), R8)
	cols := Load(Param("cols"), RCX)
	from, to := uint8(4), uint8(2)
	if name == "Widen" {
		from, to = to, from
	}
	move := prepare()
	Comment("Indices count down to the end of a row, which the pointers are at.")
	LEAQ(Mem{Base: src, Index: cols, Scale: from}, src)
	LEAQ(Mem{Base: dst, Index: cols, Scale: to}, dst)
	NEGQ(cols)
	IMUL3Q(imm(int(from)), lds, lds)
	IMUL3Q(imm(int(to)), ldd, ldd)
	Label("row")
	i := R9
	MOVQ(cols, i)
	Label("vector")
	move(Mem{Base: src, Index: i, Scale: from}, Mem{Base: dst, Index: i, Scale: to})
	ADDQ(imm(s.lanes()), i)
	JNZ(LabelRef("vector"))
	ADDQ(lds, src)
	ADDQ(ldd, dst)
	DECQ(rows)
	JNZ(LabelRef("row"))
	s.ret()
}
