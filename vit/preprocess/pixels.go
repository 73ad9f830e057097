package preprocess

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"io"
)

// emitRows emits the window of an image of the standard library, as
// [decoder].Rows does.
func emitRows(ctx context.Context, m image.Image, window image.Rectangle, emit func(row []byte)) error {
	convert, err := rowConverter(m)
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
// B: colours as stored, not multiplied by alpha.
func rowConverter(m image.Image) (func(dst []byte, x, y int), error) {
	switch m := m.(type) {
	case *image.RGBA: // opaque
		return picker(m.Pix, m.Stride), nil
	case *image.NRGBA:
		return picker(m.Pix, m.Stride), nil
	case *image.Paletted:
		var table [256][3]byte
		for i, c := range m.Palette {
			c := c.(color.RGBA) // opaque
			table[i] = [3]byte{c.R, c.G, c.B}
		}
		return func(dst []byte, x, y int) {
			for i, v := range m.Pix[y*m.Stride+x:][:len(dst)/3] {
				copy(dst[3*i:3*i+3], table[v][:])
			}
		}, nil
	}
	return nil, fmt.Errorf("preprocess: pixels of type %T", m)
}

// picker writes the first three bytes of each pixel of four.
func picker(pix []byte, stride int) func(dst []byte, x, y int) {
	return func(dst []byte, x, y int) {
		src := pix[y*stride+4*x:]
		for i := range len(dst) / 3 {
			copy(dst[3*i:3*i+3], src[4*i:])
		}
	}
}

// A contextReader fails with ctx.Err() once ctx has ended: it interrupts
// decoders that know no context.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
