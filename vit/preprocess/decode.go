package preprocess

import (
	"context"
	"errors"
	"fmt"
	"image"
)

// Pixels are a decoded image as it is stored, before its orientation is applied.
type Pixels struct {
	Width, Height int
	Pix           []byte // [Height, Width, 3], R, G, B
	Orientation   int    // EXIF orientation, 1 to 8; 1 if there is none
}

// Decode decodes an image whole. Errors are as for [Crop]; maxPixels is as in [Options].
func Decode(ctx context.Context, encoded []byte, maxPixels int64) (*Pixels, error) {
	m, err := open(encoded, maxPixels)
	if err != nil {
		return nil, err
	}
	p := &Pixels{Width: m.width, Height: m.height, Orientation: m.orientation}
	err = m.rows(ctx, image.Rect(0, 0, p.Width, p.Height), func(row []byte) {
		if p.Pix == nil {
			p.Pix = make([]byte, 0, p.Width*p.Height*3)
		}
		p.Pix = append(p.Pix, row...)
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// A decoder decodes one image whose header was read.
type decoder interface {
	// Memory is about how many bytes Rows will allocate.
	Memory() int64
	// Rows calls emit with each row of window from the top: R, G, B, valid during
	// the call. It may be called once. It returns ctx.Err() as it is.
	Rows(ctx context.Context, window image.Rectangle, emit func(row []byte)) error
}

// A picture is an image whose header was read and found acceptable.
type picture struct {
	decoder
	format        string
	width, height int
	orientation   int // EXIF orientation, 1 to 8
}

// open tells the format of an image, reads its header and checks its size.
func open(encoded []byte, maxPixels int64) (*picture, error) {
	if len(encoded) == 0 {
		return nil, &Error{Code: EmptyImage, Err: errors.New("there are no bytes")}
	}
	f := formatOf(encoded)
	if f == nil {
		return nil, &Error{Code: UnsupportedFormat, Err: unknownFormat(encoded)}
	}
	m, err := f.open(encoded)
	if err != nil {
		return nil, imageError(f.name, err)
	}
	m.format = f.name
	if maxPixels == 0 {
		maxPixels = DefaultMaxPixels
	}
	// Formats bound each side by 2³¹, so that the product fits.
	if pixels := int64(m.width) * int64(m.height); pixels > maxPixels {
		return nil, &Error{Code: ImageTooLarge, Format: f.name, Err: fmt.Errorf(
			"%d x %d is %d pixels, the limit is %d: scale the image down", m.width, m.height, pixels, maxPixels)}
	}
	return m, nil
}

// rows decodes the window of the image. Errors are as for [Crop].
func (m *picture) rows(ctx context.Context, window image.Rectangle, emit func(row []byte)) error {
	release, err := reserve(ctx, m.Memory())
	if err != nil {
		return err
	}
	defer release()
	err = m.Rows(ctx, window, emit)
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	return imageError(m.format, err)
}
