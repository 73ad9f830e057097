// Package jpeg decodes JPEG images to 8-bit RGB with exactly the bits of
// libjpeg-turbo at its default settings, as Pillow uses it.
//
// It reads baseline, extended sequential and progressive Huffman-coded images
// of 8 bits: every subsampling whose ratios are whole numbers, restart
// intervals, one to many scans; grayscale, YCbCr, RGB, CMYK and YCCK. It
// refuses arithmetic coding, 12 bits, lossless and hierarchical images with an
// [UnsupportedError].
//
// # What makes the bits
//
// The standard leaves four things open; here they are libjpeg's. The arithmetic of
// the first three is in package simd.
//
//   - The inverse DCT is the "accurate integer" one (jidctint.c).
//   - Subsampled chroma is interpolated with a triangle filter where the ratio
//     is 2 in a direction, and replicated otherwise (jdsample.c): upsample.go.
//   - Colour conversion is 16-bit fixed point with rounding (jdcolor.c), and
//     CMYK becomes RGB as in Pillow (Convert.c): color.go.
//   - Damaged entropy-coded data: a bad code counts as zero; a marker in the
//     middle of a scan fills the rest of its restart interval with zero
//     coefficients (jdhuff.c, jdphuff.c, jdmarker.c).
//
// Data that ends before the EOI marker is an error that wraps
// [io.ErrUnexpectedEOF], even if all pixels are there, as it is in Pillow.
//
// Deviations: libjpeg smooths blocks of progressive images that lack scans;
// that is not done. More than 100 scans, or images of several scans with more
// than 2²⁹ coefficients, are refused. Pillow accepts a file
// without EOI marker if other bytes follow the last pixel; here it is truncated.
//
// Sources: ITU-T T.81 (1992); libjpeg-turbo 2.1.5; Pillow 9.4.
package jpeg

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"

	"vith/vit/preprocess/simd"
)

// An UnsupportedError says which valid feature of JPEG is not decoded. It
// matches [errors.ErrUnsupported].
type UnsupportedError string

func (e UnsupportedError) Error() string { return "jpeg: unsupported: " + string(e) }

// Unwrap returns [errors.ErrUnsupported].
func (e UnsupportedError) Unwrap() error { return errors.ErrUnsupported }

// A FormatError says how the data is not JPEG.
type FormatError string

func (e FormatError) Error() string { return "jpeg: invalid: " + string(e) }

// Markers, second byte (T.81, table B.1).
const (
	markerTEM   = 0x01
	markerSOF0  = 0xc0 // baseline
	markerSOF1  = 0xc1 // extended sequential
	markerSOF2  = 0xc2 // progressive
	markerDHT   = 0xc4
	markerJPG   = 0xc8
	markerDAC   = 0xcc
	markerSOF15 = 0xcf
	markerRST0  = 0xd0
	markerRST7  = 0xd7
	markerSOI   = 0xd8
	markerEOI   = 0xd9
	markerSOS   = 0xda
	markerDQT   = 0xdb
	markerDNL   = 0xdc
	markerDRI   = 0xdd
	markerAPP0  = 0xe0
	markerAPP1  = 0xe1
	markerAPP14 = 0xee
	markerAPP15 = 0xef
	markerCOM   = 0xfe
)

// A Decoder decodes one image. It is not safe for concurrent use.
type Decoder struct {
	// Width and Height are the size of the image as stored, in pixels.
	Width, Height int
	// Exif is the TIFF structure of the first Exif segment before the first
	// scan, XMP the packet of the first XMP segment; nil without. Both alias the data.
	Exif, XMP []byte
	// Tier are the routines to use. New sets the best of this CPU.
	Tier *simd.Tier

	data []byte
	pos  int // of the next marker, while not in a scan

	progressive     bool
	components      []component
	hMax, vMax      int // largest sampling factors
	mcusX, mcusY    int
	restartInterval int // MCUs; 0 for none
	colorSpace      colorSpace

	quant  [4]*[64]uint16 // natural order
	dc, ac huffmanTables

	jfif  bool
	adobe int // colour transform of the Adobe segment; -1 without

	scans int
	scan  scan
	out   output
}

// A component is one of the planes of the image.
type component struct {
	id    byte
	h, v  int         // sampling factors
	table int         // of quantisation
	quant *[64]uint16 // the table as it was when the first scan of the component began

	width, height    int // samples
	blocksX, blocksY int // that hold samples; a non-interleaved scan has just these
	stride           int // samples of a row, whole MCUs

	samples []byte // [2*v*8, stride]: the rows of two MCU rows, the even one first

	// Where one scan does not make the image:
	means        []int16  // [mcusY*v, stride/8], DC coefficients: scans of these touch little memory
	coefficients []int16  // [mcusY*v, stride/8, 64], AC coefficients in natural order, not dequantised
	nonzero      []uint64 // [mcusY*v, stride/8]: bit k > 0 tells of coefficient k in zigzag order
}

// blockIndex numbers block bx of block row by.
func (c *component) blockIndex(bx, by int) int { return by*(c.stride/8) + bx }

// block is block n for writing to it. It was not cleared before its first AC
// coefficient.
func (c *component) block(n int) *[64]int16 {
	block := (*[64]int16)(c.coefficients[n*64:])
	if c.nonzero[n] == 0 {
		*block = [64]int16{}
	}
	return block
}

// New reads the header of data, up to the first scan. It allocates nothing that
// depends on the size of the image.
func New(data []byte) (*Decoder, error) {
	d := &Decoder{Tier: simd.Best(), data: data, adobe: -1}
	if len(data) < 2 {
		return nil, fmt.Errorf("jpeg: %d bytes: %w", len(data), io.ErrUnexpectedEOF)
	}
	if data[0] != 0xff || data[1] != markerSOI {
		return nil, FormatError("no SOI marker at the start")
	}
	d.pos = 2
	more, err := d.readHeaders()
	if err != nil {
		return nil, err
	}
	if !more {
		return nil, FormatError("EOI marker before the first scan")
	}
	d.colorSpace = d.findColorSpace()
	if !d.progressive {
		d.addStandardTables()
	}
	return d, nil
}

// Progressive reports whether the image comes in scans of rising quality.
func (d *Decoder) Progressive() bool { return d.progressive }

// Memory is about how many bytes [Decoder.Rows] will need.
func (d *Decoder) Memory() int64 {
	n := d.bufferedCoefficients()
	n = 2*n + n/8 + n/32
	for i := range d.components {
		c := &d.components[i]
		n += int64(c.stride) * int64(2*c.v*8)
	}
	return n
}

// bufferedCoefficients is how many coefficients have to be kept.
func (d *Decoder) bufferedCoefficients() int64 {
	if d.singleScan() {
		return 0
	}
	var n int64
	for i := range d.components {
		c := &d.components[i]
		n += int64(c.stride) * int64(d.mcusY*c.v*8)
	}
	return n
}

// Rows decodes the image and calls emit with each row of window from the top:
// window.Dx() pixels of R, G, B, valid during the call. The window must be a
// non-empty part of the image.
//
// It checks ctx at every row of MCUs and returns ctx.Err() as it is. It may be
// called once.
func (d *Decoder) Rows(ctx context.Context, window image.Rectangle, emit func(row []byte)) error {
	w := workspaces.Get().(*workspace)
	defer d.release(w)
	d.out.init(d, w, window, emit)
	if d.singleScan() {
		return d.decodeStreaming(ctx)
	}
	return d.decodeBuffered(ctx, w)
}

// singleScan reports whether the scan whose header was read makes the whole image.
func (d *Decoder) singleScan() bool {
	return !d.progressive && len(d.scan.parts) == len(d.components)
}

// decodeStreaming decodes a sequential image of one scan, keeping two rows of
// MCUs. Below the window only the end of the data is looked for; with restart
// markers, which may need repair, that takes decoding.
func (d *Decoder) decodeStreaming(ctx context.Context) error {
	if err := d.startScan(); err != nil {
		return err
	}
	for my := 0; my < d.mcusY && (!d.out.complete() || d.restartInterval > 0); my++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := d.sequentialRow(my); err != nil {
			return err
		}
		d.out.mcuRow(my)
	}
	d.pos = d.scan.bits.pos
	more, err := d.readHeaders()
	if err != nil {
		return err
	}
	if more {
		return FormatError("a second scan after one that holds all components")
	}
	return nil
}

// maxCoefficients bounds the memory of an image of many scans: 1 GiB.
const maxCoefficients = 1 << 29

// decodeBuffered decodes all scans to coefficients, then these to pixels.
func (d *Decoder) decodeBuffered(ctx context.Context, w *workspace) error {
	if n := d.bufferedCoefficients(); n > maxCoefficients {
		return UnsupportedError(fmt.Sprintf("%d x %d in several scans: %d coefficients, the limit is %d", d.Width, d.Height, n, maxCoefficients))
	}
	w.makeCoefficients(d)
	d.scan.refiner = &w.refiner
	for more := true; more; {
		if err := d.startScan(); err != nil {
			return err
		}
		if err := d.decodeScan(ctx); err != nil {
			return err
		}
		d.pos = d.scan.bits.pos
		var err error
		if more, err = d.readHeaders(); err != nil {
			return err
		}
	}
	for i := range d.components {
		if c := &d.components[i]; c.quant == nil {
			c.quant = new([64]uint16) // no scan had the component: it is medium gray
		}
	}
	for my := 0; my < d.mcusY && !d.out.complete(); my++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		for i := range d.components {
			d.reconstructRow(&d.components[i], my)
		}
		d.out.mcuRow(my)
	}
	return nil
}

// reconstructRow turns the stored coefficients of an MCU row into samples.
func (d *Decoder) reconstructRow(c *component, my int) {
	if !d.out.needsMCURow(my) {
		return
	}
	for v := range c.v {
		for bx := d.out.mcuX0 * c.h; bx < d.out.mcuX1*c.h; bx++ {
			n, dst := c.blockIndex(bx, my*c.v+v), c.blockSamples(bx, my, v)
			if c.nonzero[n] == 0 {
				fillBlock(dst, c.stride, c.means[n], c.quant)
				continue
			}
			block := (*[64]int16)(c.coefficients[n*64:])
			block[0] = c.means[n]
			d.Tier.IDCT(dst, c.stride, block, c.quant)
		}
	}
}

// blockSamples is where the samples of block bx of block row v of MCU row my go.
func (c *component) blockSamples(bx, my, v int) []byte {
	return c.samples[(((my&1)*c.v+v)*c.stride+bx)*8:]
}

// truncated is the error for data that ends too early.
func truncated(where string) error {
	return fmt.Errorf("jpeg: the data ends %s: %w", where, io.ErrUnexpectedEOF)
}

func be16(p []byte) int { return int(binary.BigEndian.Uint16(p)) }
