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
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func decode(data []byte, window image.Rectangle) ([]byte, error) {
	d, err := New(data)
	if err != nil {
		return nil, err
	}
	if window.Empty() {
		window = image.Rect(0, 0, d.Width, d.Height)
	}
	var pix []byte
	err = d.Rows(context.Background(), window, func(row []byte) { pix = append(pix, row...) })
	if err == nil && len(pix) != 3*window.Dx()*window.Dy() {
		return nil, fmt.Errorf("%d bytes for %v", len(pix), window)
	}
	return pix, err
}

// A file is what the tests write.
type file struct {
	width, height int
	global, local []byte // palettes: R, G, B
	transparent   int    // -1 without
	frame         image.Rectangle
	interlaced    bool
	indices       []byte // of the frame, from the top
	blockSize     int
	ending        string // instead of the trailer
}

// palette returns n colours.
func palette(seed byte, n int) []byte {
	p := make([]byte, 3*n)
	for i := range p {
		p[i] = seed + byte(i*7)
	}
	return p
}

func (f file) encode() []byte {
	packed := func(p []byte) byte {
		for size := 0; size < 8; size++ {
			if len(p) == 3*2<<size {
				return 0x80 | byte(size)
			}
		}
		return 0
	}
	rectangle := func(out []byte, values ...int) []byte {
		for _, v := range values {
			out = binary.LittleEndian.AppendUint16(out, uint16(v))
		}
		return out
	}
	out := rectangle([]byte("GIF89a"), f.width, f.height)
	out = append(out, packed(f.global), 7, 0) // the background colour plays no part
	out = append(out, f.global...)
	out = append(out, "!\xfe\x05hello\x00"...)
	if f.transparent >= 0 {
		out = append(out, '!', 0xf9, 4, 1, 0, 0, byte(f.transparent), 0)
	}
	out = rectangle(append(out, ','), f.frame.Min.X, f.frame.Min.Y, f.frame.Dx(), f.frame.Dy())
	flags := packed(f.local)
	if f.interlaced {
		flags |= flagInterlaced
	}
	out = append(append(out, flags), f.local...)
	const codeSize = 8
	out = append(out, codeSize)
	var compressed bytes.Buffer
	w := lzw.NewWriter(&compressed, lzw.LSB, codeSize)
	width := f.frame.Dx()
	for _, pass := range [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}} {
		if !f.interlaced {
			pass = [2]int{0, 1}
		}
		for y := pass[0]; y < f.frame.Dy(); y += pass[1] {
			if _, err := w.Write(f.indices[y*width:][:width]); err != nil {
				panic(err)
			}
		}
		if !f.interlaced {
			break
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	for compressed.Len() > 0 {
		block := compressed.Next(f.blockSize)
		out = append(append(out, byte(len(block))), block...)
	}
	return append(append(out, 0), f.ending...)
}

// shown is what PIL shows of the file.
func (f file) shown() (pix []byte, width, height int) {
	width, height = max(f.width, f.frame.Max.X), max(f.height, f.frame.Max.Y)
	colors := f.global
	if f.local != nil {
		colors = f.local
	}
	for y := range height {
		for x := range width {
			index := max(f.transparent, 0)
			if (image.Point{x, y}).In(f.frame) {
				index = int(f.indices[(y-f.frame.Min.Y)*f.frame.Dx()+x-f.frame.Min.X])
			}
			if 3*index < len(colors) {
				pix = append(pix, colors[3*index:][:3]...)
			} else {
				pix = append(pix, byte(index), byte(index), byte(index))
			}
		}
	}
	return pix, width, height
}

// sample is a file with everything.
func sample() file {
	f := file{
		width: 12, height: 9, global: palette(1, 16), local: palette(90, 4), transparent: 3,
		frame: image.Rect(2, 1, 9, 12), interlaced: true, blockSize: 10, ending: ";",
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range f.frame.Dx() * f.frame.Dy() {
		f.indices = append(f.indices, byte(random.IntN(6)))
	}
	return f
}

func TestFirstFrame(t *testing.T) {
	check := func(name string, change func(*file)) {
		t.Helper()
		f := sample()
		change(&f)
		want, width, height := f.shown()
		d, err := New(f.encode())
		if err != nil || d.Width != width || d.Height != height {
			t.Errorf("%s: %v, %+v, want %d x %d", name, err, d, width, height)
			return
		}
		if got, err := decode(f.encode(), image.Rectangle{}); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, or other pixels", name, err)
		}
		window := image.Rect(1, 2, width-1, height-3)
		got, err := decode(f.encode(), window)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		for row := range window.Dy() {
			if !bytes.Equal(got[3*row*window.Dx():][:3*window.Dx()], want[3*((2+row)*width+1):][:3*window.Dx()]) {
				t.Errorf("%s: row %d of the window differs", name, row)
			}
		}
	}
	check("everything", func(*file) {})
	check("not interlaced", func(f *file) { f.interlaced = false })
	check("no transparency", func(f *file) { f.transparent = -1 })
	check("transparency beyond the palette", func(f *file) { f.transparent = 200 })
	check("global palette", func(f *file) { f.local = nil })
	check("no palette", func(f *file) { f.local, f.global = nil, nil })
	check("frame on a larger screen", func(f *file) { f.width, f.height = 40, 30 })
	check("no screen", func(f *file) { f.width, f.height = 0, 0 })
	check("blocks of one byte", func(f *file) { f.blockSize = 1 })
	check("blocks of 255 bytes", func(f *file) { f.blockSize = 255 })
	check("no trailer", func(f *file) { f.ending = "" })
	check("garbage behind", func(f *file) { f.ending = "!!,,\xff\xff" })
}

func TestInterlacedRow(t *testing.T) {
	for height := range 70 {
		var want []int
		for _, pass := range [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}} {
			for y := pass[0]; y < height; y += pass[1] {
				want = append(want, y)
			}
		}
		for i, y := range want {
			if got := interlacedRow(i, height); got != y {
				t.Fatalf("height %d: row %d goes to %d, want %d", height, i, got, y)
			}
		}
	}
}

func TestBadFiles(t *testing.T) {
	whole := sample().encode()
	bad := func(name string, data []byte, truncated bool) {
		t.Helper()
		_, err := decode(data, image.Rectangle{})
		if err == nil || errors.Is(err, io.ErrUnexpectedEOF) != truncated {
			t.Errorf("%s: %v, want truncated %t", name, err, truncated)
		}
	}
	bad("no signature", append([]byte("GIF88a"), whole[6:]...), false)
	bad("no frame", []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"), false)
	bad("no size", []byte("GIF89a\x00\x00\x00\x00\x00\x00\x00,\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00"), false)
	bad("only stray bytes", []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00"), true)
	bad("code size 1", []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x01\x00"), false)
	bad("pixels end", []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x08\x00"), true)
	bad("bad code", []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x08\x03\x00\xff\xff\x00"), false)
	complete := len(whole) - 4 // the terminator, the trailer, and the codes after the last pixel
	for n := range complete {
		bad(fmt.Sprintf("%d of %d bytes", n, len(whole)), whole[:n], true)
	}
}

func FuzzRows(f *testing.F) {
	f.Add(sample().encode())
	names, err := filepath.Glob("../../testdata/images/small/*.gif")
	if err != nil || len(names) < 3 {
		f.Fatal(names, err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := New(data)
		if err != nil || d.Width*d.Height > 1<<16 {
			return
		}
		if _, err := decode(data, image.Rectangle{}); err != nil && !strings.HasPrefix(err.Error(), "gif: ") {
			t.Fatal(err)
		}
	})
}
