package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Of AMX, Go's assembler has nothing. Its instructions are written as bytes, as those of AVX512-BF16 are.

// A tmm is one of the eight tile registers: up to 16 rows of up to 64 bytes.
type tmm int

func (t tmm) String() string { return fmt.Sprintf("TMM%d", int(t)) }

// Prefixes in an instruction's encoding, volume 2 of Intel's manual, section 2.3.5.
const (
	noPrefix = 0
	prefixF3 = 2
	prefixF2 = 3
)

// vex encodes an instruction VEX.128.prefix.0F38.W0 opcode /r up to its ModRM byte: Intel's manual, volume 2, section 2.3.5.
// The high bits of register numbers are stored inverted: x is that of an index, b of a base.
func vex(prefix, opcode byte, x, b, vvvv int, modrm byte) []byte {
	const map0F38 = 2
	inverted := func(n, bit int) byte { return byte(^n >> 3 & 1 << bit) }
	return []byte{0xc4, 1<<7 | inverted(x, 6) | inverted(b, 5) | map0F38, byte(^vvvv&15)<<3 | prefix, opcode, modrm}
}

// ldtilecfg gives the tiles the shapes that are described at base, and zeros in all places.
func ldtilecfg(base GPPhysical) {
	Commentf("LDTILECFG (%s)", base.Asm())
	n := int(base.PhysicalIndex())
	if n&7 == 4 || n&7 == 5 {
		panic("a base that takes more than a ModRM byte")
	}
	raw(vex(noPrefix, 0x49, 0, n, 0, byte(n&7)))
}

// tilerelease leaves the tiles as a thread has them that never used them.
func tilerelease() {
	Comment("TILERELEASE")
	raw(vex(noPrefix, 0x49, 0, 0, 0, 0xc0))
}

// tileloadd reads a tile, whose rows are index bytes apart. tilestored writes one.
func tileloadd(m Mem, t tmm)  { transfer("TILELOADD %s, %s", prefixF2, m, t) }
func tilestored(t tmm, m Mem) { transfer("TILESTORED %[2]s, %[1]s", prefixF3, m, t) }

func transfer(format string, prefix byte, m Mem, t tmm) {
	base, index := int(m.Base.(GPPhysical).PhysicalIndex()), int(m.Index.(GPPhysical).PhysicalIndex())
	if base&7 == 5 || m.Scale != 1 || m.Disp < 0 || m.Disp > 127 {
		panic(fmt.Sprintf("an address of another form: %s", m.Asm()))
	}
	Commentf(format, m.Asm(), t)
	const sib, disp8 = 4, 1 << 6
	b := vex(prefix, 0x4b, index, base, 0, byte(t)<<3|sib)
	b = append(b, byte(index&7)<<3|byte(base&7))
	if m.Disp != 0 {
		b[4] |= disp8
		b = append(b, byte(m.Disp))
	}
	raw(b)
}

// tdpbf16ps adds the product of the tiles x and y to dst: x has a row of pairs of bfloat16 for each row of dst, y a row
// of as many pairs as dst has columns for each pair of x.
func tdpbf16ps(y, x, dst tmm) {
	Commentf("TDPBF16PS %s, %s, %s", y, x, dst)
	raw(vex(prefixF3, 0x5c, 0, 0, int(y), 3<<6|byte(dst)<<3|byte(x)))
}

// The tiles of a block, two by two: sums, rows of A, columns of B.
var (
	blockSums = [2][2]tmm{{0, 1}, {2, 3}}
	blockRows = [2]tmm{4, 5}
	blockCols = [2]tmm{6, 7}
)

// What a configuration of tiles is: Intel's manual, volume 1, section 18.3.
const (
	configSize  = 64
	configBytes = 16 // place of the bytes of a row, 16 bits a tile
	configRows  = 48 // place of the rows, 8 bits a tile
)

// fullTiles writes the configuration of tiles of 16 rows of 64 bytes.
func fullTiles(config Mem, temp GPPhysical) {
	VPXORD(Z0, Z0, Z0)
	VMOVUPS(Z0, config)
	MOVB(Imm(1), config)
	MOVQ(U64(0x0040004000400040), temp)
	MOVQ(temp, config.Offset(configBytes))
	MOVQ(temp, config.Offset(configBytes+8))
	MOVQ(U64(0x1010101010101010), temp)
	MOVQ(temp, config.Offset(configRows))
}

// block writes the routine behind Block:
//
//	C[m, 32] = A[m, 2·pairs·steps] · B[2·pairs·steps, 32] + start[m, 32]
//
// It takes 32 rows at a time, at the end 16 if they are enough. A step multiplies two tiles of A by two of B: four
// products, of 16 cycles each, to four loads. The strides of A, C and start are in bytes; that of start may be zero.
// Steps, if they are several, are of 16 pairs.
//
// Another panel lies next bytes after b. At each step, a share of what the step would take of it is prefetched, bytes in
// multiples of 64, and at the i-th 32 rows the i-th share: together they fetch it evenly while this one is multiplied.
func (s *isa) block() {
	s.function("Block", "func(m, steps, pairs int, a *uint16, lda int, b *uint16, c *float32, ldc int, start *float32, lds int, "+
		"next, share int)")
	config := AllocLocal(configSize)
	variable := func(name string) Mem {
		v, err := Param(name).Resolve()
		if err != nil {
			panic(err)
		}
		return v.Addr
	}
	load := func(name string, r GPPhysical) GPPhysical {
		Load(Param(name), r)
		return r
	}
	t := &amxBlock{
		variable: variable,
		m:        load("m", RCX), lda: load("lda", R8), ldc: load("ldc", R9), lds: load("lds", R10),
		c: load("c", RDX), start: load("start", RBX),
		a: [2]GPPhysical{RSI, R12}, b: RDI, pitch: R11, ahead: RAX, steps: R13, temp: R15,
	}
	configure := func() {
		LEAQ(config, t.temp)
		ldtilecfg(t.temp)
	}
	rows := func(n GPPhysical, tiles ...tmm) {
		for _, i := range tiles {
			MOVB(n.As8(), config.Offset(configRows+int(i)))
		}
	}

	fullTiles(config, t.temp)
	Comment("In tiles of B there are as many rows as pairs in a row of A.")
	pairs := load("pairs", t.ahead)
	rows(pairs, blockCols[:]...)
	SHLQ(Imm(2), pairs)
	for _, i := range blockRows {
		MOVW(pairs.As16(), config.Offset(configBytes+2*int(i)))
	}
	MOVQ(imm(panelPitch), t.pitch)

	CMPQ(t.m, imm(32))
	JLT(LabelRef("last"))
	configure()
	Label("rows32")
	t.rows(2)
	SUBQ(imm(32), t.m)
	JLE(LabelRef("done"))
	for _, p := range []struct{ pointer, stride GPPhysical }{{t.c, t.ldc}, {t.start, t.lds}} {
		MOVQ(p.stride, t.temp)
		SHLQ(Imm(5), t.temp)
		ADDQ(t.temp, p.pointer)
	}
	MOVQ(t.lda, t.temp)
	SHLQ(Imm(5), t.temp)
	ADDQ(t.temp, variable("a"))
	Load(Param("share"), t.temp)
	ADDQ(t.temp, variable("next"))
	CMPQ(t.m, imm(32))
	JGE(LabelRef("rows32"))

	Label("last")
	CMPQ(t.m, imm(16))
	JLE(LabelRef("rows16"))
	Comment("Between 16 and 32 rows, the lower tiles have what is left.")
	LEAQ(Mem{Base: t.m, Disp: -16}, t.temp)
	rows(t.temp, blockSums[1][0], blockSums[1][1], blockRows[1])
	configure()
	JMP(LabelRef("rows32"))
	Label("rows16")
	rows(t.m, blockSums[0][0], blockSums[0][1], blockRows[0])
	configure()
	t.rows(1)
	Label("done")
	tilerelease()
	s.ret()
}

// panelPitch is the bytes between rows of a panel of B.
const panelPitch = 128

// An amxBlock is the routine that is being written.
type amxBlock struct {
	variable         func(name string) Mem
	m, lda, ldc, lds GPPhysical
	c, start         GPPhysical // of the rows that are next
	a                [2]GPPhysical
	b, pitch, ahead  GPPhysical
	steps, temp      GPPhysical
}

// rows multiplies one or two tiles of rows.
func (t *amxBlock) rows(high int) {
	sixteen := func(stride, pointer GPPhysical, to GPPhysical) {
		MOVQ(stride, to)
		SHLQ(Imm(4), to)
		ADDQ(pointer, to)
	}
	// each names the sums beside where they are in a matrix.
	each := func(pointer, stride GPPhysical, f func(m Mem, sum tmm)) {
		for i := range high {
			base := pointer
			if i > 0 {
				base = t.temp
				sixteen(stride, pointer, base)
			}
			for j := range 2 {
				f(Mem{Base: base, Disp: 64 * j, Index: stride, Scale: 1}, blockSums[i][j])
			}
		}
	}
	each(t.start, t.lds, tileloadd)
	MOVQ(t.variable("a"), t.a[0])
	if high > 1 {
		sixteen(t.lda, t.a[0], t.a[1])
	}
	MOVQ(t.variable("b"), t.b)
	MOVQ(t.b, t.ahead)
	ADDQ(t.variable("next"), t.ahead)
	MOVQ(t.variable("steps"), t.steps)

	label := fmt.Sprintf("%d", 16*high)
	Label("step" + label)
	for i := range high {
		for j := range 2 {
			if i == 0 {
				tileloadd(Mem{Base: t.b, Disp: 64 * j, Index: t.pitch, Scale: 1}, blockCols[j])
			}
			if j == 0 {
				tileloadd(Mem{Base: t.a[i], Index: t.lda, Scale: 1}, blockRows[i])
			}
			tdpbf16ps(blockCols[j], blockRows[i], blockSums[i][j])
		}
	}
	MOVQ(t.variable("share"), t.temp)
	TESTQ(t.temp, t.temp)
	JZ(LabelRef("fetched" + label))
	Label("fetch" + label)
	SUBQ(imm(64), t.temp)
	PREFETCHT1(Mem{Base: t.ahead, Index: t.temp, Scale: 1})
	JNZ(LabelRef("fetch" + label))
	Label("fetched" + label)
	ADDQ(imm(16*panelPitch), t.b)
	ADDQ(imm(16*panelPitch), t.ahead)
	for i := range high {
		ADDQ(imm(64), t.a[i])
	}
	DECQ(t.steps)
	JNZ(LabelRef("step" + label))
	each(t.c, t.ldc, func(m Mem, sum tmm) { tilestored(sum, m) })
}

// addRow writes the routine that adds a row of 32 to m rows.
func (s *isa) addRow() {
	s.function("AddRow", "func(m int, c *float32, ldc int, row *float32)")
	m, c, ldc := Load(Param("m"), RCX), Load(Param("c"), RDX), Load(Param("ldc"), RBX)
	row := Load(Param("row"), RSI)
	for j := range columns {
		VMOVUPS(Mem{Base: row, Disp: s.size() * j}, s.vecs[j])
	}
	Label("loop")
	for j, v := range s.vecs[:columns] {
		VADDPS(Mem{Base: c, Disp: s.size() * j}, v, s.vecs[columns+j])
		VMOVUPS(s.vecs[columns+j], Mem{Base: c, Disp: s.size() * j})
	}
	ADDQ(ldc, c)
	DECQ(m)
	JNZ(LabelRef("loop"))
	s.ret()
}

// peakBlock writes the loop of products between tiles that gives the roof, four sums as in a block.
func (s *isa) peakBlock() {
	s.function("PeakBF16", "func(n int) (flops int)")
	config := AllocLocal(configSize)
	n := Load(Param("n"), RCX)
	IMUL3Q(imm(4*2*16*16*32), n, RAX)
	Store(RAX, ReturnIndex(0))
	fullTiles(config, R15)
	LEAQ(config, R15)
	ldtilecfg(R15.(GPPhysical))
	Label("loop")
	for i, sums := range blockSums {
		for j, sum := range sums {
			tdpbf16ps(blockCols[j], blockRows[i], sum)
		}
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	tilerelease()
	s.ret()
}
