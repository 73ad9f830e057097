package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"vith/kernels/tensor"
)

// gemm is a linear layer, with what may follow it in the same pass over the result:
//
//	y[m,n] = activation(alpha · Σ_k x[m,k]·w[n,k] + bias[n]) + residual[m,n]
//
// Shapes: x [m, k]; w [n, k], as PyTorch stores a Linear; bias [1, n] f32; residual, y [m, n]. Products are summed in
// float32. Compute bound: 2·m·n·k operations over (m·k + n·k + m·n) elements; at m = 1 the weights' bytes bound it.
// Without a bias it is also the projection head.
//
// On a GPU a block computes 128 x 128 results (gemm_block.go), and x is read ⌈n/128⌉ times, w ⌈m/128⌉ times, mostly from
// L2. 16-bit operands go through tensor cores where rows start at multiples of 16 bytes, n is a multiple of 4 and k one
// of 8; every other call takes the slower way in float32.
var gemm = register(&Kernel{
	Name:    "gemm",
	Dims:    []string{"m", "n", "k"},
	Scalars: []string{"alpha"},
	In: []Operand{
		{Name: "x", Kind: Activations, Shape: func(d []int) (int, int) { return d[0], d[2] }},
		{Name: "w", Kind: Activations, Shape: func(d []int) (int, int) { return d[1], d[2] }, Constant: true},
		{Name: "bias", Kind: Parameters, Shape: func(d []int) (int, int) { return 1, d[1] }, Optional: true, Constant: true},
		{Name: "residual", Kind: Stream, Shape: func(d []int) (int, int) { return d[0], d[1] }, Optional: true},
	},
	Out:     []Operand{{Name: "y", Kind: Stream, Shape: func(d []int) (int, int) { return d[0], d[1] }}},
	InPlace: []Alias{{Out: 0, In: 3}},
	FLOPs:   func(d []int) int64 { return 2 * int64(d[0]) * int64(d[1]) * int64(d[2]) },
	Host: func(a Args) {
		x, w, bias, residual := a.In[0], a.In[1], a.In[2], a.In[3]
		for m := range a.Dims[0] {
			for n := range a.Dims[1] {
				s := 0.0
				for k := range a.Dims[2] {
					s += x.At(m, k) * w.At(n, k)
				}
				s *= float64(a.Scalars[0])
				if bias.Data != nil {
					s += bias.At(0, n)
				}
				s = a.Attrs.Activation.Apply(s)
				if residual.Data != nil {
					s += residual.At(m, n)
				}
				a.Out[0].Set(m, n, s)
			}
		}
	},
	// The partial sums of k products of unit normals wander like √k, up to 4·√k in a large matrix. Each addition rounds
	// one of them by up to 2⁻²⁴ of it, so the error's standard deviation is at most 4·k·2⁻²⁴/√6; five of them. The
	// activations' slopes are at most 1.13.
	//
	// Tensor cores, which take 16-bit operands, truncate, and those errors have one sign. They add 4 products or more at
	// a time: in at most k/4 truncations a sum that wanders to 4·√k, and so is 2·√k on average, loses 2⁻²⁴ of it on
	// average each time.
	Tolerance: func(p Precision, c Case) tensor.Tolerance {
		alpha, k := max(1, math.Abs(float64(c.Scalars[0]))), float64(c.Dims[2])
		sum := 8 * k
		if p.Activation.Size() == 2 {
			sum += k / 4 * 2 * math.Sqrt(k)
		}
		return tensor.Tolerance{Abs: (alpha*sum + 8) * 0x1p-24, Rel: 8*0x1p-24 + 2*roundoff(p.Stream)}
	},
	GPU:   &GPU{Burn: []string{"n", "k"}, Launch: launchGEMM, PTX: gemmPTX},
	Cases: gemmCases(),
	Random: func(r *rand.Rand) Case {
		c := Case{Dims: []int{1 + r.IntN(40), 1 + r.IntN(100), 1 + r.IntN(200)}, Scalars: []float32{1}}
		c.Attrs.Activation = Activation(r.IntN(4))
		for _, o := range []string{"bias", "residual"} {
			if r.IntN(2) == 0 {
				c.Without = append(c.Without, o)
			}
		}
		return c
	},
})

func gemmCases() []Case {
	one := []float32{1}
	cases := []Case{
		{Dims: []int{1, 1, 1}, Scalars: one},
		{Dims: []int{13, 31, 17}, Scalars: one, Without: []string{"bias", "residual"}},
		{Dims: []int{15, 33, 1}, Scalars: one, Without: []string{"residual"}},
		{Dims: []int{29, 65, 588}, Scalars: []float32{1 / 255.}, Without: []string{"residual"}},
		{Dims: []int{7, 208, 208}, Scalars: []float32{-2}},
		{Dims: []int{1, 4, 8}, Scalars: one},
		{Dims: []int{129, 132, 136}, Scalars: []float32{0.5}},
		{Dims: []int{130, 1284, 16}, Scalars: one, Without: []string{"bias"}}, // 11 tiles side by side
		{Dims: []int{257, 64, 1281}, Scalars: one},
		{Dims: []int{1, 96, 2600}, Scalars: one, Without: []string{"bias"}},
		{Dims: []int{257, 320, 1280}, Scalars: one},
		{Dims: []int{8, 0, 8}, Scalars: one, Refused: true},
	}
	for f := GELU; f <= QuickGELU; f++ {
		for _, n := range []int{96, 97} {
			cases = append(cases, Case{Dims: []int{30, n, 64}, Scalars: one, Attrs: Attrs{Activation: f}, Without: []string{"residual"}})
		}
	}
	return cases
}

// Linear returns alpha·x·wᵀ + bias as type t; bias may be nil. The result is named after the weight.
func (p *Program) Linear(x, w Buf, bias *Weight, alpha float32, t tensor.DType) Buf {
	b := Absent
	if bias != nil {
		b = p.Weight(bias)
	}
	if w.Cols != x.Cols {
		p.fail(fmt.Errorf("kernels: gemm: %s has %d columns, %s has %d", p.name(x), x.Cols, p.name(w), w.Cols))
	}
	name := strings.TrimSuffix(p.name(w), ".weight")
	return p.Append(name, Precision{p.typeOf(x), t}, Call{
		Kernel: gemm, In: []Buf{x, w, b, Absent}, Scalars: []float32{alpha}, Dims: []int{x.Rows, w.Rows, w.Cols},
	})[0]
}

// atLeast refuses a size below lo.
func atLeast(name string, n, lo int) error {
	if n < lo {
		return fmt.Errorf("%s is %d, must be at least %d", name, n, lo)
	}
	return nil
}
