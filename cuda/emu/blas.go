package emu

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"sync"

	"vith/cuda"
	"vith/kernels"
	"vith/kernels/host/simd"
	"vith/kernels/tensor"
)

// blasAlign is what operands must be aligned to, in bytes.
const blasAlign = 16

// NewBlas opens a cublasLt on a device of this package, on whose thread it is called.
func NewBlas(device cuda.Device) (cuda.Blas, error) {
	d, ok := device.(*Device)
	if !ok {
		return nil, fmt.Errorf("emu: a cublasLt on a device of type %T", device)
	}
	tier, err := simd.Select("")
	if err != nil {
		return nil, err
	}
	err = d.call("cublasLtCreate", func() error {
		d.blas++
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &blas{d, tier}, nil
}

// A blas is an emulated cublasLt. Products are summed in float32.
type blas struct {
	device *Device
	tier   *simd.Tier
}

// Version is 12.4.5's.
func (b *blas) Version() int { return 120405 }

// Close ends the library.
func (b *blas) Close() error {
	return b.device.destroy("cublasLtDestroy", func() error {
		b.device.blas--
		return nil
	})
}

// Heuristics returns the algorithms of this package that fit, see algorithms.
func (b *blas) Heuristics(m cuda.Matmul, workspace int64, most int) (list []cuda.Algorithm, err error) {
	const call = "cublasLtMatmulAlgoGetHeuristic"
	err = b.device.call(call, func() error {
		if err := valid(call, m); err != nil {
			return err
		}
		for i, a := range algorithms {
			if need := a.workspace(m); need <= workspace && len(list) < most {
				list = append(list, cuda.Algorithm{
					Data: [8]uint64{uint64(i), algorithmTag}, Workspace: need,
					Waves: float32((m.M+127)/128*((m.N+127)/128)) / float32(b.device.info.SMs),
				})
			}
		}
		return nil
	})
	return list, err
}

// valid refuses products that cublasLt does not have.
func valid(call string, m cuda.Matmul) error {
	outputs := map[tensor.DType]bool{m.Type: true, tensor.F32: true}
	switch {
	case m.M < 1 || m.N < 1 || m.K < 1:
		return invalid(call, "of %+v: an empty matrix", m)
	case m.PitchX < m.K || m.PitchY < m.N || m.Beta != 0 && m.PitchC < m.N:
		return invalid(call, "of %+v: rows overlap", m)
	case !m.Type.Float() || !outputs[m.Out] || m.TF32 && m.Type != tensor.F32 || m.Beta != 0 && m.Beta != 1 || m.GELUTanh && m.Beta != 0:
		return &cuda.CallError{Call: call, Detail: fmt.Sprintf("of %+v", m), Status: cuda.ErrNotSupported}
	}
	return nil
}

// Matmul queues a product.
func (b *blas) Matmul(m cuda.Matmul, a cuda.Algorithm, x, w, bias, c, y cuda.Ptr, workspace cuda.Ptr, h cuda.Stream) error {
	const call = "cublasLtMatmul"
	d := b.device
	return d.call(call, func() error {
		s, err := lookup(d.streams, h, call, "stream")
		if err != nil {
			return err
		}
		if err := valid(call, m); err != nil {
			return err
		}
		if a.Data[1] != algorithmTag || a.Data[0] >= uint64(len(algorithms)) || a.Workspace < algorithms[a.Data[0]].workspace(m) {
			return invalid(call, "of %+v: an algorithm that Heuristics did not return", m)
		}
		p := &product{blas: b, Matmul: m, algorithm: &algorithms[a.Data[0]], x: x, w: w, bias: bias, c: c, y: y, workspace: workspace, need: a.Workspace}
		for _, o := range p.operands() {
			if o.base%blasAlign != 0 {
				return invalid(call, "of %+v: operand at %#x is not aligned to %d bytes", m, o.base, blasAlign)
			}
			if err := d.inside(call, cuda.Ptr(o.base), int64(o.end-o.base)); err != nil {
				return err
			}
		}
		return d.enqueue(s, &work{
			call: call, what: fmt.Sprintf("product %dx%dx%d by %s", m.M, m.N, m.K, p.algorithm.name),
			touch: p.operands, run: p.run,
			cost: func() float64 { return 2000 + p.algorithm.cost*2*float64(m.M)*float64(m.N)*float64(m.K)/1e4 },
		})
	})
}

// A product is one Matmul.
type product struct {
	*blas
	cuda.Matmul
	algorithm        *algorithm
	x, w, bias, c, y cuda.Ptr
	workspace        cuda.Ptr
	need             int64
}

// operands are the memory that the product touches.
func (p *product) operands() []access {
	matrix := func(at cuda.Ptr, rows, cols, pitch int, t tensor.DType, write bool) access {
		return access{uint64(at), uint64(at) + uint64(((rows-1)*pitch+cols)*t.Size()), write}
	}
	list := []access{
		matrix(p.x, p.M, p.K, p.PitchX, p.Type, false),
		matrix(p.w, p.N, p.K, p.K, p.Type, false),
		matrix(p.y, p.M, p.N, p.PitchY, p.Out, true),
	}
	if p.Bias {
		list = append(list, matrix(p.bias, 1, p.N, p.N, p.Out, false))
	}
	if p.Beta != 0 {
		list = append(list, matrix(p.c, p.M, p.N, p.PitchC, p.Out, false))
	}
	if p.need > 0 {
		list = append(list, access{uint64(p.workspace), uint64(p.workspace) + uint64(p.need), true})
	}
	return list
}

// run computes the product.
func (p *product) run() error {
	x, err := p.read(p.x, p.M, p.K, p.PitchX, p.Type)
	if err != nil {
		return err
	}
	w, err := p.read(p.w, p.N, p.K, p.K, p.Type)
	if err != nil {
		return err
	}
	bias, c := make([]float32, p.N), make([]float32, p.M*p.N)
	if p.Bias {
		if bias, err = p.read(p.bias, 1, p.N, p.N, p.Out); err != nil {
			return err
		}
	}
	if p.Beta != 0 {
		if c, err = p.read(p.c, p.M, p.N, p.PitchC, p.Out); err != nil {
			return err
		}
	}
	if p.TF32 {
		roundTF32(x)
		roundTF32(w)
	}
	if p.need > 0 {
		if err := p.device.memory.Write(uint64(p.workspace), make([]byte, p.need)); err != nil {
			return err
		}
	}
	p.panels(func(panel int, tile []float32, row, rows int) {
		for r := range rows {
			for n := panel * p.tier.NR; n < min(p.N, (panel+1)*p.tier.NR); n++ {
				v := p.Alpha*tile[r*p.tier.NR+n-panel*p.tier.NR] + bias[n]
				if p.GELUTanh {
					v = float32(kernels.GELUTanh.Apply(float64(v)))
				}
				c[(row+r)*p.N+n] += v
			}
		}
	}, x, w)
	return p.write(c)
}

// panels calls done with the sums of each tile of rows x NR products, panels of w being spread over goroutines.
func (p *product) panels(done func(panel int, tile []float32, row, rows int), x, w []float32) {
	t := p.tier
	all := (p.N + t.NR - 1) / t.NR
	workers := min(all, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			b, tile := make([]float32, t.NR*p.K), make([]float32, t.MR*t.NR)
			for panel := worker; panel < all; panel += workers {
				n := min(t.NR, p.N-panel*t.NR)
				if n < t.NR {
					clear(b)
				}
				t.Transpose(&b[0], t.NR, &w[panel*t.NR*p.K], p.K, n, p.K)
				for _, part := range p.algorithm.parts(p.Matmul) {
					for r := part.row0; r < part.row1; r += t.MR {
						rows, k := min(t.MR, part.row1-r), 0
						for _, cut := range part.cuts {
							t.Tile[rows](cut-k, &x[r*p.K+k], p.K, &b[k*t.NR], &tile[0], t.NR, nil, k > 0, 0, 0)
							k = cut
						}
						done(panel, tile, r, rows)
					}
				}
			}
		})
	}
	wg.Wait()
}

// read returns a matrix of device memory without its gaps, in float32.
func (p *product) read(at cuda.Ptr, rows, cols, pitch int, t tensor.DType) ([]float32, error) {
	values, row := make([]float32, rows*cols), make([]byte, cols*t.Size())
	for r := range rows {
		if err := p.device.memory.Read(uint64(at)+uint64(r*pitch*t.Size()), row); err != nil {
			return nil, err
		}
		dst := values[r*cols:][:cols]
		for i := range dst {
			switch t {
			case tensor.F32:
				dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(row[4*i:]))
			case tensor.F16:
				dst[i] = tensor.FromF16(binary.LittleEndian.Uint16(row[2*i:]))
			case tensor.BF16:
				dst[i] = tensor.FromBF16(binary.LittleEndian.Uint16(row[2*i:]))
			}
		}
	}
	return values, nil
}

// write rounds the result and stores it.
func (p *product) write(values []float32) error {
	m := tensor.NewMatrix(p.Out, 1, p.N)
	for r := range p.M {
		for i, v := range values[r*p.N:][:p.N] {
			m.Set(0, i, float64(v))
		}
		if err := p.device.memory.Write(uint64(p.y)+uint64(r*p.PitchY*p.Out.Size()), m.Data); err != nil {
			return err
		}
	}
	return nil
}

// roundTF32 keeps ten bits of each mantissa, rounding to nearest, ties away from zero.
func roundTF32(x []float32) {
	for i, v := range x {
		x[i] = math.Float32frombits((math.Float32bits(v) + 1<<12) &^ (1<<13 - 1))
	}
}
