package resample

// half is one half with fractionBits fractional bits: accumulators start there,
// so that dropping the fraction rounds.
const half = 1 << (fractionBits - 1)

// filterAlong writes one pixel per filter to dst from the pixels of row.
func filterAlong(dst, row []byte, filters []filter) {
	for i := range filters {
		f := &filters[i]
		p := row[f.first*channels:][:len(f.weights)*channels]
		red, green, blue := int32(half), int32(half), int32(half)
		for _, w := range f.weights {
			if len(p) < channels { // never: it tells the compiler that the reads are in range
				break
			}
			red += int32(p[0]) * w
			green += int32(p[1]) * w
			blue += int32(p[2]) * w
			p = p[channels:]
		}
		d := dst[i*channels:][:channels:channels]
		d[0], d[1], d[2] = clamp(red), clamp(green), clamp(blue)
	}
}

// filterDown writes one row to dst from the rows of the ring.
func (r *Resampler) filterDown(dst []byte, f filter) {
	acc := r.acc
	for i := range acc {
		acc[i] = half
	}
	for j, w := range f.weights {
		row := r.slot(f.first + j)
		acc := acc[:len(row)]
		for i, v := range row {
			acc[i] += int32(v) * w
		}
	}
	dst = dst[:len(acc)]
	for i, v := range acc {
		dst[i] = clamp(v)
	}
}

// clamp drops the fraction and limits the rest to a byte.
func clamp(v int32) byte {
	v >>= fractionBits
	if uint32(v) > 255 {
		if v < 0 {
			return 0
		}
		return 255
	}
	return byte(v)
}
