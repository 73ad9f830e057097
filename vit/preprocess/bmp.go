package preprocess

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/bmp"

	"vith/vit/preprocess/interrupt"
)

// A bmpDecoder leaves BMP to golang.org/x/image/bmp.
type bmpDecoder struct {
	data          []byte
	width, height int
}

// openBMP reads the header, and checks that the data is as long as it says.
func openBMP(data []byte) (*picture, error) {
	c, err := bmp.DecodeConfig(bytes.NewReader(data))
	if err == bmp.ErrUnsupported {
		return nil, fmt.Errorf("%w: %s", err, bmpVariant(data))
	}
	if err != nil {
		return nil, err
	}
	if c.Width < 1 || c.Height < 1 {
		return nil, fmt.Errorf("bmp: the size is %d x %d", c.Width, c.Height)
	}
	return &picture{decoder: &bmpDecoder{data, c.Width, c.Height}, width: c.Width, height: c.Height, orientation: 1}, nil
}

// bmpVariant says what the package does not read, given its verdict.
func bmpVariant(data []byte) string {
	le := binary.LittleEndian
	switch size := le.Uint32(data[14:]); size {
	case 40, 108, 124: // Windows 3, 4 and 5, which are whole
	case 12, 16, 64:
		return fmt.Sprintf("a header of OS/2, %d bytes", size)
	default:
		return fmt.Sprintf("a header of %d bytes", size)
	}
	width, height := int32(le.Uint32(data[18:])), int32(le.Uint32(data[22:]))
	planes, bits, compression := le.Uint16(data[26:]), le.Uint16(data[28:]), le.Uint32(data[30:])
	switch {
	case width < 1 || height == 0:
		return fmt.Sprintf("a size of %d x %d", width, height)
	case planes != 1:
		return fmt.Sprintf("%d planes", planes)
	case compression == 1, compression == 2:
		return "run lengths"
	case compression == 3, compression == 6:
		return fmt.Sprintf("colour masks, %d bits a pixel", bits)
	case compression == 4, compression == 5:
		return "a JPEG or PNG image inside"
	case compression != 0:
		return fmt.Sprintf("compression method %d", compression)
	case bits != 1 && bits != 2 && bits != 4 && bits != 8 && bits != 24 && bits != 32:
		return fmt.Sprintf("%d bits a pixel", bits)
	}
	return fmt.Sprintf("%d colours, with pixels from byte %d on, at %d bits a pixel", le.Uint32(data[46:]), le.Uint32(data[10:]), bits)
}

func (d *bmpDecoder) Memory() int64 { return int64(d.width) * int64(d.height) * 4 }

func (d *bmpDecoder) Rows(ctx context.Context, window image.Rectangle, emit func(row []byte)) error {
	// DecodeConfig has seen that the header is whole.
	offset, bitsPerPixel := binary.LittleEndian.Uint32(d.data[10:]), binary.LittleEndian.Uint16(d.data[28:])
	stride := (int64(d.width)*int64(bitsPerPixel) + 31) / 32 * 4
	if need := int64(offset) + stride*int64(d.height); need > int64(len(d.data)) {
		return fmt.Errorf("bmp: %d bytes, the header announces %d: %w", len(d.data), need, io.ErrUnexpectedEOF)
	}
	m, err := bmp.Decode(interrupt.Reader(ctx, bytes.NewReader(d.data)))
	if err != nil {
		return err
	}
	const colors = 256 // the package refuses indices beyond the palette
	return emitRows(ctx, m, colors, window, emit)
}
