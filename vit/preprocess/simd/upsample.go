package simd

// h2v1 writes two samples for each of the row.
func h2v1(dst, row []byte) {
	n := len(row)
	dst = dst[:2*n]
	left := int32(row[0])
	for i, v := range row {
		right := row[min(i+1, n-1)]
		near := 3 * int32(v)
		dst[2*i] = byte((near + left + 1) >> 2)
		dst[2*i+1] = byte((near + int32(right) + 2) >> 2)
		left = int32(v)
	}
}

// h1v2 writes a row between near and far.
func h1v2(dst, near, far []byte, round uint16) {
	far, dst = far[:len(near)], dst[:len(near)]
	for i, v := range near {
		dst[i] = byte((3*int32(v) + int32(far[i]) + int32(round)) >> 2)
	}
}

// h2v2 writes two samples for each of near and far.
func h2v2(dst, near, far []byte) {
	n := len(near)
	far, dst = far[:n], dst[:2*n]
	here := 3*int32(near[0]) + int32(far[0])
	left := here
	for i := range near {
		right := here
		if i+1 < n {
			right = 3*int32(near[i+1]) + int32(far[i+1])
		}
		dst[2*i] = byte((3*here + left + 8) >> 4)
		dst[2*i+1] = byte((3*here + right + 7) >> 4)
		left, here = here, right
	}
}
