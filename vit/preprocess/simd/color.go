package simd

// Contributions of Cb and Cr in 16-bit fixed point, as libjpeg rounds them: red
// and blue each for itself, green after the sum.
var crToR, cbToB, crToG, cbToG = func() (r, b, gr, gb [256]int32) {
	const half = 1 << 15
	for i := range 256 {
		v := int32(i - 128)
		r[i] = (91881*v + half) >> 16  // 1.40200
		b[i] = (116130*v + half) >> 16 // 1.77200
		gr[i] = -46802 * v             // 0.71414
		gb[i] = -22554*v + half        // 0.34414
	}
	return
}()

func rgb(dst, luma, blue, red []byte) {
	blue, red, dst = blue[:len(luma)], red[:len(luma)], dst[:3*len(luma)]
	for i, v := range luma {
		y, cb, cr := int32(v), blue[i], red[i]
		p := dst[3*i:][:3:3]
		p[0] = clamp(y + crToR[cr])
		p[1] = clamp(y + (cbToG[cb]+crToG[cr])>>16)
		p[2] = clamp(y + cbToB[cb])
	}
}

func interleave(dst, r, g, b []byte) {
	g, b, dst = g[:len(r)], b[:len(r)], dst[:3*len(r)]
	for i, v := range r {
		p := dst[3*i:][:3:3]
		p[0], p[1], p[2] = v, g[i], b[i]
	}
}
