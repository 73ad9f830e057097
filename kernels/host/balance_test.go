package host

import (
	"fmt"
	"slices"
	"testing"

	"vith/kernels"
	"vith/kernels/host/simd"
	"vith/kernels/tensor"
)

// block is a transformer block of ViT-H-14 for a batch of images, from their pixels.
func block(batch int, t tensor.DType) *kernels.Program {
	const tokens, width, mlp, heads = 257, 1280, 5120, 16
	p := kernels.NewProgram()
	matrix := func(key string, n, k int) kernels.Buf {
		return p.Weight(&kernels.Weight{Key: key, Type: t, Rows: n, Cols: k})
	}
	vector := func(key string, n int) *kernels.Weight {
		return &kernels.Weight{Key: key, Type: tensor.F32, Rows: 1, Cols: n}
	}
	norm := func(x kernels.Buf, key string, t tensor.DType) kernels.Buf {
		return p.LayerNorm(x, vector(key+".weight", width), vector(key+".bias", width), 1e-5, t)
	}
	x := p.Patches(p.Input("pixels", tensor.U8, batch, 3*224*224), t, 224, 14, 592, [3]float32{})
	x = p.Linear(x, matrix("patches", width, 592), vector("patches.bias", width), 1./255, tensor.F32)
	position := &kernels.Weight{Key: "position", Type: tensor.F32, Rows: tokens, Cols: width}
	x = norm(p.Embed(x, p.Weight(vector("class", width)), p.Weight(position), batch), "pre", tensor.F32)
	qkv := p.Linear(norm(x, "ln1", t), matrix("qkv", 3*width, width), vector("qkv.bias", 3*width), 1, t)
	y := p.Attention(qkv.Columns(0, width), qkv.Columns(width, width), qkv.Columns(2*width, width), batch, heads, 0.1)
	x = p.Add(x, p.Linear(y, matrix("out", width, width), vector("out.bias", width), 1, tensor.F32))
	y = p.Linear(norm(x, "ln2", t), matrix("fc1", mlp, width), vector("fc1.bias", mlp), 1, t)
	y = p.Linear(p.Activate(kernels.GELU, y), matrix("fc2", width, mlp), vector("fc2.bias", width), 1, tensor.F32)
	p.Output(p.Add(x, y))
	return p
}

// busy is the share of the threads' time that tasks of these sizes fill, each handed to the thread that is free first.
func busy(threads int, sizes []int) float64 {
	loads, sum := make([]int, threads), 0
	for _, size := range sizes {
		first := slices.Index(loads, slices.Min(loads))
		loads[first] += size
		sum += size
	}
	return float64(sum) / float64(threads*slices.Max(loads))
}

// taskSizes are those of a call's tasks: of attention, tiles of queries; of the others, whose tasks are about as large as each
// other, 1.
func taskSizes(tier *simd.Tier, call *kernels.Call, tasks int) []int {
	sizes := make([]int, tasks)
	for i := range sizes {
		sizes[i] = 1
		if call.Kernel.Name == "attention" {
			tiles, parts := (call.Dims[2]+tier.MR-1)/tier.MR, tasks/(call.Dims[0]*call.Dims[1])
			lo, hi := span(tiles, parts, i%parts)
			sizes[i] = hi - lo
		}
	}
	return sizes
}

// amxShaped is a tier with the tiles of amx, which few machines have, for what depends on no more.
func amxShaped(t *testing.T) *simd.Tier {
	generic, err := simd.Select("generic")
	if err != nil {
		t.Fatal(err)
	}
	shaped := *generic
	shaped.Name, shaped.MR, shaped.NR = "shaped as amx", 14, 32
	return &shaped
}

// TestBalance counts the tasks of the steps of ViT-H-14 on up to 64 threads, as if those of one step took the same time, or
// for attention, time by their tiles. Every step of a batch of 8 keeps the threads busy for 85 % of its time, and all
// steps together, weighted by their operations, for 90 %, of single images too.
func TestBalance(t *testing.T) {
	for _, tier := range append(simd.Tiers(), amxShaped(t)) {
		for _, kind := range []tensor.DType{tensor.F32, tensor.BF16} {
			for _, threads := range []int{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64} {
				b, err := New(Options{Threads: threads})
				if err != nil {
					t.Fatal(err)
				}
				b.tier = tier
				for _, batch := range []int{1, 8} {
					p, err := kernels.Lower(block(batch, kind), b.Caps())
					if err != nil {
						t.Fatal(err)
					}
					c, err := b.compile(p)
					if err != nil {
						t.Fatal(err)
					}
					var work, time float64
					line := ""
					for i, s := range c.runner.steps {
						share := busy(threads, taskSizes(tier, &p.Calls[i], s.tasks))
						flops := float64(p.Cost(i).FLOPs)
						work, time = work+flops, time+flops/share
						line += fmt.Sprintf(" %s %d", p.Calls[i].Kernel.Name, s.tasks)
						if batch == 8 && share < 0.85 {
							t.Errorf("%s in %v, batch %d on %d threads: %d tasks of %s keep %.0f %% busy",
								tier.Name, kind, batch, threads, s.tasks, p.Calls[i].Kernel.Name, 100*share)
						}
					}
					t.Logf("%s %v batch %d, %d threads: %.0f %% busy:%s", tier.Name, kind, batch, threads, 100*work/time, line)
					if work/time < 0.9 {
						t.Errorf("%s in %v, batch %d on %d threads: %.0f %% busy", tier.Name, kind, batch, threads, 100*work/time)
					}
				}
				b.Close()
			}
		}
	}
}
