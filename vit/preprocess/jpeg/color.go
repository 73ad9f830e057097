package jpeg

// colorSpace is what the components of an image are.
type colorSpace int

const (
	grayscale colorSpace = iota
	yCbCr
	rgb
	cmyk
	yCCK
)

// findColorSpace decides as libjpeg does (default_decompress_parms): JFIF means
// YCbCr, else the Adobe segment says, else the component ids, else YCbCr or CMYK.
func (d *Decoder) findColorSpace() colorSpace {
	c := d.components
	switch {
	case len(c) == 1:
		return grayscale
	case len(c) == 3 && d.jfif:
		return yCbCr
	case len(c) == 3 && d.adobe == 0:
		return rgb
	case len(c) == 3 && d.adobe < 0 && c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B':
		return rgb
	case len(c) == 3:
		return yCbCr
	case d.adobe > 0:
		return yCCK
	default:
		return cmyk
	}
}

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

// convert writes pixels of R, G, B from planes of the colour space. All planes
// have the same length.
func (s colorSpace) convert(dst []byte, planes [][]byte) {
	switch s {
	case grayscale:
		for i, v := range planes[0] {
			p := dst[3*i:][:3:3]
			p[0], p[1], p[2] = v, v, v
		}
	case yCbCr:
		convertYCbCr(dst, planes[0], planes[1], planes[2])
	case rgb:
		for i := range planes[0] {
			p := dst[3*i:][:3:3]
			p[0], p[1], p[2] = planes[0][i], planes[1][i], planes[2][i]
		}
	case cmyk:
		// Adobe stores CMYK inverted, and Pillow takes all CMYK files for Adobe's.
		for i := range planes[0] {
			p := dst[3*i:][:3:3]
			p[0], p[1], p[2] = 255-planes[0][i], 255-planes[1][i], 255-planes[2][i]
		}
		applyBlack(dst, planes[3])
	case yCCK:
		// libjpeg makes C, M, Y = 255 - R, G, B, which Pillow inverts again.
		convertYCbCr(dst, planes[0], planes[1], planes[2])
		applyBlack(dst, planes[3])
	}
}

func convertYCbCr(dst, luma, blue, red []byte) {
	blue, red, dst = blue[:len(luma)], red[:len(luma)], dst[:3*len(luma)]
	for i, v := range luma {
		y, cb, cr := int32(v), blue[i], red[i]
		p := dst[3*i:][:3:3]
		p[0] = clamp(y + crToR[cr])
		p[1] = clamp(y + (cbToG[cb]+crToG[cr])>>16)
		p[2] = clamp(y + cbToB[cb])
	}
}

// applyBlack turns pixels of C, M, Y and the inverted black plane to R, G, B as
// Pillow does: white less black, times what the ink leaves.
func applyBlack(pixels, inverted []byte) {
	for i, k := range inverted {
		p := pixels[3*i:][:3:3]
		white := int32(k)
		for j, ink := range p {
			t := int32(ink)*white + 128
			p[j] = clamp(white - (t>>8+t)>>8) // ink·white/255, rounded
		}
	}
}
