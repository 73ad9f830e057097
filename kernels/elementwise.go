package kernels

import (
	"fmt"
	"math"

	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// Kernels whose elements do not depend on each other: how threads are laid over a matrix.

const (
	elementThreads = 256 // of a block
	threadElements = 16  // at most
	elementBlocks  = 4   // of a multiprocessor, at least: 1024 threads of up to 64 registers
	maxVectorBytes = 16
	maxThreads     = math.MaxUint32 - elementThreads // thread numbers are 32 bits
)

// vectorOf is the most elements, a power of two, that may be accessed at once in rows of a multiple of n elements, with
// elements of up to size bytes.
func (s Spec) vectorOf(n, size int) int {
	v := 1
	for 2*v <= int(s.Vector) && n%(2*v) == 0 && 2*v*size <= maxVectorBytes {
		v *= 2
	}
	return v
}

// A tiling gives each thread up to 16 elements of one row. The row is cut into vectors of up to 16 bytes, and these into
// runs of the same length; a thread has the vector at its own place in each run:
//
//	columns  |    run 0    |    run 1    | … |
//	thread   | 0 1 2 … n-1 | 0 1 2 … n-1 | … |
//
// Neighbouring threads access neighbouring vectors, each thread has as many accesses under way as there are runs, and
// they are constants apart. The n threads of row 1 follow those of row 0.
type tiling struct {
	vector  int // elements of a vector
	runs    int // vectors of a thread
	threads int // of a row
}

// tile lays threads over rows of cols elements of up to size bytes.
func (s Spec) tile(cols, size int) tiling {
	t := tiling{vector: s.vectorOf(cols, size)}
	vectors := cols / t.vector
	for t.runs = min(vectors, threadElements/t.vector); vectors%t.runs != 0; t.runs-- {
	}
	t.threads = vectors / t.runs
	return t
}

// accepts refuses more rows than threads can be numbered for.
func (t tiling) accepts(rows int) error {
	if most := maxThreads / t.threads; rows > most {
		return fmt.Errorf("%d rows, at most %d can be numbered", rows, most)
	}
	return nil
}

// launch is the geometry for a number of rows.
func (t tiling) launch(rows int) Geometry { return launchThreads(rows * t.threads) }

// launchThreads is the geometry of n threads that share nothing.
func launchThreads(n int) Geometry {
	return Geometry{Grid: [3]int{(n + elementThreads - 1) / elementThreads, 1, 1}, Block: [3]int{elementThreads, 1, 1}}
}

// thread is the number of the thread, of those launched by launchThreads. The threads from n on end here.
func thread(f *ptx.Func, n ptx.B32) ptx.B32 {
	f.MaxNTID(elementThreads, 1, 1)
	f.MinNCTAPerSM(elementBlocks)
	t := f.MadLoU32(f.Special(ptx.CTAIdX), ptx.Int(elementThreads), f.Special(ptx.TidX))
	f.When(f.SetpU32(ptx.GE, t, n)).Ret()
	return t
}

// place is the thread's row, and its column in run 0. Threads beyond the last row end here.
func (t tiling) place(f *ptx.Func, rows ptx.B32) (row, col ptx.B32) {
	f.Comment("%d threads a row, %d x %d elements a thread", t.threads, t.runs, t.vector)
	row, n := divide(f, thread(f, f.MulLoU32(rows, ptx.Int(t.threads))), t.threads)
	return row, f.MulLoU32(n, ptx.Int(t.vector))
}

// divide returns n/d and n%d.
func divide(f *ptx.Func, n ptx.B32, d int) (quotient, remainder ptx.B32) {
	quotient = f.DivU32(n, ptx.Int(d))
	return quotient, f.SubU32(n, f.MulLoU32(quotient, ptx.Int(d)))
}

// load reads the thread's part of a row.
func (t tiling) load(f *ptx.Func, kind tensor.DType, row ptx.B64, col ptx.B32, cache ...ptx.Cache) []ptx.F32 {
	base := f.MadWideU32(col, ptx.Int(kind.Size()), row)
	var x []ptx.F32
	for run := range t.runs {
		x = append(x, load(f, kind, base, run*t.threads*t.vector*kind.Size(), t.vector, cache...)...)
	}
	return x
}

// store writes the thread's part of a row.
func (t tiling) store(f *ptx.Func, kind tensor.DType, row ptx.B64, col ptx.B32, x []ptx.F32) {
	base := f.MadWideU32(col, ptx.Int(kind.Size()), row)
	for run := range t.runs {
		store(f, kind, base, run*t.threads*t.vector*kind.Size(), x[run*t.vector:][:t.vector])
	}
}

// elementwiseGPU computes y[r,c] = apply(x0[r,c], x1[r,c], …), from operands of kinds in to one of kind out, of sizes
// rows and cols.
func elementwiseGPU(in []Kind, out Kind, apply func(f *ptx.Func, x []ptx.F32) ptx.F32) *GPU {
	tile := func(s Spec, cols int) tiling {
		size := s.Precision.Type(out).Size()
		for _, k := range in {
			size = max(size, s.Precision.Type(k).Size())
		}
		return s.tile(cols, size)
	}
	return &GPU{
		Burn:    []string{"cols"},
		Accepts: func(s Spec, d []int) error { return tile(s, d[1]).accepts(d[0]) },
		Launch:  func(s Spec, d []int) Geometry { return tile(s, d[1]).launch(d[0]) },
		PTX: func(f *ptx.Func, s Spec, p Params) {
			t := tile(s, s.Dims[1])
			row, col := t.place(f, p.Dims[0])
			x := make([][]ptx.F32, len(in))
			for i, k := range in {
				x[i] = t.load(f, s.Precision.Type(k), p.In[i].Row(f, row), col)
			}
			y := make([]ptx.F32, t.runs*t.vector)
			for e := range y {
				var operands []ptx.F32
				for i := range x {
					operands = append(operands, x[i][e])
				}
				y[e] = apply(f, operands)
			}
			t.store(f, s.Precision.Type(out), p.Out[0].Row(f, row), col, y)
		},
	}
}
