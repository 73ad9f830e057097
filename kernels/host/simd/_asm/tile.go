package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// columns is how many vectors there are across a tile.
const columns = 2

// A product is a way to multiply: what the elements of A and of the panel B are, and a step of their sums. A step takes
// one row of the panel, NR words of four bytes, and four bytes or more of each row of A.
type product struct {
	name   string // of the routines
	a, b   string // Go types of the elements
	size   int    // bytes of an element of A
	depth  int    // elements of k in a step: 1, or 2 that share a word of B, the first of them in its low half
	unroll int    // steps in one round of the loop: in fp32, 2 were 4 % slower with AVX2, and 8 brought nothing
	step   func(t *tile, u int)
	rest   func(t *tile) // of depth 2: the last element of an odd k, whose word in B has a zero in its high half
}

// fp32 multiplies float32 by float32.
var fp32 = product{
	name: "Tile", a: "float32", b: "float32", size: 4, depth: 1, unroll: 4,
	step: func(t *tile, u int) {
		for j, v := range t.row {
			VMOVUPS(t.word(u, j), v)
		}
		t.multiply(4 * u)
	},
}

// mixed multiplies float32 by bfloat16, which is the upper half of a float32. The high halves of words come first, as in
// VDPBF16PS.
var mixed = product{
	name: "TileMixed", a: "float32", b: "uint16", size: 4, depth: 2, unroll: 2,
	step: func(t *tile, u int) {
		for j, v := range t.row {
			t.isa.highHalves(t.word(u, j), v)
		}
		t.multiply(8*u + 4)
		t.lowHalves(u)
		t.multiply(8 * u)
	},
	rest: func(t *tile) {
		t.lowHalves(0)
		t.multiply(0)
	},
}

// bf16 multiplies bfloat16 by bfloat16 with AVX512-BF16.
var bf16 = product{
	name: "TileBF16", a: "uint16", b: "uint16", size: 2, depth: 2, unroll: 2,
	step: func(t *tile, u int) {
		for j, v := range t.row {
			VMOVUPS(t.word(u, j), v)
		}
		for i := range t.m {
			x := t.spread[i%len(t.spread)]
			VBROADCASTSS(t.element(i, 4*u), x)
			t.dot(i, x)
		}
	},
	rest: func(t *tile) {
		for j, v := range t.row {
			VMOVUPS(t.word(0, j), v)
		}
		for i := range t.m {
			x := t.spread[i%len(t.spread)]
			MOVWLZX(t.element(i, 0), EAX)
			VPBROADCASTD(EAX, x)
			t.dot(i, x)
		}
	},
}

// A tile is the routine that is being written, for m rows.
type tile struct {
	isa         *isa
	m           int
	row, spread []VecPhysical           // a row of B; elements of A in all lanes
	word        func(u, j int) Mem      // vector j of the row of B at u steps past the pointer
	element     func(i, offset int) Mem // row i of A at so many bytes past the pointers
	sum         func(i, j int) VecPhysical
}

// multiply adds the products of each row's element at an offset with the row of B.
func (t *tile) multiply(offset int) {
	for i := range t.m {
		x := t.spread[i%len(t.spread)]
		VBROADCASTSS(t.element(i, offset), x)
		for j, v := range t.row {
			VFMADD231PS(v, x, t.sum(i, j))
		}
	}
}

func (t *tile) lowHalves(u int) {
	for j, v := range t.row {
		VMOVUPS(t.word(u, j), v)
		VPSLLD(Imm(16), v, v)
	}
}

// dot adds the products of the pair in the lanes of x, row i's, with the row of B.
func (t *tile) dot(i int, x VecPhysical) {
	for j, v := range t.row {
		vdpbf16ps(v, x, t.sum(i, j))
	}
}

// tiles writes the GEMM tiles of 1 to mr rows.
func (s *isa) tiles(p product) {
	for m := 1; m <= s.mr; m++ {
		s.tile(m, p)
	}
}

// tile writes the GEMM tile of m rows and two vectors of columns:
//
//	C[m, NR] = A[m, k] · B[k, NR] + bias[NR] (if given) + C[m, NR] (if acc)
//
// All sums stay in registers. A step loads a row of the panel B, broadcasts one element of each row of A, and multiplies
// each by all: m + 2 loads to 2m multiply-adds. A is read where it lies, with four rows to a pointer, as far as
// addressing reaches with the strides lda, 2·lda and 3·lda.
//
// Meanwhile it prefetches, into the second-level cache, share bytes for each row of B of what lies next bytes after b. A tile
// uses 9 to 11 bytes of B a cycle, more than a core gets from memory: without this, a panel from there cost a Zen 3 the time
// of two tiles. A prefetch never faults.
func (s *isa) tile(m int, how product) {
	s.function(fmt.Sprintf("%s%d", how.name, m), fmt.Sprintf(
		"func(k int, a *%s, lda int, b *%s, c *float32, ldc int, bias *float32, acc bool, next, share int)", how.a, how.b))
	free := s.vecs[m*columns:]
	k := Load(Param("k"), RCX)
	b := Load(Param("b"), RDI)
	lda := Load(Param("lda"), R8)
	shift := map[int]uint64{2: 1, 4: 2}[how.size]
	SHLQ(Imm(shift), lda)
	lda3 := R9
	if m > 3 {
		LEAQ(Mem{Base: lda, Index: lda, Scale: 2}, lda3)
	}
	a := []Register{Load(Param("a"), RSI), R10, R11, R12}[:(m+3)/4]
	for i := 1; i < len(a); i++ {
		LEAQ(Mem{Base: a[i-1], Index: lda, Scale: 4}, a[i])
	}
	t := &tile{
		isa: s, m: m, row: free[:columns], spread: free[columns:min(columns+2, len(free))],
		word: func(u, j int) Mem { return Mem{Base: b, Disp: s.size() * (u*columns + j)} },
		element: func(i, offset int) Mem {
			e := Mem{Base: a[i/4], Disp: offset}
			switch i % 4 {
			case 1:
				e.Index, e.Scale = lda, 1
			case 2:
				e.Index, e.Scale = lda, 2
			case 3:
				e.Index, e.Scale = lda3, 1
			}
			return e
		},
		sum: func(i, j int) VecPhysical { return s.vecs[i*columns+j] },
	}

	Comment("Sums start from the bias, or 0.")
	bias := Load(Param("bias"), RAX)
	TESTQ(bias, bias)
	JZ(LabelRef("zero"))
	for j := range columns {
		VMOVUPS(Mem{Base: bias, Disp: s.size() * j}, t.sum(0, j))
	}
	for i := 1; i < m; i++ {
		for j := range columns {
			VMOVAPS(t.sum(0, j), t.sum(i, j))
		}
	}
	JMP(LabelRef("start"))
	Label("zero")
	for i := range m {
		for j := range columns {
			VXORPS(t.sum(i, j), t.sum(i, j), t.sum(i, j))
		}
	}
	Label("start")

	Comment("A line is prefetched for every 256 bytes of B or less: four tiles fetch a whole panel.")
	rowSize := columns * s.size()
	apart := min(how.unroll, 256/rowSize) // steps from a prefetch to the next
	fetch, share := Load(Param("next"), R13), Load(Param("share"), R15)
	ADDQ(b, fetch)
	IMUL3Q(imm(apart), share, share)
	round := func(steps int) {
		for u := range steps {
			how.step(t, u)
			if (u+1)%apart == 0 {
				PREFETCHT1(Mem{Base: fetch})
				ADDQ(share, fetch)
			}
		}
		ADDQ(imm(rowSize*steps), b)
		for _, p := range a {
			ADDQ(imm(how.depth*how.size*steps), p)
		}
	}
	odd := RBX
	if how.depth == 2 {
		MOVQ(k, odd)
		ANDQ(Imm(1), odd)
		SHRQ(Imm(1), k)
	}
	if how.unroll > 1 {
		SUBQ(imm(how.unroll), k)
		JLT(LabelRef("rest"))
		Label("loop")
		round(how.unroll)
		SUBQ(imm(how.unroll), k)
		JGE(LabelRef("loop"))
		Label("rest")
		ADDQ(imm(how.unroll), k)
	} else {
		TESTQ(k, k)
	}
	JZ(LabelRef("whole"))
	Label("single")
	round(1)
	DECQ(k)
	JNZ(LabelRef("single"))
	Label("whole")
	if how.depth == 2 {
		TESTQ(odd, odd)
		JZ(LabelRef("summed"))
		how.rest(t)
		Label("summed")
	}

	c := Load(Param("c"), RDX)
	ldc := Load(Param("ldc"), RBX)
	SHLQ(Imm(2), ldc)
	acc := Load(Param("acc"), RAX)
	TESTQ(acc, acc)
	JZ(LabelRef("store"))
	MOVQ(c, RSI)
	for i := range m {
		for j := range columns {
			VADDPS(Mem{Base: RSI, Disp: s.size() * j}, t.sum(i, j), t.sum(i, j))
		}
		if i < m-1 {
			ADDQ(ldc, RSI)
		}
	}
	Label("store")
	for i := range m {
		for j := range columns {
			VMOVUPS(t.sum(i, j), Mem{Base: c, Disp: s.size() * j})
		}
		if i < m-1 {
			ADDQ(ldc, c)
		}
	}
	s.ret()
}
