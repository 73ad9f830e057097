package ptxsim

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
)

// Limits of every target (CUDA C++ Programming Guide, technical specifications per compute capability).
const (
	maxThreads = 1024
	maxGridX   = 1<<31 - 1
	maxGridYZ  = 65535
	maxBlockZ  = 64
	maxBlocks  = 1<<32 - 16 // ours: block numbers share a word with marks
)

// DefaultBudget is the number of instructions that a warp may issue where a Launch names none: the largest kernels here
// issue some hundred thousand.
const DefaultBudget = 1 << 24

// An Accumulation is a model of how mma.sync adds products in f32. The manual leaves it open; a kernel should be within
// its tolerance under both.
type Accumulation uint8

const (
	// Sequential adds one product after the other, each sum rounded to nearest.
	Sequential Accumulation = iota
	// Aligned shifts the exact products and the accumulator to the largest exponent among them, truncates them two bits
	// below f32's last, adds them exactly and truncates the sum to f32: what measurements of tensor cores show (Fasi,
	// Higham, Mikaitis, Pranesh 2021, Numerical behavior of NVIDIA tensor cores, doi:10.7717/peerj-cs.330).
	Aligned
)

// A Launch says what to run.
type Launch struct {
	Kernel        string
	Grid, Block   [3]int
	DynamicShared int      // bytes
	Params        []uint64 // a slot for each parameter, its value in the low bytes

	Seed         uint64 // of the schedule and of the errors of approximate instructions
	Exact        bool   // approximate instructions give the correctly rounded value
	Accumulation Accumulation

	Workers int // goroutines; 0 is GOMAXPROCS. Results do not depend on it
	Budget  int // instructions that a warp may issue; 0 is DefaultBudget
}

// Launch runs a kernel to its end. An error is a *Fault; the memory is then as it was before.
//
// Blocks run side by side where no global atomics order them. A fault found that way is looked for again with the blocks
// one after the other, so that the one reported does not depend on the number of workers.
func (p *Program) Launch(mem *Memory, l Launch) (Stats, error) {
	k, err := p.check(&l)
	if err != nil {
		return Stats{}, err
	}
	mem.mu.Lock()
	defer mem.mu.Unlock()

	workers := l.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	if k.globalAtomics {
		workers = 1
	}
	stats, fault := runGrid(k, &l, mem, workers)
	if fault != nil && workers > 1 {
		stats, fault = runGrid(k, &l, mem, 1)
	}
	if fault != nil {
		return Stats{}, fault
	}
	return stats, nil
}

// check returns the kernel that l names, or what is wrong with l.
func (p *Program) check(l *Launch) (*kernel, error) {
	bad := func(format string, args ...any) (*kernel, error) {
		return nil, &Fault{Kind: BadLaunch, Kernel: l.Kernel, Detail: fmt.Sprintf(format, args...)}
	}
	k := p.kernels[l.Kernel]
	if k == nil {
		return bad("the module has no such kernel")
	}
	for d := range 3 {
		if l.Grid[d] < 1 || l.Block[d] < 1 {
			return bad("grid %v, block %v: every dimension must be at least 1", l.Grid, l.Block)
		}
	}
	g, b := l.Grid, l.Block
	if g[0] > maxGridX || g[1] > maxGridYZ || g[2] > maxGridYZ || g[0]*g[1] > maxBlocks/g[2] {
		return bad("grid %v: more blocks than a launch can have", g)
	}
	if b[0] > maxThreads || b[1] > maxThreads || b[2] > maxBlockZ || b[0]*b[1]*b[2] > maxThreads {
		return bad("block %v: more than %d threads, or more than %d in z", b, maxThreads, maxBlockZ)
	}
	if m := k.src.MaxNTID; m[0] > 0 && b[0]*b[1]*b[2] > m[0]*m[1]*m[2] {
		return bad("block %v: more threads than .maxntid %d, %d, %d", b, m[0], m[1], m[2])
	}
	if len(l.Params) != len(k.src.Params) {
		return bad("%d parameters given, the kernel has %d", len(l.Params), len(k.src.Params))
	}
	if l.DynamicShared < 0 || l.DynamicShared > 0 && k.dynamic < 0 {
		return bad("%d bytes of dynamic shared memory, but the kernel declares none", l.DynamicShared)
	}
	if n, limit := k.shared+l.DynamicShared, k.target.MaxShared(); n > limit {
		return bad("%d bytes of shared memory (%d of them dynamic), %v has %d", n, l.DynamicShared, k.target, limit)
	}
	return k, nil
}

// A grid is a launch in progress.
type grid struct {
	*Launch
	k      *kernel
	mem    *Memory
	views  []view   // of mem.allocs
	order  []uint32 // of the blocks
	next   atomic.Int64
	failed atomic.Bool
}

// runGrid runs all blocks on a number of goroutines. If one faults, memory is restored.
func runGrid(k *kernel, l *Launch, mem *Memory, workers int) (Stats, *Fault) {
	g := &grid{Launch: l, k: k, mem: mem, views: make([]view, len(mem.allocs))}
	for i, a := range mem.allocs {
		g.views[i].allocation = a
	}
	g.order = make([]uint32, l.Grid[0]*l.Grid[1]*l.Grid[2])
	for i := range g.order {
		g.order[i] = uint32(i)
	}
	rand.New(rand.NewPCG(l.Seed, 0)).Shuffle(len(g.order), func(i, j int) {
		g.order[i], g.order[j] = g.order[j], g.order[i]
	})
	workers = min(workers, len(g.order))
	stats := make([]Stats, workers)
	faults := make([]*Fault, workers)
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() { faults[n] = g.work(&stats[n]) })
	}
	wg.Wait()
	var sum Stats
	for n := range workers {
		sum.add(&stats[n])
	}
	for _, f := range faults {
		if f != nil {
			g.undo()
			return Stats{}, f
		}
	}
	return sum, nil
}

// work runs blocks until none is left or one faulted.
func (g *grid) work(stats *Stats) *Fault {
	b := newBlock(g)
	for !g.failed.Load() {
		n := g.next.Add(1) - 1
		if n >= int64(len(g.order)) {
			break
		}
		if f := b.execute(g.order[n]); f != nil {
			g.failed.Store(true)
			return f
		}
	}
	*stats = b.stats
	return nil
}

// position is the place of a linear index in a box of three dimensions, x first.
func position(index int, box [3]int) [3]int {
	return [3]int{index % box[0], index / box[0] % box[1], index / (box[0] * box[1])}
}
