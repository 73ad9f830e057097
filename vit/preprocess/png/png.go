// Package png decodes PNG images to 8-bit RGB as Pillow's convert("RGB") does.
//
// Gray is replicated, palettes are looked up, samples of less than 8 bits are
// scaled up and those of 16 bits lose their low byte; alpha and transparent
// colours are dropped, not composed; gamma and colour profiles are ignored.
// Palette entries that the file lacks are a gray ramp. Of an animation the
// default image is read.
//
// Rows are decoded one after the other, and no more than two are kept. Interlaced
// images are put together in memory.
//
// The checksums of all chunks up to the pixels, and of these, must be right. What
// follows the pixels is not looked at, but for metadata; even the end may be
// missing. Data that ends before is an error that wraps [io.ErrUnexpectedEOF].
//
// Sources: Portable Network Graphics, second edition (W3C, 2003), whose sections
// are cited; Pillow 9.4, PngImagePlugin.py.
package png

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"io"
	"strings"

	"github.com/klauspost/compress/zlib"
)

const (
	signature = "\x89PNG\r\n\x1a\n"

	// maxInflation is the most bytes that a byte of deflate stands for: four
	// matches of 258 bytes, each two codes of one bit.
	maxInflation = 4 * 258
)

// Colour types (section 11.2.2).
const (
	gray       = 0
	trueColor  = 2
	indexed    = 3
	grayAlpha  = 4
	colorAlpha = 6
)

// formats are the depths and the number of samples that a colour type has.
var formats = map[byte]struct {
	channels int
	depths   string
}{
	gray:       {1, "\x01\x02\x04\x08\x10"},
	trueColor:  {3, "\x08\x10"},
	indexed:    {1, "\x01\x02\x04\x08"},
	grayAlpha:  {2, "\x08\x10"},
	colorAlpha: {4, "\x08\x10"},
}

// A Decoder decodes one image. It is not safe for concurrent use.
type Decoder struct {
	// Width and Height are the size of the image as stored, in pixels.
	Width, Height int
	// Exif is the TIFF structure of an eXIf chunk, or of the text in which
	// ImageMagick had it before there was that; XMP is the packet of a text chunk.
	// nil without.
	Exif, XMP []byte

	colorType    byte
	depth        int // bits of a sample
	bitsPerPixel int
	interlaced   bool

	palette    []byte // R, G, B
	before     []byte // the chunks before those of pixels
	pixels     []byte // the whole chunks of pixels
	compressed int64  // bytes of pixels
	cut        bool   // there is no IEND chunk
}

// A chunk is one of the parts of a file (section 5.3).
type chunk struct {
	id   string
	body []byte
	raw  []byte // with the length, the name and the checksum
}

// firstChunk returns the chunk at the start of data, if it is whole.
func firstChunk(data []byte) (c chunk, ok bool) {
	if len(data) < 12 {
		return chunk{}, false
	}
	size := int64(binary.BigEndian.Uint32(data))
	if size > int64(len(data)-12) {
		return chunk{}, false
	}
	raw := data[:size+12]
	return chunk{string(raw[4:8]), raw[8 : size+8], raw}, true
}

// check compares the checksum.
func (c chunk) check() error {
	n := len(c.raw) - 4
	if got, want := crc32.ChecksumIEEE(c.raw[4:n]), binary.BigEndian.Uint32(c.raw[n:]); got != want {
		return fmt.Errorf("png: the checksum of chunk %q is %08x, should be %08x", c.id, want, got)
	}
	return nil
}

// New reads all chunks but those of pixels. It allocates nothing that depends on
// the size of the image.
func New(data []byte) (*Decoder, error) {
	const headerLen = len(signature) + 8 + 13
	if len(data) < headerLen {
		return nil, fmt.Errorf("png: the data ends in the header: %w", io.ErrUnexpectedEOF)
	}
	if string(data[:len(signature)]) != signature {
		return nil, errors.New("png: no signature")
	}
	header := data[len(signature):headerLen]
	if binary.BigEndian.Uint32(header) != 13 || string(header[4:8]) != "IHDR" {
		return nil, errors.New("png: the first chunk is not an IHDR of 13 bytes")
	}
	d := &Decoder{before: data[len(signature):], cut: true}
	if err := d.readHeader(header[8:]); err != nil {
		return nil, err
	}
	d.readChunks()
	return d, nil
}

// readHeader reads the body of an IHDR chunk.
func (d *Decoder) readHeader(p []byte) error {
	width, height := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])
	if width < 1 || height < 1 || width >= 1<<31 || height >= 1<<31 {
		return fmt.Errorf("png: the size is %d x %d", width, height)
	}
	depth, colorType, compression, filter, interlace := p[8], p[9], p[10], p[11], p[12]
	f, ok := formats[colorType]
	if !ok || strings.IndexByte(f.depths, depth) < 0 {
		return fmt.Errorf("png: samples of %d bits in colour type %d", depth, colorType)
	}
	if compression != 0 || filter != 0 || interlace > 1 {
		return fmt.Errorf("png: compression method %d, filter method %d, interlace method %d: %w",
			compression, filter, interlace, errors.ErrUnsupported)
	}
	d.Width, d.Height = int(width), int(height)
	d.colorType, d.depth, d.bitsPerPixel = colorType, int(depth), f.channels*int(depth)
	d.interlaced = interlace != 0
	return nil
}

// readChunks finds the pixels, the palette and the metadata. It stops at the
// first chunk that is not whole.
func (d *Decoder) readChunks() {
	data := d.before
	first, last := len(data), 0 // where the first chunks of pixels in a row begin and end
	for at := 0; d.cut; {
		c, ok := firstChunk(data[at:])
		if !ok {
			break
		}
		next := at + len(c.raw)
		switch {
		case c.id == "IDAT" && (last == 0 || last == at):
			first, last = min(first, at), next
			d.compressed += int64(len(c.body))
		case c.id == "PLTE" && last == 0:
			d.palette = c.body
		case c.id == "eXIf":
			d.Exif = c.body
		case c.id == "iTXt" && bytes.HasPrefix(c.body, []byte("XML:com.adobe.xmp\x00\x00")):
			d.XMP = c.body // not compressed
		case (c.id == "tEXt" || c.id == "zTXt") && d.Exif == nil:
			d.Exif = rawProfile(c)
		case c.id == "IEND":
			d.cut = false
		}
		at = next
	}
	d.before, d.pixels = data[:first], data[first:max(first, last)]
}

// rawProfile returns the EXIF data of a text chunk that ImageMagick wrote before
// there was eXIf: three lines of heading, then hexadecimal digits. nil if it is
// another text.
func rawProfile(c chunk) []byte {
	text, found := bytes.CutPrefix(c.body, []byte("Raw profile type exif\x00"))
	if !found || len(text) < 1 {
		return nil
	}
	if c.id == "zTXt" {
		const most = 1 << 18                                // EXIF in a JPEG, which this comes from, has at most 64 KiB
		z, err := zlib.NewReader(bytes.NewReader(text[1:])) // after the compression method
		if err != nil {
			return nil
		}
		if text, err = io.ReadAll(io.LimitReader(z, most)); err != nil {
			return nil
		}
	}
	lines := bytes.SplitN(text, []byte("\n"), 4)
	digits := bytes.ReplaceAll(lines[len(lines)-1], []byte("\n"), nil)
	exif := make([]byte, len(digits)/2)
	if _, err := hex.Decode(exif, digits); err != nil {
		return nil
	}
	return exif
}

// Memory is about how many bytes [Decoder.Rows] will need.
func (d *Decoder) Memory() int64 {
	rows := int64(2)
	if d.interlaced {
		rows += int64(d.Height)
	}
	return int64(d.Width) * (rows*3 + 2*8)
}

// Rows decodes the image and calls emit with each row of window from the top:
// window.Dx() pixels of R, G, B, valid during the call. The window must be a
// non-empty part of the image. All pixels are decoded, whatever the window is.
//
// It checks ctx at every row and returns ctx.Err() as it is. It may be called once.
func (d *Decoder) Rows(ctx context.Context, window image.Rectangle, emit func(row []byte)) error {
	if need := int64(d.Width) * int64(d.Height) * int64(d.bitsPerPixel) / 8; need > d.compressed*maxInflation {
		return fmt.Errorf("png: %d whole bytes of compressed pixels cannot hold %d x %d: %w",
			d.compressed, d.Width, d.Height, io.ErrUnexpectedEOF)
	}
	err := d.decode(ctx, window, emit)
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case d.cut:
		return fmt.Errorf("png: the data ends before the pixels do: %v: %w", err, io.ErrUnexpectedEOF)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("png: too few pixels")
	}
	return err
}

func (d *Decoder) decode(ctx context.Context, window image.Rectangle, emit func(row []byte)) error {
	for rest := d.before; ; {
		c, ok := firstChunk(rest)
		if !ok {
			break
		}
		if err := c.check(); err != nil {
			return err
		}
		rest = rest[len(c.raw):]
	}
	convert, err := d.converter()
	if err != nil {
		return err
	}
	z, err := zlib.NewReader(bufio.NewReader(&pixelReader{rest: d.pixels}))
	if err != nil {
		return err
	}
	if d.interlaced {
		err = d.interlacedRows(ctx, z, convert, window, emit)
	} else {
		err = d.rows(ctx, z, convert, window, emit)
	}
	if err != nil {
		return err
	}
	switch _, err := io.ReadFull(z, make([]byte, 1)); err {
	case nil:
		return errors.New("png: too many pixels")
	case io.EOF: // and the checksum was right
		return nil
	default:
		return err
	}
}

// A pixelReader reads what chunks of pixels hold.
type pixelReader struct {
	rest []byte // chunks
	body []byte // what is left of the chunk before
}

func (r *pixelReader) Read(p []byte) (int, error) {
	for len(r.body) == 0 {
		c, ok := firstChunk(r.rest)
		if !ok {
			return 0, io.EOF
		}
		if err := c.check(); err != nil {
			return 0, err
		}
		r.body, r.rest = c.body, r.rest[len(c.raw):]
	}
	n := copy(p, r.body)
	r.body = r.body[n:]
	return n, nil
}

// rows emits the rows of window as they are decoded.
func (d *Decoder) rows(ctx context.Context, z io.Reader, convert converter, window image.Rectangle, emit func(row []byte)) error {
	s := d.scanlines(z, d.Width)
	row := make([]byte, 3*window.Dx())
	for y := range d.Height {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, err := s.next()
		if err != nil {
			return err
		}
		if y >= window.Min.Y && y < window.Max.Y {
			convert(row, line, window.Min.X)
			emit(row)
		}
	}
	return nil
}

// passes are the pixels of the reduced images of an interlaced one (section 8.2).
var passes = [7]struct{ x, y, stepX, stepY int }{
	{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2},
}

// interlacedRows emits the rows of window once all reduced images are decoded.
func (d *Decoder) interlacedRows(ctx context.Context, z io.Reader, convert converter, window image.Rectangle, emit func(row []byte)) error {
	pix := make([]byte, 3*d.Width*d.Height)
	row := make([]byte, 3*d.Width)
	for _, pass := range passes {
		width := (d.Width - pass.x + pass.stepX - 1) / pass.stepX
		if width == 0 {
			continue
		}
		s := d.scanlines(z, width)
		for y := pass.y; y < d.Height; y += pass.stepY {
			if err := ctx.Err(); err != nil {
				return err
			}
			line, err := s.next()
			if err != nil {
				return err
			}
			convert(row[:3*width], line, 0)
			for i := range width {
				copy(pix[3*(y*d.Width+pass.x+i*pass.stepX):], row[3*i:3*i+3])
			}
		}
	}
	for y := window.Min.Y; y < window.Max.Y; y++ {
		emit(pix[3*(y*d.Width+window.Min.X):][:3*window.Dx()])
	}
	return nil
}
