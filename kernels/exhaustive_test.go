package kernels_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"vith/kernels"
	"vith/kernels/kerneltest"
	"vith/kernels/ptx"
	"vith/kernels/ptxsim"
	"vith/kernels/tensor"
)

// interpret runs a program that build writes on one input, x, and returns its output.
func interpret(t *testing.T, x tensor.Matrix, build func(p *kernels.Program, x kernels.Buf) kernels.Buf) tensor.Matrix {
	t.Helper()
	p := kernels.NewProgram()
	y := build(p, p.Input("x", x.Type, x.Rows, x.Cols))
	p.Output(y)
	r, err := kerneltest.NewInterpreter(ptx.SM80, 1, ptxsim.Sequential).Load(p)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m := tensor.NewMatrix(p.Bufs[y.ID].Type, y.Rows, y.Cols)
	wait, err := r.Start([][]byte{x.Data}, [][]byte{m.Data})
	if err == nil {
		err = wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// codes is a matrix of every value of a 16-bit type.
func codes(t tensor.DType) tensor.Matrix {
	m := tensor.NewMatrix(t, 256, 256)
	for i := range 1 << 16 {
		binary.LittleEndian.PutUint16(m.Data[2*i:], uint16(i))
	}
	return m
}

// TestActivationOfEveryHalf holds the activations in PTX to 2 units in the last place of f16 for every half, and to
// the definition's infinities and NaN.
func TestActivationOfEveryHalf(t *testing.T) {
	x := codes(tensor.F16)
	for f := kernels.GELU; f <= kernels.QuickGELU; f++ {
		y := interpret(t, x, func(p *kernels.Program, x kernels.Buf) kernels.Buf { return p.Activate(f, x) })
		worst, at, rounded := 0.0, 0.0, 0
		for i := range 1 << 16 {
			a, got := x.At(i/256, i%256), y.At(i/256, i%256)
			want := f.Apply(a)
			nearest := float64(tensor.FromF16(tensor.ToF16(want)))
			if got == nearest || got != got && want != want {
				rounded++
				continue
			}
			_, e := math.Frexp(want)
			ulp := math.Ldexp(1, max(e-1, -14)-10)
			if d := math.Abs(got-want) / ulp; !(d <= worst) {
				worst, at = d, a
			}
		}
		t.Logf("%v: at most %.2f units in the last place, at %g; %.2f %% correctly rounded", f, worst, at, 100*float64(rounded)/(1<<16))
		if !(worst <= 2) {
			t.Errorf("%v of %g is off by %.2f units in the last place", f, at, worst)
		}
	}
}

// TestCastOfEveryCode holds conversions to the one right answer: of every value of the 16-bit types, of every value
// halfway between two of them, and of its neighbours in float32.
func TestCastOfEveryCode(t *testing.T) {
	var middle []float32
	for i := range 1 << 16 {
		infinity := float32(math.Inf(1))
		for _, x := range []float32{middleF16(uint16(i)), math.Float32frombits(uint32(i)<<16 | 1<<15)} {
			middle = append(middle, math.Nextafter32(x, -infinity), x, math.Nextafter32(x, infinity))
		}
	}
	singles := tensor.NewMatrix(tensor.F32, 512, len(middle)/512)
	for i, x := range middle {
		singles.Set(i/singles.Cols, i%singles.Cols, float64(x))
	}
	for _, x := range []tensor.Matrix{codes(tensor.F16), codes(tensor.BF16), singles} {
		for _, to := range []tensor.DType{tensor.F32, tensor.F16, tensor.BF16} {
			y := interpret(t, x, func(p *kernels.Program, x kernels.Buf) kernels.Buf { return p.Cast(x, to) })
			if err := sameBits(x, y); err != nil {
				t.Errorf("%v to %v: %v", x.Type, to, err)
			}
		}
	}
}

// middleF16 is halfway between the half of that code and the next one away from zero, which after the largest is where
// rounding goes to infinity.
func middleF16(code uint16) float32 {
	if code&0x7fff == 0x7bff {
		return float32(math.Copysign(65520, float64(int16(code))))
	}
	return (tensor.FromF16(code) + tensor.FromF16(code+1)) / 2
}

// sameBits reports an element of y that is not x's rounded to y's type.
func sameBits(x, y tensor.Matrix) error {
	want := tensor.NewMatrix(y.Type, 1, 1)
	for i := range x.Rows {
		for j := range x.Cols {
			want.Set(0, 0, x.At(i, j))
			w, got := want.At(0, 0), y.At(i, j)
			if (got != w || math.Signbit(got) != math.Signbit(w)) && (got == got || w == w) {
				return fmt.Errorf("%g becomes %g, want %g", x.At(i, j), got, w)
			}
		}
	}
	return nil
}
