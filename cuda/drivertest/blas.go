package drivertest

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"vith/cuda"
	"vith/kernels/tensor"
)

// workspaceSize is what algorithms may use in these tests, in bytes.
const workspaceSize = 4 << 20

// A blasBench is a bench with a cublasLt.
type blasBench struct {
	*bench
	blas      cuda.Blas
	workspace cuda.Ptr
}

func runBlas(t *testing.T, open func(*testing.T) cuda.Driver, openBlas func(cuda.Device) (cuda.Blas, error)) {
	start := func(t *testing.T) *blasBench {
		t.Helper()
		b := start(t, open)
		blas, err := openBlas(b.Device)
		b.must(err)
		b.Cleanup(func() { b.must(blas.Close()) })
		return &blasBench{b, blas, b.alloc(workspaceSize)}
	}
	t.Run("Products", func(t *testing.T) { testProducts(start(t)) })
	t.Run("Heuristics", func(t *testing.T) { testHeuristics(start(t)) })
	t.Run("Refused", func(t *testing.T) { testRefusedProducts(start(t)) })
	t.Run("Graph", func(t *testing.T) { testProductGraph(start(t)) })
}

// A product is a Matmul with where its operands lie.
type product struct {
	cuda.Matmul
	inPlace bool // c is y
	lead    int  // bytes that operands lie behind the start of their memory
}

// types are the element types of products: of x and w, and of y.
var types = []cuda.Matmul{
	{Type: tensor.F32, Out: tensor.F32},
	{Type: tensor.F32, Out: tensor.F32, TF32: true},
	{Type: tensor.F16, Out: tensor.F16},
	{Type: tensor.F16, Out: tensor.F32},
	{Type: tensor.BF16, Out: tensor.BF16},
	{Type: tensor.BF16, Out: tensor.F32},
}

// dense gives a product the sizes, without gaps between rows.
func dense(m cuda.Matmul, rows, cols, k int) cuda.Matmul {
	m.M, m.N, m.K = rows, cols, k
	m.PitchX, m.PitchC, m.PitchY = k, cols, cols
	m.Alpha = 1
	return m
}

// products are the variants of one type. Sizes are ragged where cublasLt has fast kernels for them: rows begin at
// multiples of 16 bytes.
func products(m cuda.Matmul) []product {
	variant := func(height, width, k int, change func(*product)) product {
		p := product{Matmul: dense(m, height, width, k)}
		change(&p)
		return p
	}
	residual := func(p *product) { p.Bias, p.Beta, p.inPlace = true, 1, true }
	list := []product{
		variant(1, 8, 16, func(*product) {}),
		variant(5, 24, 40, func(p *product) { p.Bias = true }),
		variant(257, 64, 64, func(p *product) { p.Bias, p.Alpha = true, 1./255 }),
		variant(65, 200, 64, func(p *product) { p.GELUTanh = true }),
		variant(65, 200, 64, func(p *product) { p.GELUTanh, p.Bias = true, true }),
		variant(3, 72, 592, func(p *product) { p.Beta = 1 }),
		variant(130, 72, 592, residual),
		variant(7, 16, 24, func(p *product) {
			p.Bias, p.Beta, p.lead = true, 1, 16
			p.PitchX, p.PitchC, p.PitchY = 257*24, 32, 40
		}),
	}
	return list
}

// operands are a product's matrices on the host.
type operands struct{ x, w, bias, c, want tensor.Matrix }

// random draws operands in [-1, 1) and computes the product in float64.
func (p product) random(r *rand.Rand) (o operands) {
	draw := func(t tensor.DType, height, width, pitch int) tensor.Matrix {
		m := tensor.Matrix{Type: t, Rows: height, Cols: width, Pitch: pitch, Data: make([]byte, height*pitch*t.Size())}
		for i := range height {
			for j := range width {
				m.Set(i, j, 2*r.Float64()-1)
			}
		}
		return m
	}
	o.x, o.w = draw(p.Type, p.M, p.K, p.PitchX), draw(p.Type, p.N, p.K, p.K)
	o.bias, o.c = draw(p.Out, 1, p.N, p.N), draw(p.Out, p.M, p.N, p.PitchC)
	o.want = tensor.NewMatrix(tensor.F32, p.M, p.N)
	x, w := rows(o.x), rows(o.w)
	for i := range p.M {
		for j := range p.N {
			sum := 0.0
			for k, v := range x[i] {
				sum += v * w[j][k]
			}
			y := float64(p.Alpha) * sum
			if p.Bias {
				y += o.bias.At(0, j)
			}
			if p.GELUTanh {
				y = y / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(y+0.044715*y*y*y)))
			}
			if p.Beta != 0 {
				y += o.c.At(i, j)
			}
			o.want.Set(i, j, y)
		}
	}
	return o
}

// rows are a matrix's values.
func rows(m tensor.Matrix) [][]float64 {
	values := make([][]float64, m.Rows)
	for r := range values {
		values[r] = make([]float64, m.Cols)
		for c := range values[r] {
			values[r][c] = m.At(r, c)
		}
	}
	return values
}

// tolerance of elements whose terms, of magnitude below 1, sum to at most alpha·K + 2. Sums are in float32; tensor cores
// cut off what hangs over, two bits further down than rounding would. TF32 cuts operands to 10 bits. The library's tanh
// may be the hardware's, within 2^-10.9.
func (p product) tolerance() tensor.Tolerance {
	size := float64(p.Alpha)*float64(p.K) + 2
	abs := size * float64(p.K+2) * 0x1p-22
	if p.Type == tensor.F32 && !p.TF32 {
		abs /= 4
	}
	if p.TF32 {
		abs += size * 2 * 0x1p-10
	}
	if p.GELUTanh {
		abs = 1.13*abs + size/2*0x1p-10
	}
	rel := map[tensor.DType]float64{tensor.F32: 0x1p-23, tensor.F16: 0x1p-11, tensor.BF16: 0x1p-8}[p.Out]
	return tensor.Tolerance{Abs: abs, Rel: rel}
}

// Every algorithm that is offered computes every product, and writes nothing but y.
func testProducts(b *blasBench) {
	if v := b.blas.Version(); v < 110000 || v > 300000 {
		b.Errorf("the library's version is %d", v)
	}
	for _, m := range types {
		for i, p := range products(m) {
			b.Run(fmt.Sprintf("%v_%v_tf32=%v_%d", m.Type, m.Out, m.TF32, i), func(t *testing.T) {
				runtime.LockOSThread() // for good: the thread, another one than the test's, ends with its context still current
				c := *b.bench
				c.T = t
				c.must(c.SetCurrent())
				check(&blasBench{&c, b.blas, b.workspace}, p)
			})
			b.must(b.SetCurrent())
		}
	}
}

func check(b *blasBench, p product) {
	o := p.random(rand.New(rand.NewPCG(uint64(p.M), uint64(p.K))))
	place := func(m tensor.Matrix) cuda.Ptr {
		return b.upload(append(make([]byte, p.lead), m.Data...)) + cuda.Ptr(p.lead)
	}
	x, w, bias, c := place(o.x), place(o.w), place(o.bias), place(o.c)
	y, pitch := c, p.PitchC
	before := o.c.Data
	if !p.inPlace {
		pitch = p.PitchY
		before = bytes.Repeat([]byte{0x55}, p.M*pitch*p.Out.Size())
		y = place(tensor.Matrix{Data: before})
	}
	algorithms, err := b.blas.Heuristics(p.Matmul, workspaceSize, 8)
	b.must(err)
	if len(algorithms) == 0 || len(algorithms) > 8 {
		b.Fatalf("%d algorithms for %+v, asked for 8", len(algorithms), p.Matmul)
	}
	initial, h := b.host(len(before)), b.host(len(before))
	copy(initial, before)
	for i, a := range algorithms {
		if a.Workspace < 0 || a.Workspace > workspaceSize {
			b.Errorf("algorithm %d needs %d bytes, %d were allowed", i, a.Workspace, workspaceSize)
		}
		b.must(b.MemcpyHtoDAsync(y, initial, b.stream))
		b.must(b.blas.Matmul(p.Matmul, a, x, w, bias, c, y, b.workspace, b.stream))
		b.must(b.MemcpyDtoHAsync(h, y, b.stream))
		b.sync()
		got := tensor.Matrix{Type: p.Out, Rows: p.M, Cols: p.N, Pitch: pitch, Data: h}
		if err := tensor.Compare(got, o.want, p.tolerance()); err != nil {
			b.Errorf("algorithm %d of %+v: %v", i, p, err)
		}
		row, size := pitch*p.Out.Size(), p.N*p.Out.Size()
		for r := range p.M {
			if gap := r*row + size; !bytes.Equal(h[gap:(r+1)*row], before[gap:(r+1)*row]) {
				b.Fatalf("algorithm %d of %+v wrote behind row %d", i, p, r)
			}
		}
	}
}

func testHeuristics(b *blasBench) {
	m := dense(types[2], 130, 256, 256)
	for _, most := range []int{1, 3} {
		for _, workspace := range []int64{0, workspaceSize} {
			algorithms, err := b.blas.Heuristics(m, workspace, most)
			b.must(err)
			if len(algorithms) == 0 || len(algorithms) > most {
				b.Errorf("%d algorithms of at most %d", len(algorithms), most)
			}
			for _, a := range algorithms {
				if a.Workspace > workspace {
					b.Errorf("an algorithm needs %d bytes of %d", a.Workspace, workspace)
				}
			}
		}
	}
	for _, change := range []func(*cuda.Matmul){
		func(m *cuda.Matmul) { m.M = 0 },
		func(m *cuda.Matmul) { m.N = -1 },
		func(m *cuda.Matmul) { m.K = 0 },
		func(m *cuda.Matmul) { m.PitchX = m.K - 1 },
		func(m *cuda.Matmul) { m.PitchY = m.N - 1 },
		func(m *cuda.Matmul) { m.Beta, m.PitchC = 1, m.N-1 },
	} {
		bad := m
		change(&bad)
		_, err := b.blas.Heuristics(bad, 0, 1)
		b.fails(err, invalidValue)
	}
	for _, change := range []func(*cuda.Matmul){
		func(m *cuda.Matmul) { m.Type = tensor.U8 },
		func(m *cuda.Matmul) { m.Out = tensor.BF16 },
		func(m *cuda.Matmul) { m.TF32 = true },
		func(m *cuda.Matmul) { m.Beta = 2 },
		func(m *cuda.Matmul) { m.Beta, m.GELUTanh = 1, true }, // the library adds c first
	} {
		bad := m
		change(&bad)
		_, err := b.blas.Heuristics(bad, 0, 1)
		b.fails(err, []cuda.Status{cuda.ErrNotSupported})
	}
}

func testRefusedProducts(b *blasBench) {
	m := dense(types[0], 8, 8, 8)
	m.Bias, m.Beta = true, 1
	algorithms, err := b.blas.Heuristics(m, 0, 1)
	b.must(err)
	if len(algorithms) != 1 {
		b.Fatalf("%d algorithms", len(algorithms))
	}
	a := algorithms[0]
	p := b.upload(make([]byte, 4096))
	x, w, bias, c := p, p+1024, p+2048, p+3072
	matmul := func(x, w, bias, c, y cuda.Ptr, s cuda.Stream) error {
		return b.blas.Matmul(m, a, x, w, bias, c, y, b.workspace, s)
	}
	b.must(matmul(x, w, bias, c, c, b.stream))
	for _, err := range []error{
		matmul(x+4, w, bias, c, c, b.stream),
		matmul(x, w+8, bias, c, c, b.stream),
		matmul(x, w, bias+4, c, c, b.stream),
		matmul(x, w, bias, c+8, c, b.stream),
		matmul(x, w, bias, c, c+8, b.stream),
		matmul(0, w, bias, c, c, b.stream),
		matmul(x, w, 0, c, c, b.stream),
		matmul(x, w, bias, c, 0, b.stream),
	} {
		b.fails(err, invalidValue)
	}
	b.fails(matmul(x, w, bias, c, c, 0), []cuda.Status{cuda.ErrInvalidHandle, cuda.ErrInvalidValue})
	b.sync()

	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		b.fails(matmul(x, w, bias, c, c, b.stream), invalidContext)
		_, err := b.blas.Heuristics(m, 0, 1)
		b.fails(err, invalidContext)
		b.fails(b.blas.Close(), invalidContext)
	}()
	<-done
}

// A product can be captured.
func testProductGraph(b *blasBench) {
	m := dense(types[0], 3, 8, 8)
	m.Beta = 1
	algorithms, err := b.blas.Heuristics(m, workspaceSize, 1)
	b.must(err)
	identity := make([]float32, 64)
	for i := range 8 {
		identity[9*i] = 1
	}
	x, w, y := b.upload(bytes32(ramp(1, 24)...)), b.upload(bytes32(identity...)), b.upload(make([]byte, 4*24))
	b.must(b.StreamBeginCapture(b.stream))
	b.must(b.blas.Matmul(m, algorithms[0], x, w, 0, y, y, b.workspace, b.stream))
	g, err := b.StreamEndCapture(b.stream)
	b.must(err)
	e := b.exec(g)
	for range 3 {
		b.must(b.GraphLaunch(e, b.stream))
	}
	b.sync()
	for i, v := range floats(b.download(y, 4*24)) {
		if v != 3*float32(i+1) {
			b.Errorf("element %d is %v after three launches, want %v", i, v, 3*(i+1))
		}
	}
}
