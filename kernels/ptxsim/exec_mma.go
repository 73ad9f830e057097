package ptxsim

import (
	"math"

	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// A matrix multiplication spreads its matrices over the warp in a pattern that is the same for all types. Lane l is
// member t = l%4 of group g = l/4; a 32-bit register holds e elements, neighbours in k:
//
//	A [M,K]  register r, element i: row g + 8·(r%2), column e·t + i + 4e·(r/2)
//	B [K,N]  register r, element i: row e·t + i + 4e·r, column g
//	C [M,N]  register r, one element: row g + 8·(r/2), column 2t + r%2
//
// (PTX ISA, "Matrix Fragments for mma.m16n8k16" and its sisters.) M is 8 where A has a single register.
func fragmentA(l, r, i, e int) (row, col int) { return l/4 + 8*(r%2), e*(l%4) + i + 4*e*(r/2) }
func fragmentB(l, r, i, e int) (row, col int) { return e*(l%4) + i + 4*e*r, l / 4 }
func fragmentC(l, r int) (row, col int)       { return l/4 + 8*(r/2), 2*(l%4) + r%2 }

// maxK is the largest K of a shape.
const maxK = 32

// An mmaLayout is a form of mma.sync.
type mmaLayout struct {
	m, n, k  int
	elements int // a register's
	integer  bool
	decode   func(reg uint32, element int) float32 // of an element of A or B
	tf32     bool
}

var mmaTypes = map[ptx.Type]mmaLayout{
	ptx.TypeF16:  {elements: 2, decode: func(x uint32, i int) float32 { return tensor.FromF16(uint16(x >> (16 * i))) }},
	ptx.TypeBF16: {elements: 2, decode: func(x uint32, i int) float32 { return tensor.FromBF16(uint16(x >> (16 * i))) }},
	ptx.TypeTF32: {elements: 1, decode: func(x uint32, _ int) float32 { return math.Float32frombits(x) }, tf32: true},
	ptx.TypeS8:   {elements: 4, decode: func(x uint32, i int) float32 { return float32(int8(x >> (8 * i))) }, integer: true},
}

func buildMMA(_ *loader, i *inst, op *ptx.Op) error {
	layout, ok := mmaTypes[op.Types[1]]
	if !ok {
		return errUnknown
	}
	layout.m, layout.n, layout.k = op.Shape.M, op.Shape.N, op.Shape.K
	i.step = stepAligned
	i.run = func(w *warp, i *inst, _ uint32) { w.multiply(i, &layout) }
	return nil
}

func (w *warp) multiply(i *inst, lay *mmaLayout) {
	w.stats.MMA++
	regsA := lay.m * lay.k / 32 / lay.elements
	regsB := lay.n * lay.k / 32 / lay.elements
	var a [16][maxK]float32
	var b [8][maxK]float32 // columns of B
	for r := range regsA {
		x := &w.reg[i.args[r]]
		for l := range 32 {
			w.checkTF32(lay, l, x[l])
			for e := range lay.elements {
				row, col := fragmentA(l, r, e, lay.elements)
				a[row][col] = lay.decode(uint32(x[l]), e)
			}
		}
	}
	for r := range regsB {
		x := &w.reg[i.args[regsA+r]]
		for l := range 32 {
			w.checkTF32(lay, l, x[l])
			for e := range lay.elements {
				row, col := fragmentB(l, r, e, lay.elements)
				b[col][row] = lay.decode(uint32(x[l]), e)
			}
		}
	}
	for r := range lay.m * lay.n / 32 {
		c, d := w.reg[i.args[regsA+regsB+r]], &w.reg[i.dst[r]]
		for l := range 32 {
			row, col := fragmentC(l, r)
			d[l] = w.dot(lay, uint32(c[l]), a[row][:lay.k], b[col][:lay.k])
		}
	}
}

// dot returns the bits of c plus the products of x and y.
func (w *warp) dot(lay *mmaLayout, c uint32, x, y []float32) uint64 {
	if lay.integer {
		sum := int32(c)
		for k := range x {
			sum += int32(x[k]) * int32(y[k])
		}
		return uint64(uint32(sum))
	}
	if w.Accumulation == Aligned {
		return fbits(alignedDot(math.Float32frombits(c), x, y))
	}
	sum := math.Float32frombits(c)
	y = y[:len(x)]
	for k := range x {
		sum += float32(x[k] * y[k]) // exact: at most 22 bits
	}
	return fbits(sum)
}

// alignedDot is c plus the products of x and y in the model Aligned.
func alignedDot(c float32, x, y []float32) float32 {
	const kept = 23 + 2 // bits behind the point of the largest term
	var buffer [maxK + 1]float64
	terms := buffer[:len(x)+1]
	y = y[:len(x)]
	terms[0] = float64(c)
	for k := range x {
		terms[k+1] = float64(x[k]) * float64(y[k]) // exact and normal
	}
	var most uint64 // biased exponent
	for _, t := range terms {
		most = max(most, math.Float64bits(t)>>52&0x7ff)
	}
	if most == 0 || most == 0x7ff { // zeros, or one that is not finite
		return plainSum(terms)
	}
	scale := math.Float64frombits((2*1023 + kept - most) << 52) // 2^kept over the largest term's power of two
	var sum int64
	for _, t := range terms {
		sum += int64(t * scale)
	}
	return truncate32(float64(sum) / scale)
}

func plainSum(terms []float64) float32 {
	sum := terms[0]
	for _, t := range terms[1:] {
		sum += t
	}
	return float32(sum)
}

// truncate32 rounds towards zero.
func truncate32(x float64) float32 {
	y := float32(x)
	if math.Abs(float64(y)) > math.Abs(x) {
		y = math.Float32frombits(math.Float32bits(y) - 1)
	}
	return y
}

func (w *warp) checkTF32(lay *mmaLayout, lane int, x uint64) {
	if lay.tf32 && x&tf32Dropped != 0 && x&^tf32Dropped&0x7fffffff <= 0x7f800000 {
		w.fail(lane, Undefined, "operand 0f%08X has bits below tf32's: convert it with cvt.rna.tf32.f32", x)
	}
}

// buildLdMatrix loads 8x8 matrices of 16-bit elements from shared memory. The addresses of the rows of matrix j are in
// lanes 8j to 8j+7, 16 bytes each; lane l gets elements 2(l%4) and 2(l%4)+1 of row l/4, with .trans of column l/4.
func buildLdMatrix(d *loader, i *inst, op *ptx.Op) error {
	d.access(i, ptx.SpaceShared, 16)
	i.step = stepAligned
	trans := op.Mods.Has(ptx.ModTrans)
	i.run = func(w *warp, i *inst, _ uint32) {
		base, offset := &w.reg[i.addr[0].reg], i.addr[0].offset
		w.stats.countBanks(base, offset, 16, allLanes>>(32-8*len(i.dst)))
		var rows [4][8][]byte
		for l := range 8 * len(i.dst) {
			rows[l/8][l%8] = w.readShared(l, base[l]+offset, 16)
		}
		for j, r := range i.dst {
			d := &w.reg[r]
			for l := range d {
				row, col := l/4, 2*(l%4)
				if trans {
					d[l] = getElement(rows[j][col][2*row:], 2, false) | getElement(rows[j][col+1][2*row:], 2, false)<<16
				} else {
					d[l] = getElement(rows[j][row][2*col:], 4, false)
				}
			}
		}
	}
	return nil
}
