package emu_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"vith/cuda"
	"vith/cuda/emu"
	"vith/kernels"
	"vith/kernels/tensor"
)

func (b *bench) upload(data []byte) cuda.Ptr {
	b.Helper()
	p, h := b.alloc(int64(len(data))), b.host(len(data))
	copy(h, data)
	b.must(b.MemcpyHtoDAsync(p, h, b.stream))
	b.must(b.StreamSynchronize(b.stream))
	return p
}

func (b *bench) download(p cuda.Ptr, n int) []byte {
	b.Helper()
	h := b.host(n)
	b.must(b.MemcpyDtoHAsync(h, p, b.stream))
	b.must(b.StreamSynchronize(b.stream))
	return h
}

func random(r *rand.Rand, t tensor.DType, rows, cols, pitch int) tensor.Matrix {
	m := tensor.NewMatrix(t, rows, pitch)
	for i := range rows {
		for j := range pitch {
			m.Set(i, j, r.NormFloat64())
		}
	}
	m.Cols = cols
	return m
}

// TestMatmul holds every algorithm to float64, in every combination of types and options.
func TestMatmul(t *testing.T) {
	b := on(t, emu.Options{})
	l, err := emu.NewBlas(b.Device)
	b.must(err)
	r := rand.New(rand.NewPCG(1, 2))
	for _, types := range [][2]tensor.DType{{tensor.F32, tensor.F32}, {tensor.F16, tensor.F32}, {tensor.F16, tensor.F16}, {tensor.BF16, tensor.F32}} {
		for option := range 16 {
			m := cuda.Matmul{
				M: 1 + r.IntN(30), N: 1 + r.IntN(70), K: 1 + r.IntN(90), Type: types[0], Out: types[1],
				Alpha: 1, Bias: option&1 != 0, GELUTanh: option&2 != 0, TF32: types[0] == tensor.F32 && option&8 != 0,
			}
			if option&4 != 0 && !m.GELUTanh {
				m.Alpha, m.Beta = -2, 1
			}
			m.PitchX, m.PitchC, m.PitchY = m.K+option, m.N+1, m.N+2
			x, w := random(r, m.Type, m.M, m.K, m.PitchX), random(r, m.Type, m.N, m.K, m.K)
			bias, c := random(r, m.Out, 1, m.N, m.N), random(r, m.Out, m.M, m.N, m.PitchC)
			want := tensor.NewMatrix(m.Out, m.M, m.N)
			for i := range m.M {
				for j := range m.N {
					s := 0.0
					for k := range m.K {
						s += x.At(i, k) * w.At(j, k)
					}
					s *= float64(m.Alpha)
					if m.Bias {
						s += bias.At(0, j)
					}
					if m.GELUTanh {
						s = kernels.GELUTanh.Apply(s)
					}
					if m.Beta != 0 {
						s += c.At(i, j)
					}
					want.Set(i, j, s)
				}
			}
			list, err := l.Heuristics(m, 1<<20, 8)
			b.must(err)
			px, pw, pb, pc := b.upload(x.Data), b.upload(w.Data), b.upload(bias.Data), b.upload(c.Data)
			py, workspace := b.alloc(int64(m.M*m.PitchY*m.Out.Size())), b.alloc(1<<20)
			for i, a := range list {
				b.must(b.MemsetD8Async(py, 0xff, int64(m.M*m.PitchY*m.Out.Size()), b.stream))
				b.must(l.Matmul(m, a, px, pw, pb, pc, py, workspace, b.stream))
				got := want
				got.Pitch, got.Data = m.PitchY, b.download(py, m.M*m.PitchY*m.Out.Size())
				tolerance := tensor.Tolerance{Abs: 1e-4, Rel: 1e-3}
				if m.TF32 {
					tolerance.Abs = 4 * math.Sqrt(float64(m.K)) * 0x1p-10
				}
				if err := tensor.Compare(got, want, tolerance); err != nil {
					t.Errorf("%+v, algorithm %d: %v", m, i, err)
				}
				for row := range m.M {
					gap := got.Data[(row*m.PitchY+m.N)*m.Out.Size():][:2*m.Out.Size()]
					if !bytes.Equal(gap, bytes.Repeat([]byte{0xff}, len(gap))) {
						t.Errorf("%+v, algorithm %d: wrote behind row %d", m, i, row)
					}
				}
			}
		}
	}
}

// TestAlgorithms checks what tests of their choice rely on: the favourite is the fastest and gives rows different bits,
// others differ from each other, one needs a workspace.
func TestAlgorithms(t *testing.T) {
	b := on(t, emu.Options{})
	l, err := emu.NewBlas(b.Device)
	b.must(err)
	m := cuda.Matmul{M: 8, N: 64, K: 300, Type: tensor.F32, Out: tensor.F32, PitchX: 300, PitchY: 64, Alpha: 1}
	row := random(rand.New(rand.NewPCG(3, 4)), tensor.F32, 1, m.K, m.K)
	px := b.upload(bytes.Repeat(row.Data, m.M))
	pw := b.upload(random(rand.New(rand.NewPCG(5, 6)), tensor.F32, m.N, m.K, m.K).Data)
	py, workspace := b.alloc(int64(4*m.M*m.N)), b.alloc(1<<16)
	list, err := l.Heuristics(m, 1<<16, 8)
	b.must(err)
	start, end := b.event(true), b.event(true)
	var first []byte
	var fastest float32
	different, workspaces := 0, 0
	for i, a := range list {
		b.must(b.EventRecord(start, b.stream))
		b.must(l.Matmul(m, a, px, pw, 0, 0, py, workspace, b.stream))
		b.must(b.EventRecord(end, b.stream))
		y := b.download(py, 4*m.M*m.N)
		ms, err := b.EventElapsedTime(start, end)
		b.must(err)
		even := true
		for r := range m.M {
			even = even && bytes.Equal(y[4*r*m.N:][:4*m.N], y[:4*m.N])
		}
		if even != (i > 0) {
			t.Errorf("algorithm %d: all rows alike: %v", i, even)
		}
		switch {
		case i == 0:
			fastest = ms
		case ms <= fastest:
			t.Errorf("algorithm %d takes %v ms, the first %v", i, ms, fastest)
		case first == nil:
			first = y
		case !bytes.Equal(first, y):
			different++
		}
		if a.Workspace > 0 {
			workspaces++
		}
	}
	if len(list) != 4 || different == 0 || workspaces != 1 {
		t.Errorf("%d algorithms, %d of them round differently, %d need a workspace", len(list), different, workspaces)
	}
	if list, err := l.Heuristics(m, 0, 2); err != nil || len(list) != 2 || list[1].Workspace != 0 {
		t.Errorf("two algorithms without a workspace: %+v, %v", list, err)
	}
}

func TestMatmulRefused(t *testing.T) {
	b := on(t, emu.Options{})
	l, err := emu.NewBlas(b.Device)
	b.must(err)
	good := cuda.Matmul{M: 4, N: 4, K: 4, Type: tensor.F16, Out: tensor.F16, PitchX: 4, PitchC: 4, PitchY: 4, Alpha: 1}
	list, err := l.Heuristics(good, 0, 1)
	b.must(err)
	x := b.alloc(1024)
	b.must(b.MemsetD8Async(x, 0, 1024, b.stream))
	b.must(l.Matmul(good, list[0], x, x, 0, 0, x+512, 0, b.stream))
	b.fails(l.Matmul(good, list[0], x+8, x, 0, 0, x+512, 0, b.stream), cuda.ErrInvalidValue, "aligned")
	b.fails(l.Matmul(good, list[0], x, x, 0, 0, x+1008, 0, b.stream), cuda.ErrInvalidValue, "one allocation")
	b.fails(l.Matmul(good, cuda.Algorithm{}, x, x, 0, 0, x, 0, b.stream), cuda.ErrInvalidValue, "algorithm")
	for name, change := range map[string]func(m *cuda.Matmul){
		"overlap": func(m *cuda.Matmul) { m.PitchX = 3 }, "beta": func(m *cuda.Matmul) { m.Beta = 0.5 },
		"types": func(m *cuda.Matmul) { m.Out = tensor.BF16 }, "tf32": func(m *cuda.Matmul) { m.TF32 = true },
		"both": func(m *cuda.Matmul) { m.Beta, m.GELUTanh = 1, true }, "empty": func(m *cuda.Matmul) { m.K = 0 },
	} {
		m := good
		change(&m)
		if _, err := l.Heuristics(m, 0, 1); err == nil {
			t.Errorf("%s: %s was taken", name, fmt.Sprint(m))
		}
	}
}
