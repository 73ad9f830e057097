package png

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	stdpng "image/png"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// A drawing is what the tests write: samples, and how to store them.
type drawing struct {
	width, height int
	colorType     byte
	depth         int
	interlaced    bool
	samples       [][]uint16 // [height][width * channels]
	palette       []byte
}

func draw(r *rand.Rand, width, height int, colorType byte, depth int, interlaced bool) *drawing {
	d := &drawing{width: width, height: height, colorType: colorType, depth: depth, interlaced: interlaced}
	if colorType == indexed {
		d.palette = make([]byte, 3<<depth)
		for i := range d.palette {
			d.palette[i] = byte(r.Uint32())
		}
	}
	for range height {
		row := make([]uint16, width*formats[colorType].channels)
		for i := range row {
			row[i] = uint16(r.IntN(1 << depth))
		}
		d.samples = append(d.samples, row)
	}
	return d
}

// rgb is what the samples mean.
func (d *drawing) rgb() (pix []byte) {
	n := formats[d.colorType].channels
	for _, row := range d.samples {
		for x := range d.width {
			p := row[n*x:]
			switch d.colorType {
			case trueColor, colorAlpha:
				for _, v := range p[:3] {
					pix = append(pix, byte(v>>(d.depth-8)))
				}
			case indexed:
				pix = append(pix, d.palette[3*p[0]:3*p[0]+3]...)
			default:
				v := byte(p[0] >> 8)
				if d.depth <= 8 {
					v = byte(int(p[0]) * 255 / (1<<d.depth - 1))
				}
				pix = append(pix, v, v, v)
			}
		}
	}
	return pix
}

// scanline packs the pixels of row y from x on, step apart.
func (d *drawing) scanline(x, y, step int) (line []byte) {
	n := formats[d.colorType].channels
	acc, have := 0, 0
	for ; x < d.width; x += step {
		for _, v := range d.samples[y][n*x:][:n] {
			acc, have = acc<<d.depth|int(v), have+d.depth
			for have >= 8 {
				have -= 8
				line = append(line, byte(acc>>have))
			}
		}
	}
	if have > 0 {
		line = append(line, byte(acc<<(8-have)))
	}
	return line
}

// filtered is the difference of a row and what the filter type foresees (section 9.2).
func filtered(filter byte, row, above []byte, distance int) []byte {
	out := []byte{filter}
	for i, x := range row {
		a, b, c := 0, int(above[i]), 0
		if i >= distance {
			a, c = int(row[i-distance]), int(above[i-distance])
		}
		foreseen := 0
		switch filter {
		case 1:
			foreseen = a
		case 2:
			foreseen = b
		case 3:
			foreseen = (a + b) / 2
		case 4:
			p := a + b - c
			distance := func(v int) int { return max(p-v, v-p) }
			switch {
			case distance(a) <= distance(b) && distance(a) <= distance(c):
				foreseen = a
			case distance(b) <= distance(c):
				foreseen = b
			default:
				foreseen = c
			}
		}
		out = append(out, x-byte(foreseen))
	}
	return out
}

// pixels are the filtered rows, before compression.
func (d *drawing) pixels(r *rand.Rand) (out []byte) {
	all := passes[:]
	if !d.interlaced {
		all = []struct{ x, y, stepX, stepY int }{{0, 0, 1, 1}}
	}
	bits := d.depth * formats[d.colorType].channels
	for _, pass := range all {
		if pass.x >= d.width {
			continue
		}
		above := make([]byte, len(d.scanline(pass.x, 0, pass.stepX)))
		for y := pass.y; y < d.height; y += pass.stepY {
			row := d.scanline(pass.x, y, pass.stepX)
			out = append(out, filtered(byte(r.IntN(5)), row, above, max(bits/8, 1))...)
			above = row
		}
	}
	return out
}

func appendChunk(data []byte, id string, body []byte) []byte {
	data = binary.BigEndian.AppendUint32(data, uint32(len(body)))
	raw := append([]byte(id), body...)
	return binary.BigEndian.AppendUint32(append(data, raw...), crc32.ChecksumIEEE(raw))
}

func compress(pixels []byte) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	z.Write(pixels) // a Buffer accepts everything
	z.Close()
	return b.Bytes()
}

func (d *drawing) encode(compressed []byte) []byte {
	header := binary.BigEndian.AppendUint32(nil, uint32(d.width))
	header = binary.BigEndian.AppendUint32(header, uint32(d.height))
	header = append(header, byte(d.depth), d.colorType, 0, 0, 0)
	if d.interlaced {
		header[12] = 1
	}
	data := appendChunk([]byte(signature), "IHDR", header)
	if d.palette != nil {
		data = appendChunk(data, "PLTE", d.palette)
	}
	return appendChunk(appendChunk(data, "IDAT", compressed), "IEND", nil)
}

func decode(data []byte, window image.Rectangle) (pix []byte, err error) {
	d, err := New(data)
	if err != nil {
		return nil, err
	}
	if window.Empty() {
		window = image.Rect(0, 0, d.Width, d.Height)
	}
	err = d.Rows(context.Background(), window, func(row []byte) { pix = append(pix, row...) })
	return pix, err
}

func TestRows(t *testing.T) {
	for colorType, f := range formats {
		for _, depth := range []byte(f.depths) {
			for _, interlaced := range []bool{false, true} {
				for seed, size := range []image.Point{{1, 1}, {3, 2}, {2, 3}, {5, 9}, {17, 6}, {33, 20}} {
					name := fmt.Sprintf("type %d, %d bits, interlaced %t, %v", colorType, depth, interlaced, size)
					r := rand.New(rand.NewPCG(uint64(seed), uint64(depth)))
					d := draw(r, size.X, size.Y, colorType, int(depth), interlaced)
					data := d.encode(compress(d.pixels(r)))
					if _, err := stdpng.Decode(bytes.NewReader(data)); err != nil {
						t.Fatalf("%s: the test writes no PNG: %v", name, err)
					}
					want := d.rgb()
					if got, err := decode(data, image.Rectangle{}); err != nil || !bytes.Equal(got, want) {
						t.Fatalf("%s: %v; pixels %v, want %v", name, err, got, want)
					}
					window := image.Rect(size.X/3, size.Y/2, size.X-size.X/4, size.Y)
					var part []byte
					for y := window.Min.Y; y < window.Max.Y; y++ {
						part = append(part, want[3*(y*size.X+window.Min.X):3*(y*size.X+window.Max.X)]...)
					}
					if got, err := decode(data, window); err != nil || !bytes.Equal(got, part) {
						t.Fatalf("%s, window %v: %v; pixels %v, want %v", name, window, err, got, part)
					}
				}
			}
		}
	}
}

// FuzzRows: the standard library reads the same images, and the same pixels.
func FuzzRows(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 7))
	for colorType, format := range formats {
		for _, depth := range []byte(format.depths) {
			for _, interlaced := range []bool{false, true} {
				d := draw(r, 9, 6, colorType, int(depth), interlaced)
				f.Add(uint8(d.width), uint8(d.height), colorType, depth, interlaced, d.pixels(r))
			}
		}
	}
	f.Fuzz(func(t *testing.T, width, height, colorType, depth uint8, interlaced bool, pixels []byte) {
		d := drawing{width: int(width), height: int(height), colorType: colorType, depth: int(depth), interlaced: interlaced}
		if colorType == indexed {
			d.palette = make([]byte, 3<<(depth&15))
			for i := range d.palette {
				d.palette[i] = byte(i * 37)
			}
		}
		data := d.encode(compress(pixels))
		got, err := decode(data, image.Rectangle{})
		m, stdErr := stdpng.Decode(bytes.NewReader(data))
		if (err == nil) != (stdErr == nil) {
			t.Fatalf("%v, the standard library says %v", err, stdErr)
		}
		if err != nil {
			return
		}
		var want []byte
		for i := range d.width * d.height {
			switch c := m.At(i%d.width, i/d.width).(type) {
			case color.Gray:
				want = append(want, c.Y, c.Y, c.Y)
			case color.Gray16:
				want = append(want, byte(c.Y>>8), byte(c.Y>>8), byte(c.Y>>8))
			case color.RGBA:
				want = append(want, c.R, c.G, c.B)
			case color.NRGBA:
				want = append(want, c.R, c.G, c.B)
			case color.RGBA64:
				want = append(want, byte(c.R>>8), byte(c.G>>8), byte(c.B>>8))
			case color.NRGBA64:
				want = append(want, byte(c.R>>8), byte(c.G>>8), byte(c.B>>8))
			default:
				t.Fatalf("a pixel of type %T", c)
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("pixels %v, want %v", got, want)
		}
	})
}

func TestBadData(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	d := draw(r, 7, 5, trueColor, 8, false)
	pixels := d.pixels(r)
	good := compress(pixels)
	patch := func(p []byte, at int, v byte) []byte {
		p = bytes.Clone(p)
		p[at] = v
		return p
	}
	f := func(name string, data []byte, says string, kind error) {
		t.Helper()
		_, err := decode(data, image.Rectangle{})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
		for _, e := range []error{io.ErrUnexpectedEOF, errors.ErrUnsupported} {
			if errors.Is(err, e) != (e == kind) {
				t.Errorf("%s: %v is %v", name, err, e)
			}
		}
	}
	data := d.encode(good)
	const header = len(signature) + 8 // where the body of IHDR is
	f("another file", []byte("GIF89a, with more than the bytes of a PNG header"), "signature", nil)
	f("end in the header", data[:header+12], "header", io.ErrUnexpectedEOF)
	f("no width", patch(data, header+3, 0), "0 x 5", nil)
	f("depth", patch(data, header+8, 4), "4 bits in colour type 2", nil)
	f("colour type", patch(data, header+9, 5), "colour type 5", nil)
	f("compression", patch(data, header+10, 1), "compression method 1", errors.ErrUnsupported)
	f("filter method", patch(data, header+11, 64), "filter method 64", errors.ErrUnsupported)
	f("interlace", patch(data, header+12, 2), "interlace method 2", errors.ErrUnsupported)
	f("checksum of the header", patch(data, header+12, 1), `chunk "IHDR"`, nil)
	f("checksum of the pixels", patch(data, len(data)-14, data[len(data)-14]^1), `chunk "IDAT"`, nil)
	f("filter type", d.encode(compress(patch(pixels, 22, 5))), "filter type 5", nil)
	f("too few pixels", d.encode(compress(pixels[:40])), "too few pixels", nil)
	f("too many pixels", d.encode(compress(append(bytes.Clone(pixels), 0))), "too many pixels", nil)
	f("compressed data cut", d.encode(good[:len(good)-9]), "too few pixels", nil)
	f("checksum of the compressed data", d.encode(patch(good, len(good)-1, good[len(good)-1]^1)), "checksum", nil)
	f("no whole chunk of pixels", data[:len(data)-13], "0 whole bytes", io.ErrUnexpectedEOF)
	f("cut", d.encode(good[:len(good)-9])[:len(data)-9-12], "ends before the pixels", io.ErrUnexpectedEOF)
	bilevel := draw(r, 1, 1, gray, 1, false)
	data = bilevel.encode(nil)
	f("no pixels at all, and a chunk cut", data[:header+17+7], "ends before the pixels", io.ErrUnexpectedEOF)
	d.width, d.height = 1<<16, 1<<16
	f("a bomb", d.encode(good), "cannot hold 65536 x 65536", io.ErrUnexpectedEOF)

	p := draw(r, 7, 5, indexed, 2, false)
	indices := compress(p.pixels(r))
	p.palette = nil
	f("no palette", p.encode(indices), "palette of 0 bytes", nil)
	p.palette = make([]byte, 3*5)
	f("a palette too large", p.encode(indices), "palette of 15 bytes for indices of 2 bits", nil)
}
