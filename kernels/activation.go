package kernels

import (
	"math"

	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// An Activation is the nonlinearity between the two linear layers of the MLP. The forms of GELU are different
// functions, up to 5e-4 (tanh) and 2e-2 (quick) apart, and never stand in for one another.
type Activation uint8

const (
	NoActivation Activation = iota
	GELU                    // x·Φ(x) = x/2·(1 + erf(x/√2))
	GELUTanh                // x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
	QuickGELU               // x·σ(1.702·x) = x / (1 + exp(−1.702·x))
)

func (a Activation) String() string {
	return [...]string{"none", "gelu", "gelu_tanh", "quick_gelu"}[a]
}

// Apply is the activation of x, in float64.
func (a Activation) Apply(x float64) float64 {
	switch a {
	case GELU:
		return 0.5 * x * math.Erfc(-x/math.Sqrt2)
	case GELUTanh:
		return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	case QuickGELU:
		return x / (1 + math.Exp(-1.702*x))
	}
	return x
}

// activate is the activation of x in PTX. The sign of x chooses between Φ(x) and 1 − Φ(−x), so that small results keep
// their relative accuracy; infinities and NaN give what Apply gives.
//
// Φ(−|x|) is formula 7.1.26 of Abramowitz, Stegun 1964, Handbook of Mathematical Functions, for erfc(|x|/√2)/2: it is off
// by at most 7.5e-8, and GELU by 2.1e-7 where |x| is near 3. The tanh form is x·σ(2u), as 1 + tanh(u) = 2·σ(2u).
func activate(f *ptx.Func, a Activation, x ptx.F32) ptx.F32 {
	switch a {
	case GELU:
		t := f.RcpApproxFtzF32(f.FmaRnF32(f.AbsF32(x), ptx.Float(0.3275911/math.Sqrt2), ptx.Float(1)))
		p := ptx.Float(1.061405429 / 2)
		for _, c := range []float32{-1.453152027 / 2, 1.421413741 / 2, -0.284496736 / 2, 0.254829592 / 2} {
			p = f.FmaRnF32(p, t, ptx.Float(c))
		}
		tail := f.MulRnF32(f.MulRnF32(p, t), f.Ex2ApproxFtzF32(f.MulRnF32(f.MulRnF32(x, x), ptx.Float(-math.Log2E/2))))
		positive := f.SetpF32(ptx.GT, x, ptx.Float(0))
		return f.MulRnF32(x, f.SelpF32(f.SubRnF32(ptx.Float(1), tail), tail, positive))
	case GELUTanh:
		c := 2 * math.Sqrt(2/math.Pi)
		cubic := f.FmaRnF32(f.MulRnF32(x, x), ptx.Float(float32(0.044715*c)), ptx.Float(float32(c)))
		return timesSigmoid(f, x, f.MulRnF32(x, cubic))
	case QuickGELU:
		return timesSigmoid(f, x, f.MulRnF32(x, ptx.Float(1.702)))
	}
	return x
}

// timesSigmoid returns x·σ(z) = x / (1 + exp(−z)).
func timesSigmoid(f *ptx.Func, x, z ptx.F32) ptx.F32 {
	e := f.Ex2ApproxFtzF32(f.MulRnF32(z, ptx.Float(-math.Log2E)))
	return f.MulRnF32(x, f.RcpApproxFtzF32(f.AddRnF32(e, ptx.Float(1))))
}

// gelu, geluTanh and quickGELU apply an activation to every element:
//
//	y[r,c] = activation(x[r,c])
//
// Shapes: x, y [rows, cols]. Bandwidth bound: x and y are moved once, by threads as tiling lays them; or fused by Lower
// into the gemm before it. Source: Hendrycks, Gimpel 2016, arXiv:1606.08415 §2, which gives all three;
// torch.nn.functional.gelu(approximate="none" and "tanh") and Hugging Face's quick_gelu.
var (
	gelu      = activation(GELU)
	geluTanh  = activation(GELUTanh)
	quickGELU = activation(QuickGELU)
)

func activation(f Activation) *Kernel {
	return register(&Kernel{
		Name:    f.String(),
		Dims:    []string{"rows", "cols"},
		In:      []Operand{{Name: "x", Kind: Activations, Shape: elementwise}},
		Out:     []Operand{{Name: "y", Kind: Activations, Shape: elementwise}},
		InPlace: []Alias{{Out: 0, In: 0}},
		// Counted as one operation an element, so that a sum over a program counts the matrix products.
		FLOPs: func(d []int) int64 { return int64(d[0]) * int64(d[1]) },
		Host: func(a Args) {
			for r := range a.Dims[0] {
				for c := range a.Dims[1] {
					a.Out[0].Set(r, c, f.Apply(a.In[0].At(r, c)))
				}
			}
		},
		// Four roundings near 1 in the absolute part, where x and the bracket nearly cancel; eight relative ones.
		Tolerance: func(p Precision, _ Case) tensor.Tolerance {
			return tensor.Tolerance{Abs: 4 * 0x1p-24, Rel: 8*0x1p-24 + 2*roundoff(p.Activation)}
		},
		GPU: elementwiseGPU([]Kind{Activations}, Activations, func(p *ptx.Func, x []ptx.F32) ptx.F32 {
			return activate(p, f, x[0])
		}),
		Cases: []Case{
			{Dims: []int{1, 1}}, {Dims: []int{3, 31}}, {Dims: []int{2, 33}}, {Dims: []int{5, 96}},
			{Dims: []int{257, 5120}}, {Dims: []int{4, 0}, Refused: true},
		},
		Random: randomElementwise,
	})
}

// Activate returns f(x), element by element.
func (p *Program) Activate(f Activation, x Buf) Buf {
	k := map[Activation]*Kernel{GELU: gelu, GELUTanh: geluTanh, QuickGELU: quickGELU}[f]
	if k == nil {
		return x
	}
	return p.Append(p.name(x)+"."+f.String(), p.uniform(x), Call{Kernel: k, In: []Buf{x}, Dims: []int{x.Rows, x.Cols}})[0]
}
