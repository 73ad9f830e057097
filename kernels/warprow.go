package kernels

import (
	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// Kernels that reduce rows: how a warp holds a row.

const (
	rowWarps  = 4  // of a block, each with a row
	rowBlocks = 5  // of a multiprocessor, at least, for layernorm and l2norm: 640 threads of up to 96 registers
	laneHeld  = 64 // elements that a lane holds in registers, at most
	// maxHeld is the longest row that a warp holds in registers.
	maxHeld = laneHeld * warpSize
)

// A warpRow is a row spread over a warp: in vectors of up to 16 bytes, the first 32 to a lane each, then the next 32:
//
//	vector    0 1 2 … 31   32 33 … 63   64 … n-1
//	lane      0 1 2 … 31    0  1 … 31    0 … (n-1) mod 32
//
// In a turn that is not full, the last one, some lanes have nothing.
type warpRow struct {
	cols, vector int
	column       ptx.B32  // of the lane's first vector
	last         ptx.Pred // the lane has a vector in the last turn
}

// rowOf spreads a row of cols elements of up to size bytes over the warp.
func rowOf(f *ptx.Func, s Spec, cols, size int) *warpRow {
	r := &warpRow{cols: cols, vector: s.vectorOf(cols, size)}
	lane := f.AndB32(f.Special(ptx.TidX), ptx.Int(warpSize-1))
	r.column = f.MulLoU32(lane, ptx.Int(r.vector))
	if !r.full() {
		r.last = f.SetpU32(ptx.LT, lane, ptx.Int(cols/r.vector%warpSize))
	}
	return r
}

// turns is how many vectors lane 0 has.
func (r *warpRow) turns() int { return (r.cols/r.vector + warpSize - 1) / warpSize }

// step is the number of columns from a vector of a lane to its next.
func (r *warpRow) step() int { return warpSize * r.vector }

// full reports whether every lane has a vector in the last turn.
func (r *warpRow) full() bool { return r.cols%r.step() == 0 }

// launchRows is the geometry for a number of rows, a warp each.
func launchRows(rows int) Geometry {
	return Geometry{Grid: [3]int{(rows + rowWarps - 1) / rowWarps, 1, 1}, Block: [3]int{rowWarps * warpSize, 1, 1}}
}

// warpNumber is the number of the warp, of those launched by launchRows, of which blocks shall run on a multiprocessor.
// The warps from n on end here.
func warpNumber(f *ptx.Func, blocks int, n ptx.B32) ptx.B32 {
	f.MaxNTID(rowWarps*warpSize, 1, 1)
	f.MinNCTAPerSM(blocks)
	w := f.MadLoU32(f.Special(ptx.CTAIdX), ptx.Int(rowWarps), f.ShrU32(f.Special(ptx.TidX), ptx.Int(5)))
	f.When(f.SetpU32(ptx.GE, w, n)).Ret()
	return w
}

// lane is the address of the lane's first element of a row of type t.
func (r *warpRow) lane(f *ptx.Func, t tensor.DType, row ptx.B64) ptx.B64 {
	return f.MadWideU32(r.column, ptx.Int(t.Size()), row)
}

// load reads the lane's part of a row; what the lane does not have is zero.
func (r *warpRow) load(f *ptx.Func, t tensor.DType, row ptx.B64, cache ...ptx.Cache) []ptx.F32 {
	base := r.lane(f, t, row)
	var x []ptx.F32
	for turn := range r.turns() {
		x = append(x, r.loadTurn(f, t, base, turn, cache...)...)
	}
	return x
}

// loadTurn reads one vector; base is the address of the lane's first.
func (r *warpRow) loadTurn(f *ptx.Func, t tensor.DType, base ptx.B64, turn int, cache ...ptx.Cache) []ptx.F32 {
	vector := func() []ptx.F32 { return load(f, t, base, turn*r.step()*t.Size(), r.vector, cache...) }
	if turn < r.turns()-1 || r.full() {
		return vector()
	}
	x := make([]ptx.F32, r.vector)
	for i := range x {
		x[i] = f.MovF32(ptx.Float(0))
	}
	f.If(r.last, func() {
		for i, v := range vector() {
			ptx.Into(f, x[i]).MovF32(v)
		}
	})
	return x
}

// store writes the lane's part of a row.
func (r *warpRow) store(f *ptx.Func, t tensor.DType, row ptx.B64, x []ptx.F32) {
	base := r.lane(f, t, row)
	for turn := range r.turns() {
		vector := func() { store(f, t, base, turn*r.step()*t.Size(), x[turn*r.vector:][:r.vector]) }
		if turn < r.turns()-1 || r.full() {
			vector()
		} else {
			f.If(r.last, vector)
		}
	}
}

// loadAt reads the vector at a column.
func (r *warpRow) loadAt(f *ptx.Func, t tensor.DType, row ptx.B64, column ptx.B32, cache ...ptx.Cache) []ptx.F32 {
	return load(f, t, f.MadWideU32(column, ptx.Int(t.Size()), row), 0, r.vector, cache...)
}

// storeAt writes the vector at a column.
func (r *warpRow) storeAt(f *ptx.Func, t tensor.DType, row ptx.B64, column ptx.B32, x []ptx.F32) {
	store(f, t, f.MadWideU32(column, ptx.Int(t.Size()), row), 0, x)
}

// loop runs body for each vector of a row that is too long for registers, with the vector's column.
func (r *warpRow) loop(f *ptx.Func, body func(column ptx.B32)) {
	f.For(r.column, ptx.Int(r.cols), ptx.Int(r.step()), body)
}

// clear sets to zero what the lane does not have.
func (r *warpRow) clear(f *ptx.Func, x []ptx.F32) {
	if r.full() {
		return
	}
	for i := len(x) - r.vector; i < len(x); i++ {
		x[i] = f.SelpF32(x[i], ptx.Float(0), r.last)
	}
}

// sumRow adds up the elements of a row.
func sumRow(f *ptx.Func, x []ptx.F32) ptx.F32 {
	return reduceRow(f, x, func(sum, x ptx.F32) ptx.F32 { return f.AddRnF32(sum, x) })
}

// sumSquares adds up the squares of the elements of a row.
func sumSquares(f *ptx.Func, x []ptx.F32) ptx.F32 {
	return reduceRow(f, x, func(sum, x ptx.F32) ptx.F32 { return f.FmaRnF32(x, x, sum) })
}

// reduceRow adds up terms in each lane, in four chains, and then over the lanes.
func reduceRow(f *ptx.Func, x []ptx.F32, term func(sum, x ptx.F32) ptx.F32) ptx.F32 {
	chains := make([]ptx.F32, min(4, len(x)))
	for i := range chains {
		chains[i] = ptx.Float(0)
	}
	for i, v := range x {
		chains[i%len(chains)] = term(chains[i%len(chains)], v)
	}
	sum := chains[0]
	for _, c := range chains[1:] {
		sum = f.AddRnF32(sum, c)
	}
	return sumLanes(f, sum)
}

// sumLanes adds up a value of every lane.
func sumLanes(f *ptx.Func, x ptx.F32) ptx.F32 {
	return reduceWarp(f, x, func(a, b ptx.F32) ptx.F32 { return f.AddRnF32(a, b) })
}
