package jpeg

import "vith/vit/preprocess/simd"

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

// convert writes pixels of R, G, B from planes of the colour space. All planes
// have the same length.
func (s colorSpace) convert(t *simd.Tier, dst []byte, planes *[4][]byte) {
	switch s {
	case grayscale:
		t.Interleave(dst, planes[0], planes[0], planes[0])
	case yCbCr:
		t.RGB(dst, planes[0], planes[1], planes[2])
	case rgb:
		t.Interleave(dst, planes[0], planes[1], planes[2])
	case cmyk:
		// Adobe stores CMYK inverted, and Pillow takes all CMYK files for Adobe's.
		t.Interleave(dst, planes[0], planes[1], planes[2])
		for i, v := range dst {
			dst[i] = 255 - v
		}
		applyBlack(dst, planes[3])
	case yCCK:
		// libjpeg makes C, M, Y = 255 - R, G, B, which Pillow inverts again.
		t.RGB(dst, planes[0], planes[1], planes[2])
		applyBlack(dst, planes[3])
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
			p[j] = byte(max(white-(t>>8+t)>>8, 0)) // ink·white/255, rounded
		}
	}
}
