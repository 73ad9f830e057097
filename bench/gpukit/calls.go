package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"vith/bench/gpukit/device"
	"vith/cuda"
	"vith/kernels"
	"vith/kernels/tensor"
	"vith/vit/tower"
)

// A callTime is what one call takes within a program: a program with it often is compared with one with it once, so
// that neither copies nor the start of a pass count.
type callTime struct {
	Call   string  `json:"call"`
	Batch  int     `json:"batch"`
	Micros float64 `json:"us"`
	TFLOPs float64 `json:"tflop_per_second"`
	GBs    float64 `json:"gb_per_second"` // of its operands, each once
	PerRow int     `json:"in_a_pass"`     // how often a pass of ViT-H-14 has it
}

// A chain appends a call to a program, on the result of the one before, which has the same shape.
type chain struct {
	name   string
	cols   int // of operand and result
	in     tensor.DType
	perRow int
	flops  float64
	bytes  float64
	append func(p *kernels.Program, x kernels.Buf) kernels.Buf
}

// calls measures the kinds of calls that a block of ViT-H-14 consists of.
func calls(_ context.Context, d device.Device, args []string) error {
	limit, err := duration(args[0])
	if err != nil {
		return err
	}
	batch, err := strconv.Atoi(args[1])
	if err != nil || batch < 1 {
		return fmt.Errorf("%q is no batch size", args[1])
	}
	model := "vit-h-14"
	if d.Small {
		model = "vit-tiny"
	}
	config, _ := tower.Lookup(model)
	b, err := cuda.Open(d.Driver, d.Ordinal, cuda.Options{Blas: d.Blas})
	if err != nil {
		return err
	}
	defer b.Close()
	rows := batch * config.Tokens()
	for _, c := range chains(config, batch) {
		in := tensor.NewMatrix(c.in, rows, c.cols)
		r := rand.New(rand.NewPCG(1, 2))
		for i := range rows {
			for j := range c.cols {
				in.Set(i, j, r.NormFloat64())
			}
		}
		var ms [2]float64
		lengths := [2]int{1, 1 + config.Layers}
		for i, n := range lengths {
			if ms[i], err = c.time(b, in, n, limit/2); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		seconds := (ms[1] - ms[0]) / float64(lengths[1]-lengths[0]) / 1e3
		err := show("calls", callTime{c.name, batch, seconds * 1e6, c.flops / seconds / 1e12, c.bytes / seconds / 1e9, c.perRow})
		if err != nil {
			return err
		}
	}
	return nil
}

// chains are the calls of a tower's blocks at fp16 with a residual stream of fp32. Products are square or come in pairs,
// since a chain's result is its operand.
func chains(c tower.Config, batch int) []chain {
	rows, width, mlp := float64(batch*c.Tokens()), float64(c.Width), float64(c.MLP)
	vector := func(key string, n int) *kernels.Weight { return random(key, tensor.F32, 1, n) }
	linear := func(p *kernels.Program, x kernels.Buf, key string, n int, scale float32, t tensor.DType) kernels.Buf {
		return p.Linear(x, p.Weight(random(key, tensor.F16, n, x.Cols)), vector(key+".bias", n), scale, t)
	}
	return []chain{
		{"layernorm to fp32", c.Width, tensor.F32, 2 * c.Layers, 0, 8 * rows * width, func(p *kernels.Program, x kernels.Buf) kernels.Buf {
			return p.LayerNorm(x, vector("gamma", c.Width), vector("beta", c.Width), float32(c.Epsilon), tensor.F32)
		}},
		{"product and residual", c.Width, tensor.F32, c.Layers, 2 * rows * width * width, rows * width * 10, func(p *kernels.Program, x kernels.Buf) kernels.Buf {
			return p.Add(x, linear(p, p.Cast(x, tensor.F16), "out", c.Width, 1./8, tensor.F32))
		}},
		{"cast to fp16", c.Width, tensor.F32, 0, 0, rows * width * 12, func(p *kernels.Program, x kernels.Buf) kernels.Buf {
			return p.Cast(p.Cast(x, tensor.F16), tensor.F32)
		}},
		{"fc1 and fc2", c.Width, tensor.F16, c.Layers, 4 * rows * width * mlp, 4 * rows * (width + mlp), func(p *kernels.Program, x kernels.Buf) kernels.Buf {
			return linear(p, linear(p, x, "fc1", c.MLP, 1, tensor.F16), "fc2", c.Width, 1, tensor.F16)
		}},
		{"gelu", c.MLP, tensor.F16, c.Layers, 0, 4 * rows * mlp, func(p *kernels.Program, x kernels.Buf) kernels.Buf {
			return p.Activate(kernels.GELU, x)
		}},
		{"attention", c.Width, tensor.F16, c.Layers, 4 * rows * float64(c.Tokens()) * width, 8 * rows * width, func(p *kernels.Program, x kernels.Buf) kernels.Buf {
			return p.Attention(x, x, x, batch, c.Heads, float32(1/math.Sqrt(float64(c.HeadDim()))))
		}},
	}
}

// weights are shared by the programs.
var weights = map[string]*kernels.Weight{}

// random is a weight of normal values that keep a layer's output as large as its input.
func random(key string, t tensor.DType, rows, cols int) *kernels.Weight {
	if weights[key] == nil {
		weights[key] = &kernels.Weight{Key: key, Type: t, Rows: rows, Cols: cols, Fill: func(dst []float32, row0, n int) error {
			h := fnv.New64()
			fmt.Fprint(h, key, row0)
			r := rand.New(rand.NewPCG(h.Sum64(), 1))
			for i := range n * cols {
				dst[i] = float32(r.NormFloat64() / math.Sqrt(float64(cols)))
			}
			return nil
		}}
	}
	return weights[key]
}

// time is the median of passes with n calls, in milliseconds.
func (c chain) time(b *cuda.Backend, in tensor.Matrix, n int, limit time.Duration) (float64, error) {
	p := kernels.NewProgram()
	x := p.Input("x", in.Type, in.Rows, in.Cols)
	for range n {
		x = c.append(p, x)
	}
	p.Output(x)
	p, err := kernels.Lower(p, b.Caps())
	if err != nil {
		return 0, err
	}
	r, err := b.Load(p)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	out := make([]byte, len(in.Data))
	var times []time.Duration
	for start := time.Now(); len(times) < warmUps+fewest || time.Since(start) < limit; {
		began := time.Now()
		wait, err := r.Start([][]byte{in.Data}, [][]byte{out})
		if err == nil {
			err = wait()
		}
		if err != nil {
			return 0, err
		}
		times = append(times, time.Since(began))
	}
	times = times[warmUps:]
	slices.Sort(times)
	return 1e3 * times[len(times)/2].Seconds(), nil
}
