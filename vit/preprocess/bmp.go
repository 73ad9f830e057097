package preprocess

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/bmp"
)

// A bmpDecoder leaves BMP to golang.org/x/image/bmp.
type bmpDecoder struct {
	data          []byte
	width, height int
}

// openBMP reads the header, and checks that the data is as long as it says.
func openBMP(data []byte) (*picture, error) {
	c, err := bmp.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if c.Width < 1 || c.Height < 1 {
		return nil, fmt.Errorf("bmp: the size is %d x %d", c.Width, c.Height)
	}
	return &picture{decoder: &bmpDecoder{data, c.Width, c.Height}, width: c.Width, height: c.Height, orientation: 1}, nil
}

func (d *bmpDecoder) Memory() int64 { return int64(d.width) * int64(d.height) * 4 }

func (d *bmpDecoder) Rows(ctx context.Context, window image.Rectangle, emit func(row []byte)) error {
	// DecodeConfig has seen that the header is whole.
	offset, bitsPerPixel := binary.LittleEndian.Uint32(d.data[10:]), binary.LittleEndian.Uint16(d.data[28:])
	stride := (int64(d.width)*int64(bitsPerPixel) + 31) / 32 * 4
	if need := int64(offset) + stride*int64(d.height); need > int64(len(d.data)) {
		return fmt.Errorf("bmp: %d bytes, the header announces %d: %w", len(d.data), need, io.ErrUnexpectedEOF)
	}
	m, err := bmp.Decode(contextReader{ctx, bytes.NewReader(d.data)})
	if err != nil {
		return err
	}
	return emitRows(ctx, m, window, emit)
}
