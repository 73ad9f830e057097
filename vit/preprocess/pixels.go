package preprocess

import (
	"context"
	"fmt"
	"image"
	"image/color"
)

// emitRows emits the window of an image of the standard library, as
// [decoder].Rows does. colors is the number of palette entries in the file.
func emitRows(ctx context.Context, m image.Image, colors int, window image.Rectangle, emit func(row []byte)) error {
	convert, err := rowConverter(m, colors)
	if err != nil {
		return err
	}
	row := make([]byte, 3*window.Dx())
	for y := window.Min.Y; y < window.Max.Y; y++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		convert(row, window.Min.X, y)
		emit(row)
	}
	return nil
}

// rowConverter returns what writes the pixels from (x, y) to the right as R, G,
// B: colours as stored, not multiplied by alpha, and the high bytes of 16 bits.
func rowConverter(m image.Image, colors int) (func(dst []byte, x, y int), error) {
	switch m := m.(type) {
	case *image.Gray:
		return picker(m.Pix, m.Stride, 1, [3]int{0, 0, 0}), nil
	case *image.Gray16:
		return picker(m.Pix, m.Stride, 2, [3]int{0, 0, 0}), nil
	case *image.RGBA: // opaque
		return picker(m.Pix, m.Stride, 4, [3]int{0, 1, 2}), nil
	case *image.NRGBA:
		return picker(m.Pix, m.Stride, 4, [3]int{0, 1, 2}), nil
	case *image.RGBA64: // opaque
		return picker(m.Pix, m.Stride, 8, [3]int{0, 2, 4}), nil
	case *image.NRGBA64:
		return picker(m.Pix, m.Stride, 8, [3]int{0, 2, 4}), nil
	case *image.Paletted:
		table := paletteTable(m.Palette, colors)
		return func(dst []byte, x, y int) {
			for i, v := range m.Pix[y*m.Stride+x:][:len(dst)/3] {
				copy(dst[3*i:3*i+3], table[v][:])
			}
		}, nil
	}
	return nil, fmt.Errorf("preprocess: pixels of type %T", m)
}

// picker writes three bytes of each pixel of size bytes.
func picker(pix []byte, stride, size int, from [3]int) func(dst []byte, x, y int) {
	return func(dst []byte, x, y int) {
		src := pix[y*stride+x*size:]
		for i := range len(dst) / 3 {
			p, q := src[i*size:][:size], dst[3*i:][:3:3]
			q[0], q[1], q[2] = p[from[0]], p[from[1]], p[from[2]]
		}
	}
}

// paletteTable has the colours of a palette, without alpha. Beyond the entries
// of the file it is a gray ramp, as in PIL.
func paletteTable(p color.Palette, colors int) *[256][3]byte {
	table := new([256][3]byte)
	for i := range table {
		table[i] = [3]byte{byte(i), byte(i), byte(i)}
		if i >= min(len(p), colors) {
			continue
		}
		switch c := p[i].(type) {
		case color.RGBA: // opaque
			table[i] = [3]byte{c.R, c.G, c.B}
		case color.NRGBA:
			table[i] = [3]byte{c.R, c.G, c.B}
		}
	}
	return table
}
