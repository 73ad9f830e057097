package kernels

import (
	"math"
	"testing"

	"vith/kernels/tensor"
)

func matrix(rows, cols int, x ...float64) tensor.Matrix {
	m := tensor.NewMatrix(tensor.F32, rows, cols)
	for i, v := range x {
		m.Set(i/cols, i%cols, v)
	}
	return m
}

// apply runs a definition on small operands and compares with values computed by hand or from closed forms.
func apply(t *testing.T, k *Kernel, a Args, want ...tensor.Matrix) {
	t.Helper()
	if err := k.Check(a.Dims); err != nil {
		t.Error(err)
		return
	}
	for _, w := range want {
		a.Out = append(a.Out, tensor.NewMatrix(tensor.F32, w.Rows, w.Cols))
	}
	k.Host(a)
	for i, w := range want {
		if err := tensor.Compare(a.Out[i], w, tensor.Tolerance{Abs: 1e-7, Rel: 1e-6}); err != nil {
			t.Errorf("%s%v: output %s: %v", k.Name, a.Dims, k.Out[i].Name, err)
		}
	}
}

func TestDefinitions(t *testing.T) {
	none := tensor.Matrix{}
	type list = []tensor.Matrix

	apply(t, add, Args{In: list{matrix(1, 2, 1, 2), matrix(1, 2, 10, 20)}, Dims: []int{1, 2}}, matrix(1, 2, 11, 22))
	apply(t, cast, Args{In: list{matrix(1, 2, 1.5, -2)}, Dims: []int{1, 2}}, matrix(1, 2, 1.5, -2))

	// x·wᵀ = [1 2]·[3 4; 5 6; 7 8]ᵀ = [11 17 23].
	x, w := matrix(1, 2, 1, 2), matrix(3, 2, 3, 4, 5, 6, 7, 8)
	d := []int{1, 3, 2}
	apply(t, gemm, Args{In: list{x, w, none, none}, Dims: d, Scalars: []float32{1}}, matrix(1, 3, 11, 17, 23))
	apply(t, gemm, Args{In: list{x, w, matrix(1, 3, 1, 2, 3), matrix(1, 3, 100, 200, 300)}, Dims: d, Scalars: []float32{2}},
		matrix(1, 3, 22+1+100, 34+2+200, 46+3+300))
	// The activation comes before the residual: quick_gelu(−11) is nearly nothing, −10 stays.
	apply(t, gemm, Args{In: list{x, w, none, matrix(1, 3, -10, 0, 0)}, Dims: d, Scalars: []float32{-1}, Attrs: Attrs{Activation: QuickGELU}},
		matrix(1, 3, -10-8.146e-8, 0, 0))

	// Rows 1 3 and 2 2: means 2, variances 1 and 0; ε = 3 makes the first divide by 2.
	apply(t, layernorm, Args{In: list{matrix(2, 2, 1, 3, 2, 2), matrix(1, 2, 1, 4), matrix(1, 2, 0, 1)}, Dims: []int{2, 2}, Scalars: []float32{3}},
		matrix(2, 2, -0.5, 0.5*4+1, 0, 1))

	apply(t, l2norm, Args{In: list{matrix(2, 2, 3, 4, 0, 0)}, Dims: []int{2, 2}}, matrix(2, 2, 0.6, 0.8, 0, 0))

	// One image of two patches, then a second.
	apply(t, embed, Args{In: list{matrix(4, 1, 1, 2, 3, 4), matrix(1, 1, 10), matrix(3, 1, 100, 200, 300)}, Dims: []int{2, 3, 1}},
		matrix(6, 1, 110, 201, 302, 110, 203, 304))

	// Sums 1 3 (the class token's) and 4 10 become -1/2 1/2 with ε = 3 and -1 1 without; β takes them to 0 1 and -1/2 3/2.
	// The second normalisation gives -1 1 each, scaled by 1 and 10.
	apply(t, embedNorm, Args{In: list{matrix(1, 2, 3, 8), matrix(1, 2, 0, 1), matrix(2, 2, 1, 2, 1, 2),
		matrix(1, 2, 1, 1), matrix(1, 2, 0.5, 0.5), matrix(1, 2, 1, 10), matrix(1, 2, 0, 0)},
		Dims: []int{1, 2, 2}, Scalars: []float32{3, 0}},
		matrix(2, 2, 0, 1, 0.5-3/math.Sqrt(12), 0.5+3/math.Sqrt(12)), matrix(2, 2, -1, 10, -1, 10))

	// A 5x5 image of which pixel (y, x) is 25·c + 5·y + x in channel c: four 2x2 patches, the last row and column left out.
	pixels := tensor.NewMatrix(tensor.U8, 1, 75)
	for i := range 75 {
		pixels.Set(0, i, float64(25*(i%3)+i/3))
	}
	apply(t, patches, Args{In: list{pixels}, Dims: []int{1, 5, 2, 13}, Scalars: []float32{0, 25, 100}}, matrix(4, 13,
		0, 0, -50, 1, 1, -49, 5, 5, -45, 6, 6, -44, 0,
		2, 2, -48, 3, 3, -47, 7, 7, -43, 8, 8, -42, 0,
		10, 10, -40, 11, 11, -39, 15, 15, -35, 16, 16, -34, 0,
		12, 12, -38, 13, 13, -37, 17, 17, -33, 18, 18, -32, 0))

	// Two heads of one column, one query, two keys: scores ln 3 and 0 give ¾ and ¼; equal scores give ½.
	q, k := matrix(1, 2, math.Log(3), 1), matrix(2, 2, 1, 5, 0, 5)
	apply(t, attention, Args{In: list{q, k, matrix(2, 2, 4, 10, 8, 20)}, Dims: []int{1, 2, 1, 2, 1}, Scalars: []float32{1}},
		matrix(1, 2, 0.75*4+0.25*8, 15))
	// The scale acts on the scores, and each image has its own keys.
	apply(t, attention, Args{In: list{matrix(2, 1, 2*math.Log(3), 7), matrix(4, 1, 1, 0, 2, 2), matrix(4, 1, 4, 8, 1, 3)},
		Dims: []int{2, 1, 1, 2, 1}, Scalars: []float32{0.5}}, matrix(2, 1, 5, 2))
	// Scores too large for exp by themselves.
	apply(t, attention, Args{In: list{matrix(1, 1, 1), matrix(2, 1, 1000, 1000), matrix(2, 1, 1, 3)}, Dims: []int{1, 1, 1, 2, 1}, Scalars: []float32{1}},
		matrix(1, 1, 2))
}

// TestActivations holds the three forms to values computed with 30 digits.
func TestActivations(t *testing.T) {
	for _, c := range []struct{ x, gelu, tanh, quick float64 }{
		{0, 0, 0, 0},
		{1, 0.8413447461, 0.8411919906, 0.8457957660},
		{-1, -0.1586552539, -0.1588080094, -0.1542042340},
		{3, 2.9959503059, 2.9963626079, 2.9819286903},
		{-3, -0.0040496941, -0.0036373921, -0.0180713097},
	} {
		for f, want := range map[Activation]float64{GELU: c.gelu, GELUTanh: c.tanh, QuickGELU: c.quick, NoActivation: c.x} {
			if got := f.Apply(c.x); math.Abs(got-want) > 6e-10 {
				t.Errorf("%v of %g is %.10f, want %.10f", f, c.x, got, want)
			}
		}
	}
	if got := GELU.Apply(-10); !(got < 0 && got > -1e-22) {
		t.Errorf("gelu of -10 is %g, want about -7.6e-23", got)
	}
}
