package kernels

import (
	"math/rand/v2"
	"testing"

	"vith/kernels/tensor"
)

// TestEmbedNormIsThreeKernels holds the definition of embed_norm to those of the kernels that Lower makes it of.
func TestEmbedNormIsThreeKernels(t *testing.T) {
	const batch, tokens, width = 2, 5, 19
	r := rand.New(rand.NewPCG(1, 2))
	random := func(rows int) tensor.Matrix {
		m := tensor.NewMatrix(tensor.F32, rows, width)
		for i := range rows {
			for j := range width {
				m.Set(i, j, r.NormFloat64())
			}
		}
		return m
	}
	result := func() tensor.Matrix { return tensor.NewMatrix(tensor.F32, batch*tokens, width) }
	in := []tensor.Matrix{random(batch * (tokens - 1)), random(1), random(tokens), random(1), random(1), random(1), random(1)}
	d := []int{batch, tokens, width}
	got := []tensor.Matrix{result(), result()}
	embedNorm.Host(Args{In: in, Out: got, Dims: d, Scalars: []float32{0.1, 0.2}})

	e, x, y := result(), result(), result()
	embed.Host(Args{In: in[:3], Out: []tensor.Matrix{e}, Dims: d})
	rows := []int{batch * tokens, width}
	layernorm.Host(Args{In: []tensor.Matrix{e, in[3], in[4]}, Out: []tensor.Matrix{x}, Dims: rows, Scalars: []float32{0.1}})
	layernorm.Host(Args{In: []tensor.Matrix{x, in[5], in[6]}, Out: []tensor.Matrix{y}, Dims: rows, Scalars: []float32{0.2}})
	for i, want := range []tensor.Matrix{x, y} {
		// e and x were rounded to float32 between the kernels, and rows have a variance of about 2.
		if err := tensor.Compare(got[i], want, tensor.Tolerance{Abs: 32 * 0x1p-24, Rel: 4 * 0x1p-24}); err != nil {
			t.Errorf("output %s: %v", embedNorm.Out[i].Name, err)
		}
	}
}
