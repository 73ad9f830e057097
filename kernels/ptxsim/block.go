package ptxsim

import (
	"math/rand/v2"
)

const warpsPerSM = 64 // the range of %warpid

// A block is the thread block that a worker runs at present. Its storage is used again for the worker's next.
type block struct {
	*grid
	stats Stats

	number    uint32 // linear, from 0
	at        [3]int
	firstWarp int // %warpid of warp 0
	source    *rand.PCG
	random    *rand.Rand
	warps     []*warp
	sharedMemory
	lastView *view // the allocation of the last global access
}

func newBlock(g *grid) *block {
	b := &block{grid: g, source: rand.NewPCG(0, 0)}
	b.random = rand.New(b.source)
	threads := g.Block[0] * g.Block[1] * g.Block[2]
	for t := 0; t < threads; t += 32 {
		b.warps = append(b.warps, newWarp(b, t/32, min(32, threads-t)))
	}
	b.sharedMemory.allocate(g.k, g.DynamicShared, len(b.warps))
	return b
}

// execute runs the block of that number. A fault anywhere below arrives here as a panic.
func (b *block) execute(number uint32) (fault *Fault) {
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(*Fault)
			if !ok {
				panic(r)
			}
			fault = f
		}
	}()
	b.number, b.at = number, position(int(number), b.Grid)
	b.source.Seed(b.Seed, uint64(number)+1)
	b.firstWarp = b.random.IntN(warpsPerSM)
	b.sharedMemory.reset()
	for _, w := range b.warps {
		w.reset()
	}
	ready := make([]*warp, 0, len(b.warps))
	for {
		ready = ready[:0]
		for _, w := range b.warps {
			if w.live != 0 && w.waits == nil {
				ready = append(ready, w)
			}
		}
		if len(ready) == 0 {
			break
		}
		w := ready[b.random.IntN(len(ready))]
		w.run(1 + b.random.IntN(maxTurn))
		if w.waits != nil {
			b.arrive(w)
		}
	}
	for _, w := range b.warps {
		if w.waits != nil {
			b.stuck(w)
		}
	}
	return nil
}

// maxTurn is the most instructions that a warp runs before another may.
const maxTurn = 256

// arrive releases the barrier that w waits at if w is the last that it waits for.
func (b *block) arrive(w *warp) {
	id, need := w.waits.imm[0], len(b.warps)
	counted := len(w.waits.imm) > 1
	if counted {
		need = w.waitThreads / 32
	}
	var there []*warp
	for _, v := range b.warps {
		if v.waits == nil || v.waits.imm[0] != id {
			continue
		}
		if v.waitThreads != w.waitThreads || !counted && v.waits != w.waits {
			w.fail(w.firstLane(), Divergence, "warp %d waits at the same barrier at line %d for %d threads, this one for %d",
				v.id, v.waits.src.Line, v.waitThreads, w.waitThreads)
		}
		there = append(there, v)
	}
	if len(there) == need {
		meet(there)
		for _, v := range there {
			v.waits = nil
		}
	}
}

// stuck faults for w, whose barrier the rest of the block will not reach.
func (b *block) stuck(w *warp) {
	for _, v := range b.warps {
		switch {
		case v.live == 0:
			w.cur = w.waits
			w.fail(w.firstLane(), Divergence, "the warp waits at a barrier that warp %d never reaches: its threads have exited", v.id)
		case v.waits.imm[0] != w.waits.imm[0]:
			w.cur = w.waits
			w.fail(w.firstLane(), Divergence, "the warp waits at a barrier that warp %d never reaches: it waits at line %d, barrier %d",
				v.id, v.waits.src.Line, v.waits.imm[0])
		}
	}
	w.cur = w.waits
	w.fail(w.firstLane(), Divergence, "the barrier waits for %d threads, and all %d warps of the block are there", w.waitThreads, len(b.warps))
}

// meet orders everything that the warps did so far before everything that they do from now on.
func meet(ws []*warp) {
	latest := ws[0].seen
	for _, w := range ws[1:] {
		for u, c := range w.seen {
			latest[u] = max(latest[u], c)
		}
	}
	for _, w := range ws {
		latest[w.id]++
	}
	for _, w := range ws[1:] {
		copy(w.seen, latest)
	}
}
