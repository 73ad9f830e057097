package preprocess

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"strings"

	"vith/vit/preprocess/interrupt"
)

const (
	pngSignature = "\x89PNG\r\n\x1a\n"

	// pngEnd is the IEND chunk.
	pngEnd = "\x00\x00\x00\x00IEND\xae\x42\x60\x82"

	// maxInflation is the most bytes that a byte of deflate stands for: four
	// matches of 258 bytes, each two codes of one bit.
	maxInflation = 4 * 258
)

// A pngDecoder leaves PNG to image/png, with two differences: that does not see
// the chunks after the pixels, since PIL accepts damage there; and nothing is
// allocated for pixels that the data cannot hold.
type pngDecoder struct {
	width, height int
	bitsPerPixel  int // as stored; 0 if the header makes no sense
	interlaced    bool

	data       []byte // up to the end of the last whole chunk of pixels
	compressed int    // bytes of pixels
	cut        bool   // there is no IEND chunk
	colors     int    // entries of the palette
}

// openPNG reads all chunks but those of pixels.
func openPNG(data []byte) (*picture, error) {
	const headerLen = len(pngSignature) + 8 + 13
	if len(data) < headerLen {
		return nil, fmt.Errorf("png: the data ends in the header: %w", io.ErrUnexpectedEOF)
	}
	header := data[len(pngSignature):headerLen]
	if binary.BigEndian.Uint32(header) != 13 || string(header[4:8]) != "IHDR" {
		return nil, errors.New("png: the first chunk is not an IHDR of 13 bytes")
	}
	header = header[8:]
	width, height := binary.BigEndian.Uint32(header), binary.BigEndian.Uint32(header[4:])
	if width < 1 || height < 1 || width >= 1<<31 || height >= 1<<31 {
		return nil, fmt.Errorf("png: the size is %d x %d", width, height)
	}
	channels := map[byte]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[header[9]]
	d := &pngDecoder{
		width: int(width), height: int(height),
		bitsPerPixel: channels * int(header[8]), interlaced: header[12] != 0,
	}
	exif, xmp := d.readChunks(data)
	return &picture{decoder: d, width: d.width, height: d.height, orientation: orientation(exif, xmp)}, nil
}

// readChunks finds the pixels, the palette's size and the metadata. It stops at
// the first chunk that is not whole.
func (d *pngDecoder) readChunks(data []byte) (exif, xmp []byte) {
	d.cut = true
	for at := len(pngSignature); len(data)-at >= 12; {
		size, id := int64(binary.BigEndian.Uint32(data[at:])), string(data[at+4:at+8])
		if size > int64(len(data)-at-12) {
			return exif, xmp
		}
		body := data[at+8:][:size]
		next := at + 12 + len(body)
		switch {
		case id == "IDAT" && (d.data == nil || len(d.data) == at): // the first ones in a row
			d.compressed += len(body)
			d.data = data[:next]
		case id == "PLTE":
			d.colors = len(body) / 3
		case id == "eXIf":
			exif = body
		case id == "iTXt" && bytes.HasPrefix(body, []byte("XML:com.adobe.xmp\x00\x00")):
			xmp = body // not compressed
		case (id == "tEXt" || id == "zTXt") && exif == nil:
			exif = rawProfile(id, body)
		case id == "IEND":
			d.cut = false
			return exif, xmp
		}
		at = next
	}
	return exif, xmp
}

// rawProfile returns the EXIF data of a text chunk that ImageMagick wrote before
// there was eXIf: three lines of heading, then hexadecimal digits. nil if it is
// another text.
func rawProfile(id string, body []byte) []byte {
	text, found := bytes.CutPrefix(body, []byte("Raw profile type exif\x00"))
	if !found || len(text) < 1 {
		return nil
	}
	if id == "zTXt" {
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

// Memory counts the 4 or 8 bytes that image/png takes for a pixel at most, and
// again those of the passes of an interlaced image, which it decodes apart.
func (d *pngDecoder) Memory() int64 {
	n := int64(d.width) * int64(d.height) * 4
	if d.bitsPerPixel%16 == 0 && d.bitsPerPixel != 32 {
		n *= 2
	}
	if d.interlaced {
		n *= 2
	}
	return n
}

func (d *pngDecoder) Rows(ctx context.Context, window image.Rectangle, emit func(row []byte)) error {
	if need := int64(d.width) * int64(d.height) * int64(d.bitsPerPixel) / 8; need > int64(d.compressed)*maxInflation {
		return fmt.Errorf("png: %d whole bytes of compressed pixels cannot hold %d x %d: %w", d.compressed, d.width, d.height, io.ErrUnexpectedEOF)
	}
	m, err := png.Decode(interrupt.Reader(ctx, io.MultiReader(bytes.NewReader(d.data), strings.NewReader(pngEnd))))
	if err != nil && d.cut {
		return fmt.Errorf("png: the data ends before the pixels do: %v: %w", err, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return err
	}
	return emitRows(ctx, m, d.colors, window, emit)
}
