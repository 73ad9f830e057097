package host

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"vith/kernels"
	"vith/kernels/host/simd"
	"vith/kernels/kerneltest"
	"vith/kernels/tensor"
)

// backends are all tiers of this machine, on three threads: more than tasks at times, and an odd number.
func backends(t testing.TB) map[string]kernels.Backend {
	list := map[string]kernels.Backend{}
	for _, tier := range simd.Tiers() {
		b, err := New(Options{Threads: 3, Tier: tier.Name})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		list[tier.Name] = b
	}
	return list
}

func TestKernels(t *testing.T) { kerneltest.Run(t, kernels.All(), backends(t)) }

// tower is a program with every kernel that the CPU implements: a transformer block on images of 20 pixels, in an odd
// width. Its weights are the same objects in programs of every batch.
func tower(batch int, weights map[string]*kernels.Weight, t tensor.DType) *kernels.Program {
	const image, patch, width, hidden, heads = 20, 6, 36, 100, 3
	const tokens = (image/patch)*(image/patch) + 1
	p := kernels.NewProgram()
	weight := func(key string, rows, cols int) *kernels.Weight {
		if weights[key] == nil {
			weights[key] = random(key, rows, cols)
			if rows > 1 && key != "position" {
				weights[key].Type = t
			}
		}
		return weights[key]
	}
	linear := func(x kernels.Buf, key string, n int, t tensor.DType) kernels.Buf {
		return p.Linear(x, p.Weight(weight(key+".weight", n, x.Cols)), weight(key+".bias", 1, n), 1, t)
	}
	norm := func(x kernels.Buf, key string, t tensor.DType) kernels.Buf {
		return p.LayerNorm(x, weight(key+".weight", 1, width), weight(key+".bias", 1, width), 1e-5, t)
	}
	x := p.Patches(p.Input("pixels", tensor.U8, batch, 3*image*image), t, image, patch, 112, [3]float32{123, 117, 104})
	x = p.Linear(x, p.Weight(weight("patch.weight", width, 112)), nil, 1./255, tensor.F32)
	x = p.Embed(x, p.Weight(weight("class", 1, width)), p.Weight(weight("position", tokens, width)), batch)
	qkv := linear(norm(x, "ln1", t), "qkv", 3*width, t)
	y := p.Attention(qkv.Columns(0, width), qkv.Columns(width, width), qkv.Columns(2*width, width), batch, heads, 0.3)
	x = p.Add(x, linear(y, "out", width, tensor.F32))
	x = p.Add(x, linear(p.Activate(kernels.GELU, linear(norm(x, "ln2", t), "fc1", hidden, t)), "fc2", width, tensor.F32))
	p.Output(p.L2Norm(norm(x.Every(tokens), "post", tensor.F32)))
	return p
}

// random is a weight of normal values over the root of its columns, by its key.
func random(key string, rows, cols int) *kernels.Weight {
	return &kernels.Weight{Key: key, Type: tensor.F32, Rows: rows, Cols: cols, Fill: func(dst []float32, row0, n int) error {
		for i := range n {
			r := rand.New(rand.NewPCG(uint64(row0+i), uint64(len(key))<<32|uint64(key[0])))
			for c := range cols {
				dst[i*cols+c] = float32(r.NormFloat64() / math.Sqrt(float64(cols)))
			}
		}
		return nil
	}}
}

func load(t testing.TB, b *Backend, p *kernels.Program) kernels.Runner {
	t.Helper()
	p, err := kernels.Lower(p, b.Caps())
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func pass(t testing.TB, r kernels.Runner, in []byte, out []float32) {
	t.Helper()
	wait, err := r.Start([][]byte{in}, [][]byte{tensor.Bytes(out)})
	if err == nil {
		err = wait()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestSameBits runs images alone and in batches, on one thread and on several: the bits are the same.
func TestSameBits(t *testing.T) {
	const images, pixels, width = 7, 3 * 20 * 20, 36
	r := rand.New(rand.NewPCG(1, 2))
	in := make([]byte, images*pixels)
	for i := range in {
		in[i] = byte(r.IntN(256))
	}
	for _, tier := range simd.Tiers() {
		for _, kind := range []tensor.DType{tensor.F32, tensor.BF16} {
			var want []float32
			for _, threads := range []int{1, 2, 5, 64} {
				b, err := New(Options{Threads: threads, Tier: tier.Name})
				if err != nil {
					t.Fatal(err)
				}
				weights := map[string]*kernels.Weight{}
				for _, batch := range []int{1, 7} {
					runner := load(t, b, tower(batch, weights, kind))
					got := make([]float32, images*width)
					for i := 0; i < images; i += batch {
						pass(t, runner, in[i*pixels:][:batch*pixels], got[i*width:][:batch*width])
					}
					if want == nil {
						want = got
					}
					if !slices.Equal(got, want) {
						t.Errorf("%s in %v: batch %d on %d threads differs from batch 1 on 1 thread", tier.Name, kind, batch, threads)
					}
				}
				b.Close()
			}
		}
	}
}

// TestResultsInBF16 holds products with a bfloat16 result to the same with a float32 result, rounded.
func TestResultsInBF16(t *testing.T) {
	for _, d := range [][3]int{{1, 5, 7}, {100, 200, 96}, {3, 40, 1301}} {
		for _, alpha := range []float32{1, 0.3} {
			for f := kernels.NoActivation; f <= kernels.QuickGELU; f++ {
				for name, b := range backends(t) {
					m, n, k := d[0], d[1], d[2]
					w, bias := random("w", n, k), random("b", 1, n)
					w.Type = tensor.BF16
					product := func(kind tensor.DType) tensor.Matrix {
						p := kernels.NewProgram()
						y := p.Linear(p.Input("x", tensor.BF16, m, k), p.Weight(w), bias, alpha, kind)
						if f != kernels.NoActivation {
							y = p.Activate(f, y)
						}
						p.Output(y)
						r := load(t, b.(*Backend), p)
						x, result := tensor.NewMatrix(tensor.BF16, m, k), tensor.NewMatrix(kind, m, n)
						source := rand.New(rand.NewPCG(3, 4))
						for i := range m * k {
							x.Set(i/k, i%k, source.NormFloat64())
						}
						if _, err := r.Start([][]byte{x.Data}, [][]byte{result.Data}); err != nil {
							t.Fatal(err)
						}
						return result
					}
					exact, rounded := product(tensor.F32), product(tensor.BF16)
					for i := range m * n {
						exact.Set(i/n, i%n, float64(tensor.FromBF16(tensor.ToBF16(exact.At(i/n, i%n)))))
					}
					if err := tensor.Compare(rounded, exact, tensor.Tolerance{}); err != nil {
						t.Errorf("%s: %v·%v %v: %v", name, alpha, d, f, err)
					}
				}
			}
		}
	}
}

func TestPassAllocatesNothing(t *testing.T) {
	for _, kind := range []tensor.DType{tensor.F32, tensor.BF16} {
		b, err := New(Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		r := load(t, b, tower(2, map[string]*kernels.Weight{}, kind))
		in, out := [][]byte{make([]byte, 2*3*20*20)}, [][]byte{make([]byte, 4*2*36)}
		if n := testing.AllocsPerRun(20, func() {
			if _, err := r.Start(in, out); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%g allocations a pass in %v", n, kind)
		}
	}
}

// TestWeightsOnce loads programs of several batches: weights are filled and held once, the arena is the largest's.
func TestWeightsOnce(t *testing.T) {
	b, err := New(Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	weights := map[string]*kernels.Weight{}
	large := tower(8, weights, tensor.F32)
	var fills atomic.Int64
	for _, w := range weights {
		fill, rows := w.Fill, w.Rows
		next := 0
		w.Fill = func(dst []float32, row0, n int) error {
			if row0 != next {
				t.Errorf("%s is filled from row %d, want %d", w.Key, row0, next)
			}
			if next += n; next == rows {
				fills.Add(1)
			}
			return fill(dst, row0, n)
		}
	}
	load(t, b, large)
	first := b.Memory()
	for _, batch := range []int{1, 2, 4} {
		load(t, b, tower(batch, weights, tensor.F32))
	}
	if got := b.Memory(); got != first {
		t.Errorf("memory went from %+v to %+v", first, got)
	}
	if int(fills.Load()) != len(weights) {
		t.Errorf("%d weights were filled, want each of %d once", fills.Load(), len(weights))
	}
	if first.Weights < 4*36*112 || first.Arena < 8*10*100*4 {
		t.Errorf("memory is %+v", first)
	}
}

func TestLoadError(t *testing.T) {
	b, err := New(Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	weights := map[string]*kernels.Weight{}
	p, err := kernels.Lower(tower(1, weights, tensor.F32), b.Caps())
	if err != nil {
		t.Fatal(err)
	}
	bad := errors.New("fc1 is damaged")
	good := weights["fc1.weight"].Fill
	weights["fc1.weight"].Fill = func([]float32, int, int) error { return bad }
	if _, err := b.Load(p); !errors.Is(err, bad) {
		t.Errorf("got %v, want %v", err, bad)
	}
	weights["fc1.weight"].Fill = good
	if _, err := b.Load(p); err != nil {
		t.Errorf("after a failed load: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	if _, err := New(Options{Threads: -1}); err == nil || !strings.Contains(err.Error(), "-1 threads") {
		t.Errorf("got %v", err)
	}
	if _, err := New(Options{Tier: "mmx"}); err == nil || !strings.Contains(err.Error(), `"mmx"`) {
		t.Errorf("got %v", err)
	}
	b, err := New(Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r := load(t, b, tower(1, map[string]*kernels.Weight{}, tensor.F32))
	in, out := make([]byte, 3*20*20), make([]byte, 4*36)
	for want, data := range map[string][2][][]byte{
		"0 inputs, the program has 1":                     {{}, {out}},
		"input pixels has 1199 bytes, must have 1200":     {{in[1:]}, {out}},
		"output post.l2norm has 140 bytes, must have 144": {{in}, {out[4:]}},
		"2 outputs, the program has 1":                    {{in}, {out, out}},
	} {
		if _, err := r.Start(data[0], data[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestMemoryDuringPass asks for the memory in the middle of a pass, which may take seconds.
func TestMemoryDuringPass(t *testing.T) {
	backend, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	p := kernels.NewProgram()
	p.Output(p.Linear(p.Input("x", tensor.F32, 3, 5), p.Weight(random("w", 7, 5)), random("b", 1, 7), 1, tensor.F32))
	r := load(t, backend, p).(*runner)
	answer := make(chan kernels.Memory, 1)
	r.steps = []step{{tasks: 1, run: func(int, int) {
		go func() { answer <- backend.Memory() }()
		select {
		case m := <-answer:
			if m.Weights < 4*7*5 {
				t.Errorf("%+v", m)
			}
		case <-time.After(10 * time.Second):
			t.Error("no answer during a pass")
		}
	}}}
	pass(t, r, make([]byte, 4*3*5), make([]float32, 3*7))
}

// BenchmarkGEMM reports the share of the peak that the tile's instructions have between registers.
func BenchmarkGEMM(b *testing.B) {
	for _, d := range [][3]int{{257, 3840, 1280}, {257, 1280, 1280}, {257, 5120, 1280}, {257, 1280, 5120}, {2056, 1280, 1280}} {
		for _, kind := range []tensor.DType{tensor.F32, tensor.BF16} {
			for _, tier := range simd.Tiers() {
				b.Run(fmt.Sprintf("m=%d/n=%d/k=%d/type=%v/tier=%s", d[0], d[1], d[2], kind, tier.Name), func(b *testing.B) {
					backend, err := New(Options{Tier: tier.Name})
					if err != nil {
						b.Fatal(err)
					}
					defer backend.Close()
					p := kernels.NewProgram()
					x := p.Cast(p.Input("x", kind, d[0], d[2]), kind)
					w := random("w", d[1], d[2])
					w.Type = kind
					y := p.Linear(x, p.Weight(w), random("b", 1, d[1]), 1, tensor.F32)
					p.Output(y)
					r := load(b, backend, p).(*runner)
					out := make([]float32, d[0]*d[1])
					pass(b, r, make([]byte, kind.Size()*d[0]*d[2]), out)
					r.bases[len(r.bases)-1] = unsafe.Pointer(&out[0])
					gemm := &r.steps[1]
					for b.Loop() {
						backend.pool.run(gemm)
					}
					loop := tier.Peak
					if kind == tensor.BF16 {
						loop = tier.PeakBF16
					}
					flops := 2 * float64(d[0]) * float64(d[1]) * float64(d[2]) * float64(b.N)
					b.ReportMetric(flops/b.Elapsed().Seconds()/1e9, "GFLOP/s")
					b.ReportMetric(100*flops/b.Elapsed().Seconds()/peak(backend, loop), "%peak")
				})
			}
		}
	}
}

// BenchmarkPack packs fc1 of ViT-H-14 from memory, and gives what it reads in a second, and how that compares with
// copying the same bytes.
func BenchmarkPack(b *testing.B) {
	const rows, cols = 5120, 1280
	source, target := make([]float32, rows*cols), make([]float32, rows*cols)
	for _, kind := range []tensor.DType{tensor.F32, tensor.BF16} {
		for _, tier := range simd.Tiers() {
			b.Run(fmt.Sprintf("type=%v/tier=%s", kind, tier.Name), func(b *testing.B) {
				w := &kernels.Weight{Key: "fc1", Type: kind, Rows: rows, Cols: cols, Fill: func(dst []float32, row0, n int) error {
					copy(dst, source[row0*cols:])
					return nil
				}}
				k := weightKey{w, map[tensor.DType]layout{tensor.F32: panels, tensor.BF16: pairs}[kind], 1}
				memory, p := make(region, k.bytes(tier.NR)), packer{tier: tier}
				var packing, copying time.Duration
				for b.Loop() {
					start := time.Now()
					if err := p.place(k, memory); err != nil {
						b.Fatal(err)
					}
					middle := time.Now()
					copy(target, source)
					packing, copying = packing+middle.Sub(start), copying+time.Since(middle)
				}
				b.ReportMetric(4*rows*cols*float64(b.N)/packing.Seconds()/1e9, "GB/s")
				b.ReportMetric(packing.Seconds()/copying.Seconds(), "x-copy")
			})
		}
	}
}

// peak measures the operations a second of all threads between registers.
func peak(b *Backend, loop func(n int) (flops int)) float64 {
	flops := make([]int, b.Threads())
	start := time.Now()
	b.pool.run(&step{tasks: b.Threads(), run: func(task, _ int) { flops[task] = loop(1 << 22) }})
	total := 0
	for _, n := range flops {
		total += n
	}
	return float64(total) / time.Since(start).Seconds()
}
