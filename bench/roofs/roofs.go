// Package roofs tells what a device can do at most: how many floating-point operations of products, and how many bytes
// from and to memory, a second. What a call takes is never less than its operations and its bytes need at these rates.
//
// The roofs of the CPU at hand and of a GPU at hand are measured. Those of GPUs that are not here are a table.
package roofs

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"vith/kernels"
	"vith/kernels/tensor"
)

// A Roof is what a device can do at most.
type Roof struct {
	FLOPS     float64 `json:"flop_per_second"` // of products
	Bandwidth float64 `json:"byte_per_second"` // read and written
}

// Time is the least that a call, or a program, takes.
func (r Roof) Time(c kernels.Cost) time.Duration {
	return time.Duration(max(float64(c.FLOPs)/r.FLOPS, float64(c.Bytes)/r.Bandwidth) * float64(time.Second))
}

// known are rates of products of 16-bit types with sums of float32, and of memory. Those of the H100 were measured: by GPU,
// the smaller of two runs, and by gelu on [16448, 5120]. Those of the others are what products and copies on them are known
// to sustain, or are reckoned from published figures.
var known = map[string]Roof{
	"h200":      {790e12, 4.3e12},
	"h100":      {834e12, 3.05e12},
	"a100-80gb": {265e12, 1.75e12},
	"l40s":      {250e12, 0.78e12},
	"l4":        {60e12, 0.26e12},
	"a10":       {75e12, 0.52e12},
	"rtx3090":   {71e12, 0.86e12},
	"rtx4090":   {165e12, 0.93e12},
	"rtx5090":   {205e12, 1.6e12},
}

// Known is the roof of a GPU at fp16 and bf16, by its name in small letters without spaces.
func Known(name string) (Roof, error) {
	r, ok := known[name]
	if !ok {
		return Roof{}, fmt.Errorf("no roof of a GPU %q is known: choose one of %s", name, strings.Join(Names(), ", "))
	}
	return r, nil
}

// Names are those that Known knows.
func Names() []string { return slices.Sorted(maps.Keys(known)) }

// copied is how much memory CPU copies, in bytes: more than the caches of most machines.
const copied = 128 << 20

// CPU measures products by multiply-adds between registers, as fast as the instruction set can do them, and memory by
// copies, both on that many threads: for about a quarter of a second.
func CPU(peak func(n int) (flops int), threads int) Roof {
	var r Roof
	for range 3 {
		r.FLOPS = max(r.FLOPS, together(threads, func(int) int { return peak(1000) }))
	}
	src, dst := make([]byte, copied), make([]byte, copied)
	copy(src, dst) // the pages are there afterwards
	copy(dst, src)
	part := copied / threads
	for range 3 {
		r.Bandwidth = max(r.Bandwidth, together(threads, func(i int) int { return 2 * copy(dst[i*part:][:part], src[i*part:]) }))
	}
	return r
}

// together is how much work that many threads do a second, for some 40 ms.
func together(threads int, work func(thread int) int) float64 {
	var group sync.WaitGroup
	done := make([]int, threads)
	start := time.Now()
	for i := range threads {
		group.Go(func() {
			for time.Since(start) < 40*time.Millisecond {
				done[i] += work(i)
			}
		})
	}
	group.Wait()
	sum := 0
	for _, n := range done {
		sum += n
	}
	return float64(sum) / time.Since(start).Seconds()
}

// side is of the matrices that GPU measures with.
const side = 8192

// GPU measures a large product in a precision, and a large conversion from float32, on random values. What it loads stays
// on the device until the backend is closed: about half a gigabyte.
func GPU(b kernels.Profiler, p kernels.Precision) (Roof, error) { return measure(b, p, side) }

// measure is GPU with matrices of another size.
func measure(b kernels.Profiler, types kernels.Precision, n int) (r Roof, err error) {
	random := func(key string, t tensor.DType, rows, cols int) *kernels.Weight {
		return &kernels.Weight{Key: key, Type: t, Rows: rows, Cols: cols, Fill: func(dst []float32, row0, rows int) error {
			r := rand.New(rand.NewPCG(uint64(row0), 1))
			for i := range rows * cols {
				dst[i] = r.Float32() - 0.5
			}
			return nil
		}}
	}
	const seed = 16 // columns of the input, which a first product makes large on the device
	q := kernels.NewProgram()
	x := q.Input("x", types.Activation, n, seed)
	x = q.Linear(x, q.Weight(random("spread", types.Activation, n, seed)), nil, 1, types.Activation)
	x = q.Linear(x, q.Weight(random("product", types.Activation, n, n)), nil, 1, tensor.F32)
	q.Output(q.Cast(q.Cast(x, tensor.F16).Every(n), tensor.F32)) // of which only a row is copied back
	if q, err = kernels.Lower(q, b.Caps()); err != nil {
		return r, err
	}
	runner, err := b.Load(q)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, runner.Close()) }()
	times, err := b.Profile(runner, 5)
	if err != nil {
		return r, err
	}
	for i, t := range times {
		cost, seconds := q.Cost(i), max(t, time.Nanosecond).Seconds()
		switch q.Calls[i].Kernel.Name {
		case "gemm":
			r.FLOPS = max(r.FLOPS, float64(cost.FLOPs)/seconds)
		default:
			r.Bandwidth = max(r.Bandwidth, float64(cost.Bytes)/seconds)
		}
	}
	return r, nil
}
