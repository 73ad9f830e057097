package resample

import (
	"math"

	"vith/vit/preprocess/simd"
)

// cropFilters returns the filters of the crop along one axis of the upright
// image, whose length is n and whose other side is other. With flip they read
// the axis from its far end.
func cropFilters(n, other int, o Options, flip bool) []simd.Filter {
	scaled := scaledLength(n, other, o.Size)
	offset := cropOffset(scaled-o.Size, o.RoundCrop)
	filters := make([]simd.Filter, o.Size)
	taps := newTaps(n, scaled)
	weights := make([]int32, o.Size*taps.most)
	for i := range filters {
		first, count := taps.at(offset+i, weights)
		w := weights[:count:count]
		weights = weights[count:]
		if flip {
			first = n - first - count
			reverse(w)
		}
		filters[i] = simd.Filter{First: first, Weights: w}
	}
	return filters
}

// scaledLength is the length of a side n after the image was scaled so that its
// short side is size: size·n/other truncated for the long side.
func scaledLength(n, other, size int) int {
	if n <= other {
		return size
	}
	return int(int64(size) * int64(n) / int64(other))
}

// cropOffset is where a centre crop starts when d samples are to be cut off.
func cropOffset(d int, halfToEven bool) int {
	if halfToEven && d%4 == 3 {
		return d/2 + 1
	}
	return d / 2
}

// taps computes weights of the axis in -> out.
type taps struct {
	in      int
	scale   float64
	stretch float64 // of the kernel: max(scale, 1)
	support float64 // half-width of the stretched kernel, input samples
	most    int     // no output has more weights
	norm    []float64
}

func newTaps(in, out int) *taps {
	t := &taps{in: in, scale: float64(in) / float64(out)}
	t.stretch = max(t.scale, 1)
	t.support = 2 * t.stretch
	t.most = min(2*int(math.Ceil(t.support))+1, in)
	t.norm = make([]float64, t.most)
	return t
}

// at writes the weights of output i to dst and returns the index of the first
// input and the number of weights.
//
// The conversions around products forbid fused multiply-add, which would round
// once where C on amd64 rounds twice.
func (t *taps) at(i int, dst []int32) (first, count int) {
	center := float64((float64(i) + 0.5) * t.scale)
	first = max(int(center-t.support+0.5), 0)
	count = min(int(center+t.support+0.5), t.in) - first
	inverse := 1 / t.stretch
	sum := 0.0
	for j := range count {
		w := cubic(float64((float64(first+j) - center + 0.5) * inverse))
		t.norm[j] = w
		sum += w
	}
	for j := range count {
		w := t.norm[j]
		if sum != 0 {
			w /= sum
		}
		dst[j] = int32(float64(w*(1<<simd.FractionBits)) + math.Copysign(0.5, w))
	}
	return first, count
}

// cubic is Keys' interpolation kernel with a = -1/2.
func cubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		y := float64((a+2)*x) - (a + 3)
		return float64(float64(y*x)*x) + 1
	case x < 2:
		y := float64((x-5)*x) + 8
		return float64((float64(y*x) - 4) * a)
	}
	return 0
}

// span is the range of inputs that filters read.
func span(filters []simd.Filter) (first, end int) {
	a, b := filters[0], filters[len(filters)-1]
	return min(a.First, b.First), max(a.End(), b.End())
}

func reverse(w []int32) {
	for i, j := 0, len(w)-1; i < j; i, j = i+1, j-1 {
		w[i], w[j] = w[j], w[i]
	}
}
