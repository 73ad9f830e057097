//go:build cuda && cgo && linux && (amd64 || arm64)

package native_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"vith/cuda"
	"vith/cuda/emu"
	"vith/cuda/native/fake"
	"vith/kernels"
	"vith/kernels/tensor"
)

const batch, width, hidden = 5, 48, 104

// mlp is a program of a normalisation and two products with the residual, in fp16.
func mlp(weight func(key string, t tensor.DType, rows, cols int) *kernels.Weight) *kernels.Program {
	p := kernels.NewProgram()
	x := p.Input("x", tensor.F32, batch, width)
	y := p.LayerNorm(x, weight("gamma", tensor.F32, 1, width), weight("beta", tensor.F32, 1, width), 1e-5, tensor.F16)
	y = p.Linear(y, p.Weight(weight("fc1", tensor.F16, hidden, width)), weight("bias1", tensor.F32, 1, hidden), 1, tensor.F16)
	y = p.Linear(p.Activate(kernels.GELU, y), p.Weight(weight("fc2", tensor.F16, width, hidden)), weight("bias2", tensor.F32, 1, width), 1, tensor.F32)
	p.Output(p.Add(x, y))
	return p
}

// The backend does through the C interfaces of the driver and of cublasLt, bit for bit, what it does on what is behind
// them.
func TestBackend(t *testing.T) {
	direct := embed(t, emu.New(emu.Options{Lazy: true}), emu.NewBlas)
	through := embed(t, open(t, emu.Options{Lazy: true}, fake.Options{Blas: emu.NewBlas}), openBlas)
	if !bytes.Equal(direct, through) {
		t.Errorf("got  %x\nwant %x", through, direct)
	}
	if values := slices.Compact(slices.Sorted(slices.Values(direct))); len(values) < 100 {
		t.Errorf("the output is %x", direct)
	}
}

// embed runs the program on a backend that it opens, twice.
func embed(t *testing.T, d cuda.Driver, blas func(cuda.Device) (cuda.Blas, error)) []byte {
	t.Helper()
	b, err := cuda.Open(d, 0, cuda.Options{Blas: blas, Deterministic: true})
	if err != nil {
		t.Fatal(err)
	}
	p, err := kernels.Lower(mlp(func(key string, d tensor.DType, rows, cols int) *kernels.Weight {
		return &kernels.Weight{Key: key, Type: d, Rows: rows, Cols: cols, Fill: func(dst []float32, row0, n int) error {
			r := rand.New(rand.NewPCG(uint64(crc32.ChecksumIEEE([]byte(key))), uint64(row0)))
			for i := range dst {
				dst[i] = float32(r.NormFloat64()) / 8
			}
			return nil
		}}
	}), b.Caps())
	if err != nil {
		t.Fatal(err)
	}
	runner, err := b.Load(p)
	if err != nil {
		t.Fatal(err)
	}
	before := b.Memory()
	in, r := make([]byte, 0, batch*width*4), rand.New(rand.NewPCG(1, 2))
	for range batch * width {
		in = binary.LittleEndian.AppendUint32(in, math.Float32bits(float32(r.NormFloat64())))
	}
	var outs [2][]byte
	for i := range outs {
		outs[i] = make([]byte, len(in))
		wait, err := runner.Start([][]byte{in}, [][]byte{outs[i]})
		if err == nil {
			err = wait()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(outs[0], outs[1]) {
		t.Errorf("two passes differ")
	}
	if after := b.Memory(); after != before {
		t.Errorf("memory went from %+v to %+v", before, after)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	return outs[1]
}
