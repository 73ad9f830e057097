package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	columns = 2   // vectors across a tile
	unroll  = 2   // steps of k in one round of the loop: what a front end of four per cycle needs; more brought nothing
	ahead   = 128 // steps of k from the use of a row of B back to its prefetch
)

// tiles writes the GEMM tiles of 1 to mr rows.
func (s *isa) tiles() {
	for m := 1; m <= s.mr; m++ {
		s.tile(m)
	}
}

// tile writes the GEMM tile of m rows and two vectors of columns:
//
//	C[m, NR] = A[m, k] · B[k, NR] + bias[NR] (if given) + C[m, NR] (if acc)
//
// All sums stay in registers. A step of k loads a row of the panel B, broadcasts one element of each row of A, and
// multiplies each by all: m + 2 loads to 2m multiply-adds. A is read where it lies, with four rows to a pointer, as
// far as addressing reaches with the strides lda, 2·lda and 3·lda.
//
// The prefetch is for panels that come from memory. A tile of 14 rows uses 9 bytes of B a cycle, more than hardware
// fetches unasked: without it the first tile of a cold panel took half as long again as the others. It runs on into
// what follows the panel, which is the next one if they are stored in the order of use, and never faults.
func (s *isa) tile(m int) {
	s.function(fmt.Sprintf("Tile%d", m),
		"func(k int, a *float32, lda int, b, c *float32, ldc int, bias *float32, acc bool)")
	sum := func(i, j int) VecPhysical { return s.vecs[i*columns+j] }
	free := s.vecs[m*columns:]
	row, spread := free[:columns], free[columns:min(columns+2, len(free))]

	k := Load(Param("k"), RCX)
	b := Load(Param("b"), RDI)
	lda := Load(Param("lda"), R8)
	SHLQ(Imm(2), lda)
	lda3 := R9
	if m > 3 {
		LEAQ(Mem{Base: lda, Index: lda, Scale: 2}, lda3)
	}
	a := []Register{Load(Param("a"), RSI), R10, R11, R12}[:(m+3)/4]
	for i := 1; i < len(a); i++ {
		LEAQ(Mem{Base: a[i-1], Index: lda, Scale: 4}, a[i])
	}
	element := func(i, u int) Mem {
		e := Mem{Base: a[i/4], Disp: 4 * u}
		switch i % 4 {
		case 1:
			e.Index, e.Scale = lda, 1
		case 2:
			e.Index, e.Scale = lda, 2
		case 3:
			e.Index, e.Scale = lda3, 1
		}
		return e
	}

	Comment("Sums start from the bias, or 0.")
	bias := Load(Param("bias"), RAX)
	TESTQ(bias, bias)
	JZ(LabelRef("zero"))
	for j := range columns {
		VMOVUPS(Mem{Base: bias, Disp: s.size() * j}, sum(0, j))
	}
	for i := 1; i < m; i++ {
		for j := range columns {
			VMOVAPS(sum(0, j), sum(i, j))
		}
	}
	JMP(LabelRef("start"))
	Label("zero")
	for i := range m {
		for j := range columns {
			VXORPS(sum(i, j), sum(i, j), sum(i, j))
		}
	}
	Label("start")

	step := func(u int) {
		for j := range columns {
			VMOVUPS(Mem{Base: b, Disp: s.size() * (u*columns + j)}, row[j])
		}
		for line := 0; line < columns*s.size(); line += 64 {
			PREFETCHT0(Mem{Base: b, Disp: (u+ahead)*columns*s.size() + line})
		}
		for i := range m {
			x := spread[i%len(spread)]
			VBROADCASTSS(element(i, u), x)
			for j := range columns {
				VFMADD231PS(row[j], x, sum(i, j))
			}
		}
	}
	advance := func(steps int) {
		ADDQ(imm(s.size()*columns*steps), b)
		for _, p := range a {
			ADDQ(imm(4*steps), p)
		}
	}
	SUBQ(imm(unroll), k)
	JLT(LabelRef("rest"))
	Label("loop")
	for u := range unroll {
		step(u)
	}
	advance(unroll)
	SUBQ(imm(unroll), k)
	JGE(LabelRef("loop"))
	Label("rest")
	ADDQ(imm(unroll), k)
	JZ(LabelRef("summed"))
	Label("single")
	step(0)
	advance(1)
	DECQ(k)
	JNZ(LabelRef("single"))
	Label("summed")

	c := Load(Param("c"), RDX)
	ldc := Load(Param("ldc"), RBX)
	SHLQ(Imm(2), ldc)
	acc := Load(Param("acc"), RAX)
	TESTQ(acc, acc)
	JZ(LabelRef("store"))
	MOVQ(c, RSI)
	for i := range m {
		for j := range columns {
			VADDPS(Mem{Base: RSI, Disp: s.size() * j}, sum(i, j), sum(i, j))
		}
		if i < m-1 {
			ADDQ(ldc, RSI)
		}
	}
	Label("store")
	for i := range m {
		for j := range columns {
			VMOVUPS(sum(i, j), Mem{Base: c, Disp: s.size() * j})
		}
		if i < m-1 {
			ADDQ(ldc, c)
		}
	}
	s.ret()
}
