package ptxsim

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// An mmaCase is a form of mma.sync with the fragments as the manual's figures give them, one by one.
type mmaCase struct {
	name    string
	m, k    int
	perReg  int
	integer bool
	a, b    func(g, t, i int) (row, col int) // of element i, counted over the registers
	decode  func(bits uint32) float64
	encode  func(x float64) uint32
}

var (
	halfCode  = mmaCase{decode: func(b uint32) float64 { return float64(tensor.FromF16(uint16(b))) }, encode: func(x float64) uint32 { return uint32(tensor.ToF16(x)) }}
	brainCode = mmaCase{decode: func(b uint32) float64 { return float64(tensor.FromBF16(uint16(b))) }, encode: func(x float64) uint32 { return uint32(tensor.ToBF16(x)) }}
	tf32Code  = mmaCase{decode: func(b uint32) float64 { return float64(math.Float32frombits(b)) }, encode: func(x float64) uint32 { return math.Float32bits(float32(x)) &^ 0x1fff }}
	byteCode  = mmaCase{decode: func(b uint32) float64 { return float64(int8(b)) }, encode: func(x float64) uint32 { return uint32(uint8(int8(40 * x))) }, integer: true}
)

func mmaCases() []mmaCase {
	form := func(c mmaCase, name string, m, k, perReg int, a, b func(g, t, i int) (int, int)) mmaCase {
		c.name, c.m, c.k, c.perReg, c.a, c.b = "mma.sync.aligned."+name, m, k, perReg, a, b
		return c
	}
	// m16n8k16: a0..a7, b0..b3.
	a16 := func(g, t, i int) (int, int) {
		row, col := g, 2*t+i&1
		if i == 2 || i == 3 || i == 6 || i == 7 {
			row += 8
		}
		if i >= 4 {
			col += 8
		}
		return row, col
	}
	b16 := func(g, t, i int) (int, int) {
		if i < 2 {
			return 2*t + i&1, g
		}
		return 2*t + i&1 + 8, g
	}
	a32 := func(g, t, i int) (int, int) { // m16n8k32: a0..a15
		row, col := g, 4*t+i&3
		if i/4 == 1 || i/4 == 3 {
			row += 8
		}
		if i >= 8 {
			col += 16
		}
		return row, col
	}
	b32 := func(g, t, i int) (int, int) {
		if i < 4 {
			return 4*t + i&3, g
		}
		return 4*t + i&3 + 16, g
	}
	aTF32 := func(g, t, i int) (int, int) { return [4]int{g, g + 8, g, g + 8}[i], [4]int{t, t, t + 4, t + 4}[i] }
	bTF32 := func(g, t, i int) (int, int) { return t + 4*i, g }
	return []mmaCase{
		form(halfCode, "m16n8k8.row.col.f32.f16.f16.f32", 16, 8, 2, a16, b16),
		form(tf32Code, "m16n8k8.row.col.f32.tf32.tf32.f32", 16, 8, 1, aTF32, bTF32),
		form(halfCode, "m16n8k16.row.col.f32.f16.f16.f32", 16, 16, 2, a16, b16),
		form(brainCode, "m16n8k16.row.col.f32.bf16.bf16.f32", 16, 16, 2, a16, b16),
		form(byteCode, "m8n8k16.row.col.s32.s8.s8.s32", 8, 16, 4, func(g, t, i int) (int, int) { return g, 4*t + i }, func(g, t, i int) (int, int) { return 4*t + i, g }),
		form(byteCode, "m16n8k32.row.col.s32.s8.s8.s32", 16, 32, 4, a32, b32),
	}
}

func TestMMA(t *testing.T) {
	cases := mmaCases()
	forms := 0
	for _, op := range ptx.Ops() {
		if op.Class == ptx.ClassMMA {
			forms++
		}
	}
	if forms != len(cases) {
		t.Errorf("%d forms in the table, %d here", forms, len(cases))
	}
	for _, c := range cases {
		for _, model := range []Accumulation{Sequential, Aligned} {
			testMMA(t, c, model)
		}
	}
}

func testMMA(t *testing.T, c mmaCase, model Accumulation) {
	random := rand.New(rand.NewPCG(3, uint64(c.k)))
	elementsA, elementsB, regsC := c.m*c.k/32, 8*c.k/32, c.m*8/32
	regsA, regsB := elementsA/c.perReg, elementsB/c.perReg
	var a, b [32][32]float64 // [row][k] and [k][col]
	var acc [16][8]float64
	in := make([]uint32, 32*(regsA+regsB+regsC)) // by register and lane
	for lane := range 32 {
		g, th := lane/4, lane%4
		for i := range elementsA {
			code := c.encode(random.NormFloat64())
			row, col := c.a(g, th, i)
			a[row][col] = c.decode(code)
			in[i/c.perReg*32+lane] |= code << (32 / c.perReg * (i % c.perReg))
		}
		for i := range elementsB {
			code := c.encode(random.NormFloat64())
			row, col := c.b(g, th, i)
			b[row][col] = c.decode(code)
			in[(regsA+i/c.perReg)*32+lane] |= code << (32 / c.perReg * (i % c.perReg))
		}
		for i := range regsC {
			x := float32(math.Round(random.NormFloat64() * 1000))
			acc[g+8*(i/2)][2*th+i%2] = float64(x)
			code := math.Float32bits(x)
			if c.integer {
				code = uint32(int32(x))
			}
			in[(regsA+regsB+i)*32+lane] = code
		}
	}
	// Loads every register of the three fragments, multiplies and stores the result's.
	var body strings.Builder
	register := func(n int) string {
		if !c.integer && n >= regsA+regsB {
			return fmt.Sprintf("%%f%d", n)
		}
		return fmt.Sprintf("%%r%d", 10+n)
	}
	list := func(from, n int) string {
		var names []string
		for i := range n {
			names = append(names, register(from+i))
		}
		return "{" + strings.Join(names, ", ") + "}"
	}
	for n := range regsA + regsB + regsC {
		fmt.Fprintf(&body, "ld.global.b32 %s, [%%rd3+%d];\n", register(n), 128*n)
	}
	first := regsA + regsB
	fmt.Fprintf(&body, "%s %s, %s, %s, %s;\n", c.name, list(first+regsC, regsC), list(0, regsA), list(regsA, regsB), list(first, regsC))
	for n := range regsC {
		fmt.Fprintf(&body, "st.global.b32 [%%rd4+%d], %s;\n", 128*n, register(first+regsC+n))
	}
	r := newRig(t, "", body.String(), 32, len(in))
	r.l.Accumulation = model
	p := make([]byte, 0, 4*len(in))
	for _, x := range in {
		p = binary.LittleEndian.AppendUint32(p, x)
	}
	if err := r.mem.Write(r.a, p); err != nil {
		t.Fatal(err)
	}
	stats, err := r.run()
	if err != nil {
		t.Fatal(err)
	}
	if stats.MMA != 1 {
		t.Errorf("%d multiplications counted", stats.MMA)
	}
	for n, x := range r.words(t, 32*regsC) {
		lane, i := n%32, n/32
		row, col := lane/4+8*(i/2), 2*(lane%4)+i%2
		want, size := acc[row][col], math.Abs(acc[row][col])
		for k := range c.k {
			want += a[row][k] * b[k][col]
			size += math.Abs(a[row][k] * b[k][col])
		}
		got, tolerance := float64(math.Float32frombits(x)), size*float64(c.k+2)*0x1p-24
		if c.integer {
			got, tolerance = float64(int32(x)), 0
		}
		if !(math.Abs(got-want) <= tolerance) {
			t.Fatalf("%s, model %d: [%d,%d] is %v, want %v within %v", c.name, model, row, col, got, want, tolerance)
		}
	}
}

// The models differ where it matters: Sequential rounds after each product, Aligned drops what is far below the largest.
func TestAccumulationModels(t *testing.T) {
	dot := func(m Accumulation, c float32, x ...float32) float32 {
		w := &warp{block: &block{grid: &grid{Launch: &Launch{Accumulation: m}}}}
		ones := make([]float32, len(x))
		for i := range ones {
			ones[i] = 1
		}
		lay := mmaTypes[ptx.TypeF16]
		return math.Float32frombits(uint32(w.dot(&lay, math.Float32bits(c), x, ones)))
	}
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		c                   float32
		x                   []float32
		sequential, aligned float32
	}{
		{1, []float32{0x1p-24, 0x1p-24, 0x1p-24, 0x1p-24}, 1, 1 + 0x1p-22}, // ties to even, one after the other
		{1, []float32{0x1p-26, 0x1p-26, 0x1p-26, 0x1p-26}, 1, 1},           // below the bits kept
		{1, []float32{0x1p-25, 0x1p-25, 0x1p-25}, 1, 1},                    // kept, their sum truncated
		{0, []float32{0x1p15, 0x1p-14, -0x1p15}, 0, 0},                     // lost in both
		{-0x1p12, []float32{0x1p12, 0x1p-13}, 0x1p-13, 0x1p-13},            // 2^-25 of the largest is kept
		{-0x1p12, []float32{0x1p-14, 0x1p12}, 0, 0},                        // 2^-26 is not
		{0, []float32{1, 2, 3, 4}, 10, 10},
		{0, []float32{0, 0}, 0, 0},
		{1, []float32{inf}, inf, inf},
	} {
		if got := dot(Sequential, c.c, c.x...); got != c.sequential {
			t.Errorf("sequential %v + %v = %v, want %v", c.c, c.x, got, c.sequential)
		}
		if got := dot(Aligned, c.c, c.x...); got != c.aligned {
			t.Errorf("aligned %v + %v = %v, want %v", c.c, c.x, got, c.aligned)
		}
	}
	for _, m := range []Accumulation{Sequential, Aligned} {
		if got := dot(m, inf, -inf); got == got {
			t.Errorf("inf-inf = %v", got)
		}
		if got := dot(m, 1, nan); got == got {
			t.Errorf("1+NaN = %v", got)
		}
	}
}

func TestLdMatrix(t *testing.T) {
	// Element (i,j) of matrix m is 64m+8i+j; its rows are 16 bytes, in reverse order of address.
	for _, x := range []int{1, 2, 4} {
		for _, trans := range []string{"", ".trans"} {
			var body strings.Builder
			body.WriteString("mov.u32 %r1, s;\n")
			for n := range 8 { // 32 rows of 8 elements: thread l fills row 31-l, the addresses of rows
				fmt.Fprintf(&body, "mad.lo.u32 %%r2, %%r0, 8, %d;\ncvt.u16.u32 %%h0, %%r2;\nsub.u32 %%r3, 31, %%r0;\nmad.lo.u32 %%r3, %%r3, 16, %%r1;\nst.shared.b16 [%%r3+%d], %%h0;\n", n, 2*n)
			}
			var dst []string
			for n := range x {
				dst = append(dst, fmt.Sprintf("%%r%d", 20+n))
			}
			fmt.Fprintf(&body, "bar.warp.sync -1;\nldmatrix.sync.aligned.m8n8.x%d%s.shared.b16 {%s}, [%%r3];\n", x, trans, strings.Join(dst, ", "))
			for n, r := range dst {
				fmt.Fprintf(&body, "st.global.b32 [%%rd4+%d], %s;\n", 128*n, r)
			}
			shared := ".shared .align 16 .b8 s[512];"
			r := newRig(t, shared, body.String(), 32, 32*x)
			if _, err := r.run(); err != nil {
				t.Fatal(err)
			}
			for n, got := range r.words(t, 32*x) {
				m, lane := n/32, n%32
				i, j := lane/4, 2*(lane%4)
				want := uint32(64*m+8*i+j) | uint32(64*m+8*i+j+1)<<16
				if trans != "" {
					want = uint32(64*m+8*j+i) | uint32(64*m+8*(j+1)+i)<<16
				}
				if got != want {
					t.Fatalf("x%d%s: matrix %d lane %d has %#x, want %#x", x, trans, m, lane, got, want)
				}
			}
		}
	}
}
