// Package gif decodes the first frame of a GIF image to 8-bit RGB as Pillow
// shows it.
//
// The frame is drawn on the logical screen, which grows if the frame does not
// fit. Transparent pixels, and the screen around the frame, have the palette's
// colour of the transparent index, or of index 0 if there is none: alpha is
// dropped, not composed. Palette entries that the file lacks are a gray ramp.
//
// Data that ends before the frame is complete is an error that wraps
// [io.ErrUnexpectedEOF]. What follows the first frame is not looked at.
//
// Sources: GIF89a specification (CompuServe, 1990); Pillow 9.4, GifImagePlugin.py.
package gif

import (
	"bytes"
	"compress/lzw"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
)

// A Decoder decodes the first frame of one image. It is not safe for concurrent use.
type Decoder struct {
	// Width and Height are the size of the logical screen, grown to hold the first frame, pixels.
	Width, Height int

	frame      image.Rectangle
	interlaced bool
	palette    [256][3]byte
	background byte // index of the screen: the transparent one, if any
	codeSize   int
	blocks     []byte // sub-blocks of compressed indices
}

// Bits of the packed fields of the screen and image descriptors.
const (
	flagPalette    = 0x80
	flagInterlaced = 0x40
	paletteSize    = 0x07
)

// New reads data up to the pixels of the first frame. It allocates nothing that
// depends on the size of the image.
func New(data []byte) (*Decoder, error) {
	r := reader{data}
	header, err := r.take(13, "in the header")
	if err != nil {
		return nil, err
	}
	if s := string(header[:6]); s != "GIF87a" && s != "GIF89a" {
		return nil, errors.New("gif: no signature")
	}
	d := &Decoder{Width: le16(header[6:]), Height: le16(header[8:])}
	for i := range d.palette {
		d.palette[i] = [3]byte{byte(i), byte(i), byte(i)}
	}
	if err := d.readPalette(&r, header[10]); err != nil {
		return nil, err
	}
	for {
		introducer, err := r.take(1, "before the first frame")
		if err != nil {
			return nil, err
		}
		switch introducer[0] {
		case '!':
			if err := d.readExtension(&r); err != nil {
				return nil, err
			}
		case ',':
			return d, d.readFrame(&r)
		case ';':
			return nil, errors.New("gif: no frame in the file")
		default:
			// Pillow skips stray bytes too.
		}
	}
}

// readPalette reads a palette if the packed field announces one.
func (d *Decoder) readPalette(r *reader, packed byte) error {
	if packed&flagPalette == 0 {
		return nil
	}
	n := 2 << (packed & paletteSize)
	p, err := r.take(3*n, "in a palette")
	if err != nil {
		return err
	}
	for i := range d.palette {
		d.palette[i] = [3]byte{byte(i), byte(i), byte(i)}
		if i < n {
			copy(d.palette[i][:], p[3*i:])
		}
	}
	return nil
}

// readExtension reads an extension and keeps the transparent index of a graphic
// control extension.
func (d *Decoder) readExtension(r *reader) error {
	label, err := r.take(1, "in an extension")
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		block, err := r.subBlock()
		if err != nil {
			return err
		}
		if len(block) == 0 {
			return nil
		}
		if graphicControl := label[0] == 0xf9; graphicControl && first && len(block) >= 4 && block[0]&1 != 0 {
			d.background = block[3]
		}
	}
}

// readFrame reads an image descriptor and finds the pixels.
func (d *Decoder) readFrame(r *reader) error {
	p, err := r.take(9, "in the image descriptor")
	if err != nil {
		return err
	}
	x, y := le16(p), le16(p[2:])
	d.frame = image.Rect(x, y, x+le16(p[4:]), y+le16(p[6:]))
	d.Width, d.Height = max(d.Width, d.frame.Max.X), max(d.Height, d.frame.Max.Y)
	if d.Width == 0 || d.Height == 0 {
		return fmt.Errorf("gif: the size is %d x %d", d.Width, d.Height)
	}
	d.interlaced = p[8]&flagInterlaced != 0
	if err := d.readPalette(r, p[8]); err != nil {
		return err
	}
	size, err := r.take(1, "before the pixels")
	if err != nil {
		return err
	}
	d.codeSize = int(size[0])
	d.blocks = r.data
	return nil
}

// Memory is about how many bytes [Decoder.Rows] will allocate.
func (d *Decoder) Memory() int64 {
	return int64(d.frame.Dx()) * int64(d.frame.Dy())
}

// Rows decodes the frame and calls emit with each row of window from the top:
// window.Dx() pixels of R, G, B, valid during the call. The window must be a
// non-empty part of the image.
//
// It checks ctx at every row of the frame and of the window and returns
// ctx.Err() as it is.
func (d *Decoder) Rows(ctx context.Context, window image.Rectangle, emit func(row []byte)) error {
	indices, err := d.decode(ctx)
	if err != nil {
		return err
	}
	line := make([]byte, d.Width)
	pixels := make([]byte, 3*window.Dx())
	stride := d.frame.Dx()
	for y := window.Min.Y; y < window.Max.Y; y++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		for i := range line {
			line[i] = d.background
		}
		if y >= d.frame.Min.Y && y < d.frame.Max.Y {
			copy(line[d.frame.Min.X:], indices[(y-d.frame.Min.Y)*stride:][:stride])
		}
		for i, v := range line[window.Min.X:window.Max.X] {
			copy(pixels[3*i:3*i+3], d.palette[v][:])
		}
		emit(pixels)
	}
	return nil
}

// decode returns the palette indices of the frame, row by row from the top.
func (d *Decoder) decode(ctx context.Context) ([]byte, error) {
	if d.codeSize < 2 || d.codeSize > 8 {
		return nil, fmt.Errorf("gif: LZW code size %d", d.codeSize)
	}
	width, height := d.frame.Dx(), d.frame.Dy()
	indices := make([]byte, width*height)
	pixels := lzw.NewReader(&subBlocks{reader: reader{d.blocks}}, lzw.LSB, d.codeSize)
	defer pixels.Close()
	for i := range height {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		y := i
		if d.interlaced {
			y = interlacedRow(i, height)
		}
		if _, err := io.ReadFull(pixels, indices[y*width:][:width]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("gif: row %d of %d: %w", i, height, err)
		}
	}
	return indices, nil
}

// interlacedRow is where row i of an interlaced frame goes: every eighth row
// from 0, every eighth from 4, every fourth from 2, every second from 1.
func interlacedRow(i, height int) int {
	for _, pass := range [3]struct{ first, step int }{{0, 8}, {4, 8}, {2, 4}} {
		rows := (height - pass.first + pass.step - 1) / pass.step
		if i < rows {
			return pass.first + i*pass.step
		}
		i -= max(rows, 0)
	}
	return 1 + 2*i
}

// subBlocks reads the bytes of a chain of sub-blocks. It implements
// [io.ByteReader], which keeps lzw from reading ahead.
type subBlocks struct {
	reader
	block bytes.Reader
}

func (s *subBlocks) ReadByte() (byte, error) {
	if s.block.Len() == 0 {
		block, err := s.subBlock()
		if err != nil {
			return 0, err
		}
		s.block.Reset(block) // empty at the terminator, which makes the read below fail
	}
	return s.block.ReadByte()
}

func (s *subBlocks) Read(p []byte) (int, error) {
	for i := range p {
		v, err := s.ReadByte()
		if err != nil {
			return i, err
		}
		p[i] = v
	}
	return len(p), nil
}

// A reader takes bytes from the front of data.
type reader struct{ data []byte }

func (r *reader) take(n int, where string) ([]byte, error) {
	if n > len(r.data) {
		return nil, fmt.Errorf("gif: the data ends %s: %w", where, io.ErrUnexpectedEOF)
	}
	p := r.data[:n]
	r.data = r.data[n:]
	return p, nil
}

// subBlock takes a sub-block; the empty one ends the chain.
func (r *reader) subBlock() ([]byte, error) {
	n, err := r.take(1, "before a sub-block")
	if err != nil {
		return nil, err
	}
	return r.take(int(n[0]), "in a sub-block")
}

func le16(p []byte) int { return int(binary.LittleEndian.Uint16(p)) }
