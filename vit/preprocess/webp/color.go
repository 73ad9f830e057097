package webp

import "image"

// yCbCrRow writes rows of a lossy frame: chroma is interpolated between the four
// samples around a pixel with weights 9/16, 3/16, 3/16 and 1/16, in libwebp's
// two rounding steps (upsampling.c), and converted to RGB (yuv.h).
func yCbCrRow(m *image.YCbCr) func(dst []byte, y int) {
	width, height := m.Rect.Dx(), m.Rect.Dy()
	chromaHeight := (height + 1) / 2
	cb, cr := make([]byte, width), make([]byte, width)
	return func(dst []byte, y int) {
		near := y / 2
		far := near - 1 + y&1*2
		far = min(max(far, 0), chromaHeight-1)
		interpolate(cb, m.Cb[near*m.CStride:], m.Cb[far*m.CStride:])
		interpolate(cr, m.Cr[near*m.CStride:], m.Cr[far*m.CStride:])
		for x, luma := range m.Y[y*m.YStride:][:width] {
			p := dst[3*x:][:3:3]
			p[0], p[1], p[2] = convert(luma, cb[x], cr[x])
		}
	}
}

// interpolate makes a row of full width from the nearer and the farther row of
// half width.
func interpolate(dst, near, far []byte) {
	n := len(dst)
	edge := func(i int) byte { return byte((3*int(near[i]) + int(far[i]) + 2) >> 2) }
	dst[0] = edge(0)
	for i := 1; i <= (n-1)/2; i++ {
		nearLeft, nearRight := int(near[i-1]), int(near[i])
		farLeft, farRight := int(far[i-1]), int(far[i])
		sum := nearLeft + nearRight + farLeft + farRight + 8
		// The two diagonals of the square, counted thrice.
		rising := (sum + 2*(farLeft+nearRight)) >> 3
		falling := (sum + 2*(nearLeft+farRight)) >> 3
		dst[2*i-1] = byte((rising + nearLeft) >> 1)
		dst[2*i] = byte((falling + nearRight) >> 1)
	}
	if n%2 == 0 {
		dst[n-1] = edge(n/2 - 1)
	}
}

// convert makes R, G, B from BT.601 with limited range, in fixed point with 14
// fractional bits of which 6 are kept.
func convert(luma, cb, cr byte) (r, g, b byte) {
	y, u, v := mulHigh(luma, 19077), cb, cr
	return clip(y + mulHigh(v, 26149) - 14234),
		clip(y - mulHigh(u, 6419) - mulHigh(v, 13320) + 8708),
		clip(y + mulHigh(u, 33050) - 17685)
}

func mulHigh(v byte, coefficient int32) int32 { return int32(v) * coefficient >> 8 }

// clip drops 6 fractional bits and limits the rest to a byte.
func clip(v int32) byte {
	return byte(min(max(v>>6, 0), 255))
}
