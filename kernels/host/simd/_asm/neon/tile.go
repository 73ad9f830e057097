package main

import "fmt"

// The vector registers of a tile: 24 sums, 6 for A, 2 for the panel. Every register has one task, whatever the rows.
const (
	rows    = 6 // of the largest tile
	columns = 4 // vectors of 4 across it

	sum   = 0              // first of rows·columns
	a0    = rows * columns // first of rows: four elements of each row of A, or the last one or two
	panel = a0 + rows      // first of two
)

// A product is a way to multiply: what the elements of the panel are.
type product struct {
	name  string // of the routines
	b     string // Go type of the elements of B
	depth int    // elements of k that share a word of B, the first of them in its low half
	ahead int    // vectors of B that are loaded before the one in use has been multiplied
}

var (
	fp32 = product{name: "Tile", b: "float32", depth: 1, ahead: 1}
	// mixed multiplies by bfloat16, which is the upper half of a float32. The last register masks the upper halves, so
	// that the panel has one.
	mixed = product{name: "TileMixed", b: "uint16", depth: 2, ahead: 0}
)

// A term is one vector of the panel in its use: it meets one lane of every row of A.
type term struct {
	register, offset, column, lane int
	high                           bool // half of its words, where two elements of k share one
}

// terms are those of n elements of k, in the order in which sums take them: of two that share a word, the second first.
func (p product) terms(n int) []term {
	var list []term
	for row := 0; row*p.depth < n; row++ {
		for half := min(p.depth, n-row*p.depth) - 1; half >= 0; half-- {
			for j := range columns {
				list = append(list, term{panel + j%(1+p.ahead), 16 * (row*columns + j), j, row*p.depth + half, half > 0})
			}
		}
	}
	return list
}

// tiles writes the GEMM tiles.
func (a *asm) tiles(p product) {
	for m := 1; m <= rows; m++ {
		a.tile(m, p)
	}
}

// tile writes the GEMM tile of m rows and four vectors of columns:
//
//	C[m, NR] = A[m, k] · B[k, NR] + bias[NR] (if given) + C[m, NR] (if acc)
//
// All sums stay in registers. Four elements of k are a block: one load for each row of A, which is read where it lies,
// and four for each row of the panel. FMLA by element takes its factor from a lane, so that nothing is broadcast.
func (a *asm) tile(m int, p product) {
	a.function("neon"+p.name+fmt.Sprint(m), fmt.Sprintf(
		"(k int, a *float32, lda int, b *%s, c *float32, ldc int, bias *float32, acc bool, next, share int)", p.b), 80)
	const k, b, c, ldc, row0, t = "R0", "R1", "R2", "R3", 4, "R10"
	a.op("MOVD k+0(FP), %s", k)
	a.op("MOVD a+8(FP), R%d", row0)
	a.op("MOVD lda+16(FP), %s", t)
	a.op("MOVD b+24(FP), %s", b)
	for i := 1; i < m; i++ {
		a.op("ADD %s<<2, R%d, R%d", t, row0+i-1, row0+i)
	}
	if p.depth == 2 {
		a.op("MOVD $0xffff0000, %s", t)
		a.op("VDUP %s, V%d.S4", t, panel+1)
	}

	a.comment("Sums start from the bias, or 0.")
	a.op("MOVD bias+48(FP), %s", t)
	a.op("CBZ %s, zero", t)
	a.op("VLD1 (%s), %s", t, vectors(sum))
	for i := columns; i < m*columns; i++ {
		a.op("VMOV V%d.B16, V%d.B16", sum+i%columns, sum+i)
	}
	a.op("B start")
	a.label("zero")
	for i := range m * columns {
		a.op("VEOR V%[1]d.B16, V%[1]d.B16, V%[1]d.B16", sum+i)
	}
	a.label("start")

	block := func(n int) {
		load := map[int]string{4: "FMOVQ.P 16", 2: "FMOVD.P 8", 1: "FMOVS.P 4"}[n]
		for i := range m {
			a.op("%s(R%d), F%d", load, row0+i, a0+i)
		}
		fetch := func(v term) {
			a.op("FMOVQ %d(%s), F%d", v.offset, b, v.register)
			switch {
			case v.high:
				a.op("VAND V%d.B16, V%[2]d.B16, V%[2]d.B16", panel+1, v.register)
			case p.depth == 2:
				a.op("VSHL $16, V%[1]d.S4, V%[1]d.S4", v.register)
			}
		}
		terms := p.terms(n)
		for _, v := range terms[:p.ahead] {
			fetch(v)
		}
		for i, v := range terms {
			if i+p.ahead < len(terms) {
				fetch(terms[i+p.ahead])
			}
			for r := range m {
				a.fmla(a0+r, v.lane, v.register, sum+r*columns+v.column)
			}
		}
		a.op("ADD $%d, %s", terms[len(terms)-1].offset+16, b)
	}
	a.op("SUBS $4, %s", k)
	a.op("BLT rest")
	a.label("loop")
	block(4)
	a.op("SUBS $4, %s", k)
	a.op("BGE loop")
	a.label("rest")
	a.op("TBZ $1, %s, last", k)
	block(2)
	a.label("last")
	a.op("TBZ $0, %s, summed", k)
	block(1)
	a.label("summed")

	a.op("MOVD c+32(FP), %s", c)
	a.op("MOVD ldc+40(FP), %s", ldc)
	a.op("LSL $2, %s", ldc)
	a.op("MOVBU acc+56(FP), %s", t)
	a.op("CBZ %s, store", t)
	a.op("MOVD %s, %s", c, t)
	for i := range m {
		a.op("VLD1.P (%s)(%s), %s", t, ldc, vectors(a0))
		for j := range columns {
			s := sum + i*columns + j
			a.fadd(a0+j, s, s)
		}
	}
	a.label("store")
	for i := range m {
		a.op("VST1.P %s, (%s)(%s)", vectors(sum+i*columns), c, ldc)
	}
	a.op("RET")
}

// vectors is the list of the vectors across a tile, in registers from v on.
func vectors(v int) string {
	return fmt.Sprintf("[V%d.S4, V%d.S4, V%d.S4, V%d.S4]", v, v+1, v+2, v+3)
}

// peak writes the loop of register-only multiply-adds that gives the roof, with as many sums as the tile.
func (a *asm) peak() {
	const sums, lanes = rows * columns, 4
	a.function("neonPeak", "(n int) (flops int)", 16)
	a.op("MOVD n+0(FP), R0")
	a.op("MOVD $%d, R1", sums*lanes*2)
	a.op("MUL R0, R1, R1")
	a.op("MOVD R1, flops+8(FP)")
	for i := range sums + 1 {
		a.op("VEOR V%[1]d.B16, V%[1]d.B16, V%[1]d.B16", i)
	}
	a.label("loop")
	for i := range sums {
		a.op("VFMLA V%[1]d.S4, V%[1]d.S4, V%[2]d.S4", sums, i)
	}
	a.op("SUBS $1, R0")
	a.op("BNE loop")
	a.op("RET")
}
