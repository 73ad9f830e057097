// Package webp decodes the first frame of a WebP image to 8-bit RGB with
// exactly the bits of libwebp at its default settings, as Pillow uses it.
//
// It reads the RIFF container itself: lossy (VP8) and lossless (VP8L) images,
// extended files (VP8X) and the first frame of animations, on their canvas. The
// two bitstreams are left to golang.org/x/image; from its planes this package
// makes RGB in libwebp's way: color.go. Alpha is dropped, not composed; what
// the first frame of an animation does not cover is black.
//
// A file that is shorter than its RIFF header says is an error that wraps
// [io.ErrUnexpectedEOF].
//
// Sources: RFC 9649 (WebP), RFC 6386 (VP8); libwebp 1.2.4, src/dec, src/dsp and
// src/demux; Pillow 9.4, WebPImagePlugin.py.
package webp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/vp8"
	"golang.org/x/image/vp8l"

	"vith/vit/preprocess/interrupt"
)

// A Decoder decodes one image. It is not safe for concurrent use.
type Decoder struct {
	// Width and Height are the size of the canvas, pixels.
	Width, Height int
	// Exif and XMP are the metadata chunks of an extended file; nil without. They alias the data.
	Exif, XMP []byte

	bitstream []byte          // of the first frame
	lossless  bool            // VP8L
	frame     image.Rectangle // of the first frame, on the canvas
}

// Flags of a VP8X chunk.
const (
	flagAnimation = 0x02
	flagXMP       = 0x04
	flagExif      = 0x08
)

// New reads the container and the header of the first frame of data. It
// allocates nothing that depends on the size of the image.
func New(data []byte) (*Decoder, error) {
	body, err := riffBody(data)
	if err != nil {
		return nil, err
	}
	first, rest, err := nextChunk(body)
	if err != nil {
		return nil, err
	}
	d := new(Decoder)
	switch first.id {
	case "VP8 ", "VP8L":
		err = d.setFrame(first, image.Point{})
		d.Width, d.Height = d.frame.Dx(), d.frame.Dy()
	case "VP8X":
		err = d.readExtended(first.data, rest)
	default:
		err = fmt.Errorf("webp: the first chunk is %q", first.id)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// readExtended reads an extended file: the VP8X chunk and those after it.
func (d *Decoder) readExtended(header, chunks []byte) error {
	if len(header) < 10 {
		return fmt.Errorf("webp: VP8X chunk of %d bytes", len(header))
	}
	flags := header[0]
	d.Width, d.Height = le24(header[4:])+1, le24(header[7:])+1
	for len(chunks) > 0 {
		c, rest, err := nextChunk(chunks)
		if err != nil {
			return err
		}
		chunks = rest
		animated := flags&flagAnimation != 0
		switch {
		case d.bitstream == nil && !animated && (c.id == "VP8 " || c.id == "VP8L"):
			if err := d.setFrame(c, image.Point{}); err != nil {
				return err
			}
			if d.frame.Dx() != d.Width || d.frame.Dy() != d.Height {
				return fmt.Errorf("webp: the frame is %v, the canvas %d x %d", d.frame, d.Width, d.Height)
			}
		case d.bitstream == nil && animated && c.id == "ANMF":
			if err := d.readAnimationFrame(c.data); err != nil {
				return err
			}
		case c.id == "EXIF" && flags&flagExif != 0 && d.Exif == nil:
			d.Exif = c.data
		case c.id == "XMP " && flags&flagXMP != 0 && d.XMP == nil:
			d.XMP = c.data
		}
	}
	if d.bitstream == nil {
		return errors.New("webp: no image in the file")
	}
	return nil
}

// readAnimationFrame reads an ANMF chunk (RFC 9649, 2.7.1.1).
func (d *Decoder) readAnimationFrame(p []byte) error {
	if len(p) < 16 {
		return fmt.Errorf("webp: ANMF chunk of %d bytes", len(p))
	}
	at := image.Pt(2*le24(p), 2*le24(p[3:]))
	size := image.Pt(le24(p[6:])+1, le24(p[9:])+1)
	for chunks := p[16:]; len(chunks) > 0; {
		c, rest, err := nextChunk(chunks)
		if err != nil {
			return err
		}
		chunks = rest
		if c.id != "VP8 " && c.id != "VP8L" {
			continue
		}
		if err := d.setFrame(c, at); err != nil {
			return err
		}
		if d.frame.Size() != size || !d.frame.In(image.Rect(0, 0, d.Width, d.Height)) {
			return fmt.Errorf("webp: frame %v of size %v on a canvas of %d x %d", d.frame, size, d.Width, d.Height)
		}
		return nil
	}
	return errors.New("webp: no image in the first frame")
}

// setFrame takes a VP8 or VP8L chunk for the first frame, and reads its size.
func (d *Decoder) setFrame(c chunk, at image.Point) error {
	p := c.data
	var size image.Point
	if c.id == "VP8L" {
		if len(p) < 5 {
			return truncated("in the VP8L header")
		}
		if p[0] != 0x2f {
			return errors.New("webp: no VP8L signature")
		}
		bits := int(binary.LittleEndian.Uint32(p[1:]))
		size = image.Pt(bits&0x3fff+1, bits>>14&0x3fff+1)
	} else {
		if len(p) < 10 {
			return truncated("in the VP8 header")
		}
		if p[0]&1 != 0 || p[3] != 0x9d || p[4] != 0x01 || p[5] != 0x2a {
			return errors.New("webp: no VP8 key frame")
		}
		if firstPartition := le24(p) >> 5; firstPartition > len(p)-10 {
			return truncated("in the first VP8 partition")
		}
		size = image.Pt(le16(p[6:])&0x3fff, le16(p[8:])&0x3fff)
		if size.X == 0 || size.Y == 0 {
			return fmt.Errorf("webp: the size is %d x %d", size.X, size.Y)
		}
	}
	d.bitstream, d.lossless = p, c.id == "VP8L"
	d.frame = image.Rectangle{Min: at, Max: at.Add(size)}
	return nil
}

// Memory is about how many bytes [Decoder.Rows] will allocate.
func (d *Decoder) Memory() int64 {
	pixels := int64(d.frame.Dx()) * int64(d.frame.Dy())
	if d.lossless {
		return 4 * pixels
	}
	return pixels + pixels/2
}

// Rows decodes the image and calls emit with each row of window from the top:
// window.Dx() pixels of R, G, B, valid during the call. The window must be a
// non-empty part of the image.
//
// It checks ctx before decoding, at every row after it, and every 4096 bytes of
// a lossless image, and returns ctx.Err() as it is. Decoding a lossy image cannot
// be interrupted: package vp8 reads all of its data before the first macroblock.
func (d *Decoder) Rows(ctx context.Context, window image.Rectangle, emit func(row []byte)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	frameRow, err := d.decode(ctx)
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("webp: %w", err)
	}
	canvas := make([]byte, 3*d.Width)
	onCanvas := canvas[3*d.frame.Min.X : 3*d.frame.Max.X]
	for y := window.Min.Y; y < window.Max.Y; y++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if y >= d.frame.Min.Y && y < d.frame.Max.Y {
			frameRow(onCanvas, y-d.frame.Min.Y)
		} else {
			clear(onCanvas)
		}
		emit(canvas[3*window.Min.X : 3*window.Max.X])
	}
	return nil
}

// decode decodes the first frame and returns what writes a row of its pixels.
func (d *Decoder) decode(ctx context.Context) (row func(dst []byte, y int), err error) {
	if d.lossless {
		m, err := vp8l.Decode(interrupt.Reader(ctx, bytes.NewReader(d.bitstream)))
		if err != nil {
			return nil, err
		}
		return nrgbaRow(m.(*image.NRGBA)), nil
	}
	v := vp8.NewDecoder()
	v.Init(bytes.NewReader(d.bitstream), len(d.bitstream))
	if _, err := v.DecodeFrameHeader(); err != nil {
		return nil, err
	}
	m, err := v.DecodeFrame()
	if err != nil {
		return nil, err
	}
	return yCbCrRow(m), nil
}

// nrgbaRow writes the colours of a lossless frame.
func nrgbaRow(m *image.NRGBA) func(dst []byte, y int) {
	return func(dst []byte, y int) {
		row := m.Pix[y*m.Stride:]
		for x := range m.Rect.Dx() {
			copy(dst[3*x:3*x+3], row[4*x:])
		}
	}
}
