package simd

import (
	"math"
	"slices"
	"testing"
)

// referenceLayerNorm is the definition of LayerNorm in float64. size is the mean magnitude of the row and deviation
// what it is divided by.
func referenceLayerNorm(x, gamma, beta []float32, eps float32) (want []float64, size, deviation float64) {
	var mean, variance float64
	for _, v := range x {
		mean += float64(v) / float64(len(x))
		size += math.Abs(float64(v)) / float64(len(x))
	}
	for _, v := range x {
		variance += (float64(v) - mean) * (float64(v) - mean) / float64(len(x))
	}
	deviation = math.Sqrt(variance + float64(eps))
	for i, v := range x {
		want = append(want, (float64(v)-mean)/deviation*float64(gamma[i])+float64(beta[i]))
	}
	return want, size, deviation
}

// TestLayerNorm asks for what fp32 can give. The mean is a sum of rounded sums, wrong by a few 2⁻²⁴ of the mean
// magnitude, and moves all values by as much of the deviation; the difference from it, the deviation, the two products
// and the sum that follow are rounded too.
func TestLayerNorm(t *testing.T) {
	const eps = 1e-5
	eachTier(t, func(t *testing.T, tier *Tier) {
		to, from, scale, shift := newFence(t, 1280), newFence(t, 1280), newFence(t, 1280), newFence(t, 1280)
		for _, n := range lengths() {
			for mode := range 8 {
				offset, inPlace, end := float64(mode&1*30), mode&2 != 0, mode&4 != 0
				dst, src := to.place(n, end), from.place(n, end)
				gamma, beta := scale.place(n, end), shift.place(n, end)
				fill(src, offset)
				fill(gamma, 1)
				fill(beta, 0)
				mark(dst)
				want, size, deviation := referenceLayerNorm(src, gamma, beta, eps)
				if inPlace {
					dst = src
				}
				tier.LayerNorm(&dst[0], &src[0], &gamma[0], &beta[0], n, eps)
				for i, w := range want {
					g, b := math.Abs(float64(gamma[i])), math.Abs(float64(beta[i]))
					tolerance := 0x1p-24 * (4*size/deviation*g + 8*(math.Abs(w)+b))
					if !near(dst[i], w, tolerance) {
						t.Fatalf("n=%d offset=%g in place=%t: [%d] = %g, want %g within %.1g", n, offset, inPlace, i, dst[i], w, tolerance)
					}
				}
			}
		}
	})
}

// TestLayerNormOfEqualValues holds that a row without deviation becomes beta: eps keeps it from a division by 0.
func TestLayerNormOfEqualValues(t *testing.T) {
	eachTier(t, func(t *testing.T, tier *Tier) {
		for _, n := range lengths() {
			src, gamma, beta := slices.Repeat([]float32{2}, n), slices.Repeat([]float32{3}, n), make([]float32, n)
			fill(beta, 0)
			tier.LayerNorm(&src[0], &src[0], &gamma[0], &beta[0], n, 1e-5)
			if !slices.Equal(src, beta) {
				t.Fatalf("n=%d: a row of equal values became %v, want beta", n, src)
			}
		}
	})
}

// TestSoftmax compares rows with the definition, exp(scale·(p - max p)). The difference d is rounded once, which costs
// scale·|d|·2⁻²⁴ of the exponential, or an exponential in the subnormal numbers; the rest costs 2·2⁻²⁴ at most. The
// sum has n such terms, in no fewer than 8 parts where they are many.
func TestSoftmax(t *testing.T) {
	eachTier(t, func(t *testing.T, tier *Tier) {
		fence := newFence(t, 1280)
		for _, n := range lengths() {
			for mode := range 8 {
				end, spread, masked := mode&1 != 0, float32(1+mode&2*100), mode&4 != 0 && n > 1
				const scale = 0.125
				p := fence.place(n, end)
				fill(p, 10)
				for i := range p {
					p[i] *= spread
				}
				if masked {
					p[n/2] = float32(math.Inf(-1))
				}
				x, top, sum := slices.Clone(p), float64(slices.Max(p)), 0.0
				got := tier.Softmax(&p[0], n, scale)
				for i, v := range x {
					d := scale * (float64(v) - top)
					want := math.Exp(d)
					if !near(p[i], want, (2+min(-d, 100))*0x1.1p-24*want+0x1p-126) {
						t.Fatalf("n=%d: exp(%g·(%g - %g)) = %g, want %g", n, scale, v, top, p[i], want)
					}
					sum += want
				}
				if !near(got, sum, (4+float64(n)/8)*0x1p-24*sum) {
					t.Fatalf("n=%d: sum %g, want %g", n, got, sum)
				}
			}
		}
	})
}

func TestSoftmaxOfSpecialValues(t *testing.T) {
	inf := float32(math.Inf(1))
	eachTier(t, func(t *testing.T, tier *Tier) {
		for _, n := range lengths() {
			equal := slices.Repeat([]float32{-7}, n)
			if sum := tier.Softmax(&equal[0], n, 0.125); sum != float32(n) || slices.Min(equal) != 1 || slices.Max(equal) != 1 {
				t.Fatalf("n=%d: equal values became %v, sum %g; want ones", n, equal, sum)
			}
			extreme := slices.Repeat([]float32{-math.MaxFloat32}, n)
			extreme[n-1] = math.MaxFloat32
			if sum := tier.Softmax(&extreme[0], n, 2); sum != 1 || extreme[n-1] != 1 || n > 1 && slices.Max(extreme[:n-1]) != 0 {
				t.Fatalf("n=%d: one value above all became %v, sum %g; want a one in zeros", n, extreme, sum)
			}
			for _, bad := range []float32{nan, inf} {
				p := make([]float32, n)
				p[n/2] = bad
				if sum := tier.Softmax(&p[0], n, 0.125); sum == sum {
					t.Fatalf("n=%d: the sum of a row with %g is %g, want NaN", n, bad, sum)
				}
			}
			masked := slices.Repeat([]float32{-inf}, n)
			if sum := tier.Softmax(&masked[0], n, 0.125); sum == sum {
				t.Fatalf("n=%d: the sum of a row of -Inf is %g, want NaN", n, sum)
			}
		}
	})
}

func TestScale(t *testing.T) {
	eachTier(t, func(t *testing.T, tier *Tier) {
		to, from := newFence(t, 1280), newFence(t, 1280)
		for _, n := range lengths() {
			for _, end := range []bool{false, true} {
				dst, src := to.place(n, end), from.place(n, end)
				fill(src, 0)
				src[n/2] = nan
				mark(dst)
				tier.Scale(&dst[0], &src[0], n, 1.7)
				for i, v := range src {
					if want := 1.7 * v; !same(dst[i], want) {
						t.Fatalf("n=%d: [%d] = %g, want %g", n, i, dst[i], want)
					}
				}
				want := slices.Clone(dst)
				tier.Scale(&src[0], &src[0], n, 1.7)
				if !slices.EqualFunc(src, want, same) {
					t.Fatalf("n=%d: in place %v, want %v", n, src, want)
				}
			}
		}
	})
}

func TestTranspose(t *testing.T) {
	sizes := []int{1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 80}
	eachTier(t, func(t *testing.T, tier *Tier) {
		to, from := newFence(t, 80*85), newFence(t, 80*85)
		for _, rows := range sizes {
			for _, cols := range sizes {
				for mode := range 4 {
					pad, end := mode&1*5, mode&2 != 0
					ldd, lds := rows+pad, cols+pad
					dst, src := to.place((cols-1)*ldd+rows, end), from.place((rows-1)*lds+cols, end)
					for i := range src {
						src[i] = float32(i)
					}
					mark(dst)
					tier.Transpose(&dst[0], ldd, &src[0], lds, rows, cols)
					for i, got := range dst {
						want := nan
						if c, r := i/ldd, i%ldd; r < rows {
							want = src[r*lds+c]
						}
						if !same(got, want) {
							t.Fatalf("[%d, %d] padded by %d: dst[%d,%d] = %g, want %g", rows, cols, pad, i/ldd, i%ldd, got, want)
						}
					}
				}
			}
		}
	})
}
