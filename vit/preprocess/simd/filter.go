package simd

// FractionBits is the number of fractional bits of a weight: 32 bits of an
// accumulator, less 8 for the sample and 2 for overshoot and sign.
const FractionBits = 32 - 8 - 2

// channels is the number of bytes of a pixel: R, G, B.
const channels = 3

// half is one half with FractionBits fractional bits: accumulators start there,
// so that dropping the fraction rounds.
const half = 1 << (FractionBits - 1)

// A Filter makes one output sample from consecutive input samples.
type Filter struct {
	First   int     // index of the first input
	Weights []int32 // one per input, FractionBits fractional bits; at least one
}

// End is the index after the last input.
func (f Filter) End() int { return f.First + len(f.Weights) }

func across(filters []Filter, _ int) func(dst, row []byte) {
	return func(dst, row []byte) { acrossRow(dst, row, filters) }
}

// acrossRow writes one pixel per filter.
func acrossRow(dst, row []byte, filters []Filter) {
	for i := range filters {
		f := &filters[i]
		p := row[f.First*channels:][:len(f.Weights)*channels]
		red, green, blue := int32(half), int32(half), int32(half)
		for _, w := range f.Weights {
			if len(p) < channels { // never: it tells the compiler that the reads are in range
				break
			}
			red += int32(p[0]) * w
			green += int32(p[1]) * w
			blue += int32(p[2]) * w
			p = p[channels:]
		}
		d := dst[i*channels:][:channels:channels]
		d[0], d[1], d[2] = clamp(red>>FractionBits), clamp(green>>FractionBits), clamp(blue>>FractionBits)
	}
}

func down(dst, ring []byte, offsets []int, weights []int32) {
	offsets = offsets[:len(weights)]
	for len(dst) > 0 {
		var sums [64]int32
		part := sums[:min(len(dst), len(sums))]
		for i := range part {
			part[i] = half
		}
		for i, w := range weights {
			for x, v := range ring[offsets[i]:][:len(part)] {
				part[x] += int32(v) * w
			}
		}
		for x, v := range part {
			dst[x] = clamp(v >> FractionBits)
		}
		dst, ring = dst[len(part):], ring[len(part):]
	}
}
