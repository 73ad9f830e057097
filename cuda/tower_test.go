package cuda_test

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"

	"vith/cuda"
	"vith/cuda/emu"
	"vith/kernels"
	"vith/kernels/host"
	"vith/kernels/ptx"
	"vith/kernels/ptxsim"
	"vith/kernels/tensor"
)

// The tests' tower: an image of 20 pixels in 9 patches of 6, one block on every token and one on the class tokens.
const (
	image, patch, patchCols, width, hidden, heads, outputs = 20, 6, 112, 48, 104, 3, 40

	tokens = (image/patch)*(image/patch) + 1
	pixels = 3 * image * image
)

// towers makes programs of one tower, which share its weights.
type towers struct {
	types   kernels.Precision
	gelu    kernels.Activation
	weights map[string]*kernels.Weight
}

func newTowers(t kernels.Precision) *towers {
	return &towers{t, kernels.GELU, map[string]*kernels.Weight{}}
}

// weight is a matrix of normal values, drawn by its name; those of a layer keep its output as large as its input.
func (t *towers) weight(key string, d tensor.DType, rows, cols int) *kernels.Weight {
	if t.weights[key] == nil {
		t.weights[key] = &kernels.Weight{Key: key, Type: d, Rows: rows, Cols: cols, Fill: func(dst []float32, row0, n int) error {
			for r := range n {
				h := fnv.New64()
				fmt.Fprint(h, key, row0+r)
				random := rand.New(rand.NewPCG(h.Sum64(), 1))
				for c := range cols {
					dst[r*cols+c] = float32(random.NormFloat64() / math.Sqrt(float64(cols)))
				}
			}
			return nil
		}}
	}
	return t.weights[key]
}

// program is the tower for a batch.
func (t *towers) program(batch int) *kernels.Program {
	p := kernels.NewProgram()
	linear := func(x kernels.Buf, key string, n int, d tensor.DType) kernels.Buf {
		w := t.weight(key+".weight", t.types.Activation, n, x.Cols)
		return p.Linear(x, p.Weight(w), t.weight(key+".bias", tensor.F32, 1, n), 1, d)
	}
	norm := func(x kernels.Buf, key string, d tensor.DType) kernels.Buf {
		return p.LayerNorm(x, t.weight(key+".weight", tensor.F32, 1, width), t.weight(key+".bias", tensor.F32, 1, width), 1e-5, d)
	}
	finish := func(x, y kernels.Buf, key string) kernels.Buf {
		x = p.Add(x, linear(y, key+"out", width, t.types.Stream))
		y = linear(norm(x, key+"ln2", t.types.Activation), key+"fc1", hidden, t.types.Activation)
		return p.Add(x, linear(p.Activate(t.gelu, y), key+"fc2", width, t.types.Stream))
	}
	samples := p.Input("pixels", tensor.U8, batch, pixels)
	x := p.Patches(samples, t.types.Activation, image, patch, patchCols, [3]float32{123, 117, 104})
	x = p.Linear(x, p.Weight(t.weight("patch", t.types.Activation, width, patchCols)), nil, 1./64, t.types.Stream)
	x = p.Embed(x, p.Weight(t.weight("class", tensor.F32, 1, width)), p.Weight(t.weight("position", tensor.F32, tokens, width)), batch)
	x = norm(x, "pre", t.types.Stream)
	qkv := linear(norm(x, "a.ln1", t.types.Activation), "a.qkv", 3*width, t.types.Activation)
	y := p.Attention(qkv.Columns(0, width), qkv.Columns(width, width), qkv.Columns(2*width, width), batch, heads, 0.25)
	x = finish(x, y, "a.")

	y = norm(x, "b.ln1", t.types.Activation)
	q, kv := linear(y.Every(tokens), "b.q", width, t.types.Activation), linear(y, "b.kv", 2*width, t.types.Activation)
	y = p.Attention(q, kv.Columns(0, width), kv.Columns(width, width), batch, heads, 0.25)
	x = norm(finish(x.Every(tokens), y, "b."), "post", t.types.Activation)
	x = p.Linear(x, p.Weight(t.weight("projection", t.types.Activation, outputs, width)), nil, 1, tensor.F32)
	p.Output(p.L2Norm(x))
	return p
}

// load lowers the tower for a backend and loads it.
func (t *towers) load(tb testing.TB, b kernels.Backend, batch int) kernels.Runner {
	tb.Helper()
	p, err := kernels.Lower(t.program(batch), b.Caps())
	if err != nil {
		tb.Fatal(err)
	}
	r, err := b.Load(p)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// images are samples of n random images.
func images(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	b := make([]byte, n*pixels)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// pass runs images through a runner.
func pass(tb testing.TB, r kernels.Runner, in []byte) []byte {
	tb.Helper()
	out := make([]byte, len(in)/pixels*outputs*4)
	wait, err := r.Start([][]byte{in}, [][]byte{out})
	if err == nil {
		err = wait()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func vectors(b []byte) tensor.Matrix {
	return tensor.Matrix{Type: tensor.F32, Rows: len(b) / outputs / 4, Cols: outputs, Pitch: outputs, Data: b}
}

// onHost is the tower's output on the CPU.
func onHost(tb testing.TB, in []byte) tensor.Matrix {
	tb.Helper()
	b, err := host.New(host.Options{Threads: 1})
	if err != nil {
		tb.Fatal(err)
	}
	defer b.Close()
	return vectors(pass(tb, newTowers(kernels.FP32).load(tb, b, len(in)/pixels), in))
}

// The precisions of a GPU, with the largest relative error of one rounding.
var precisions = map[string]struct {
	types    kernels.Precision
	tf32     bool
	rounding float64
}{
	"fp32":      {kernels.FP32, false, 0x1p-24},
	"tf32":      {kernels.FP32, true, 0x1p-11},
	"fp16":      {kernels.Precision{Activation: tensor.F16, Stream: tensor.F32}, false, 0x1p-11},
	"fp16 pure": {kernels.Precision{Activation: tensor.F16, Stream: tensor.F16}, false, 0x1p-11},
	"bf16":      {kernels.Precision{Activation: tensor.BF16, Stream: tensor.F32}, false, 0x1p-8},
}

// tolerance of unit vectors after about sixty roundings on the way of a value: eight for their walk, four times that
// for the sums of products, whose terms are larger than they are.
func tolerance(rounding float64) tensor.Tolerance {
	return tensor.Tolerance{Abs: 32 * rounding / math.Sqrt(outputs), Rel: 32 * rounding}
}

// TestTower compares the tower in every precision, with cublasLt and without, with the CPU.
func TestTower(t *testing.T) {
	in := images(1, 3)
	want := onHost(t, in)
	for name, p := range precisions {
		for _, blas := range []bool{false, true} {
			if p.tf32 && !blas {
				continue
			}
			t.Run(fmt.Sprintf("%s/blas=%v", name, blas), func(t *testing.T) {
				o := cuda.Options{TF32: p.tf32}
				if blas {
					o.Blas = emu.NewBlas
				}
				b := open(t, emu.Options{Lazy: true, Seed: 3}, o)
				got := vectors(pass(t, newTowers(p.types).load(t, b, 3), in))
				if err := tensor.Compare(got, want, tolerance(p.rounding)); err != nil {
					t.Error(err)
				}
				if m := b.Memory(); m.Weights == 0 || m.Arena == 0 || blas != (m.Workspace > 0) || m.Total-m.Free < m.Weights+m.Arena+m.Workspace {
					t.Errorf("memory is %+v", m)
				}
			})
		}
	}
}

// TestTuring runs the tower on the oldest target, whose tensor cores add as measured ones do.
func TestTuring(t *testing.T) {
	in := images(2, 2)
	b := open(t, emu.Options{Targets: []ptx.Target{ptx.SM75}, Accumulation: ptxsim.Aligned}, cuda.Options{})
	got := vectors(pass(t, newTowers(precisions["fp16"].types).load(t, b, 2), in))
	if err := tensor.Compare(got, onHost(t, in), tolerance(0x1p-11)); err != nil {
		t.Error(err)
	}
	for _, p := range b.Caps().Precisions {
		if p.Activation == tensor.BF16 {
			t.Error("bf16 on sm_75")
		}
	}
}

// TestSameBits runs the tower in all ways that must not change a bit.
func TestSameBits(t *testing.T) {
	in := images(4, 3)
	for _, blas := range []func(cuda.Device) (cuda.Blas, error){nil, emu.NewBlas} {
		var first []byte
		for name, o := range map[string]cuda.Options{
			"as usual": {}, "no reuse": {NoReuse: true}, "no graphs": {NoGraphs: true}, "neither": {NoReuse: true, NoGraphs: true},
		} {
			for _, lazy := range []bool{false, true} {
				o.Blas = blas
				b := open(t, emu.Options{Lazy: lazy, Seed: 5}, o)
				r := newTowers(precisions["fp16"].types).load(t, b, 3)
				for range 3 { // both slots, and the first again
					got := pass(t, r, in)
					if first == nil {
						first = got
					}
					if !bytes.Equal(got, first) {
						t.Errorf("%s, lazy %v: other bits", name, lazy)
					}
				}
			}
		}
	}
}

// TestPlaces has the same image at every place of a batch, where it must have the same bits. The favourite algorithm of
// the emulated cublasLt, also its fastest, would not do.
func TestPlaces(t *testing.T) {
	for name, o := range map[string]cuda.Options{
		"own": {}, "fastest": {Blas: emu.NewBlas}, "deterministic": {Blas: emu.NewBlas, Deterministic: true},
	} {
		b := open(t, emu.Options{}, o)
		r := newTowers(kernels.FP32).load(t, b, 4)
		one := images(6, 1)
		for place := range 4 {
			in := images(7, 4)
			copy(in[place*pixels:], one)
			got := pass(t, r, in)[place*outputs*4:][:outputs*4]
			in = bytes.Repeat(one, 4)
			if want := pass(t, r, in)[:outputs*4]; !bytes.Equal(got, want) {
				t.Errorf("%s: other bits at place %d", name, place)
			}
		}
	}
}

// TestGELUTanh has the tanh form in the product where cublasLt computes it.
func TestGELUTanh(t *testing.T) {
	in := images(8, 1)
	var got [2]tensor.Matrix
	for i, blas := range []func(cuda.Device) (cuda.Blas, error){nil, emu.NewBlas} {
		towers := newTowers(kernels.FP32)
		towers.gelu = kernels.GELUTanh
		got[i] = vectors(pass(t, towers.load(t, open(t, emu.Options{}, cuda.Options{Blas: blas}), 1), in))
	}
	if err := tensor.Compare(got[0], got[1], tolerance(0x1p-24)); err != nil {
		t.Error(err)
	}
	if err := tensor.Compare(got[0], onHost(t, in), tolerance(0x1p-24)); err == nil {
		t.Error("both forms of GELU give the same")
	}
}
