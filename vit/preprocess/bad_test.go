package preprocess

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// codeOf returns the code of an image error, and "" for nil. Other errors fail
// the test.
func codeOf(t testing.TB, err error) Code {
	t.Helper()
	if err == nil {
		return ""
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%v (%T) is no *Error", err, err)
	}
	if e.ImageErrorCode() != string(e.Code) || e.Err == nil || errors.Unwrap(e) != e.Err {
		t.Fatalf("incomplete error %#v", e)
	}
	return e.Code
}

// tryCrop and decode must agree on whether an image is good.
func tryCrop(t testing.TB, data []byte) error {
	t.Helper()
	const size = 32
	dst := make([]byte, size*size*3)
	err := Crop(context.Background(), dst, data, Options{Size: size})
	codeOf(t, err)
	return err
}

func tryDecode(t testing.TB, data []byte) (*Pixels, error) {
	t.Helper()
	p, err := Decode(context.Background(), data, 0)
	codeOf(t, err)
	if err == nil && (len(p.Pix) != 3*p.Width*p.Height || p.Width < 1 || p.Height < 1) {
		t.Fatalf("%d bytes of pixels for %d x %d", len(p.Pix), p.Width, p.Height)
	}
	return p, err
}

func TestBadImages(t *testing.T) {
	wants := map[string]Code{
		"bomb_20000x20000.png":  ImageTooLarge,
		"empty.jpg":             EmptyImage,
		"giant_65500x65500.jpg": ImageTooLarge,
		"no_eoi.jpg":            TruncatedImage,
		"soi.jpg":               TruncatedImage,
		"text.jpg":              UnsupportedFormat,
		"truncated.png":         TruncatedImage,
		"truncated.webp":        TruncatedImage,
		"truncated_50pct.jpg":   TruncatedImage,
		"zero_height.jpg":       InvalidImage,
	}
	extreme := map[string]string{ // crops by Pillow
		"aspect_1x1.png":     "88867554b959a18e22641fbe1ed7d1219106055da010a589c021e30763f0f2f9",
		"aspect_3x2000.png":  "affd1509faa8d1d0380fde2396a40f1b5c6caf22643dff08880e872eb7a26c65",
		"aspect_1x10000.png": "e6127f5db6804a1e9b4c04b6477c736171d56712954642c95829cb6a8887fac5",
	}
	files, err := os.ReadDir(filepath.Join(images, "bad"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data := read(t, "bad/"+f.Name())
		if hash, ok := extreme[f.Name()]; ok {
			if got := digest(crop(t, data, Options{})); got != hash {
				t.Errorf("%s: crop %s, want %s", f.Name(), got, hash)
			}
			continue
		}
		want, ok := wants[f.Name()]
		if !ok {
			t.Errorf("%s: nobody said what is wrong with it", f.Name())
		}
		// Time depends on the machine. The work is what that of a photograph is at most: its pixels are allocated,
		// its rows of MCUs and pixels ask the context.
		const most, rows = 2 << 20, 640
		ctx := &endingContext{Context: context.Background(), n: rows}
		cost := allocated(func() { _, err = Decode(ctx, data, 0) })
		if got := codeOf(t, err); got != want {
			t.Errorf("%s: decoded with %v, want code %s", f.Name(), err, want)
		}
		if cost > most {
			t.Errorf("%s: %d bytes allocated", f.Name(), cost)
		}
		if got := codeOf(t, tryCrop(t, data)); got != want {
			t.Errorf("%s: cropped with code %q, want %q", f.Name(), got, want)
		}
	}
	if len(files) != len(wants)+len(extreme) {
		t.Errorf("%d files, want %d", len(files), len(wants)+len(extreme))
	}
}

func TestUnknownFormats(t *testing.T) {
	f := func(data, want string) {
		t.Helper()
		_, err := tryDecode(t, []byte(data))
		if codeOf(t, err) != UnsupportedFormat || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %s and %q", data, err, UnsupportedFormat, want)
		}
		if !strings.Contains(err.Error(), "JPEG, PNG, WebP, GIF and BMP are read") {
			t.Errorf("%.20q: %v does not say what is read", data, err)
		}
	}
	f("\x00\x00\x00\x20ftypavif\x00\x00\x00\x00", "AVIF")
	f("\x00\x00\x00\x20ftypheic\x00\x00\x00\x00", "HEIC")
	f("\x00\x00\x00\x20ftypmif1\x00\x00\x00\x00", "HEIC")
	f("\x00\x00\x00\x20ftypisom\x00\x00\x00\x00", "video")
	f("\x1a\x45\xdf\xa3\x01\x00", "video")
	f("\xff\x0a\x00\x00", "JPEG XL")
	f("II*\x00\x08\x00\x00\x00", "TIFF")
	f("MM\x00*\x00\x00\x00\x08", "TIFF")
	f("%PDF-1.7\n", "PDF")
	f("RIFF\x10\x00\x00\x00WAVEfmt ", "sound")
	f("RIFF\x10\x00\x00\x00AVI LIST", "video")
	f("PK\x03\x04....", "ZIP")
	f("<!DOCTYPE html><html><body>404</body></html>", "HTML")
	f("  \n<HTML>", "HTML")
	f("<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG")
	f("<?xml version='1.0'?>\n<svg/>", "SVG")
	f("<?xml version='1.0'?><rss/>", "XML")
	f(`{"error":"not found"}`, "JSON")
	f("/9j/4AAQSkZJRg", "base64")
	f("data:image/png;base64,iVBORw0K", "data URI")
	f("Grüße", "text")
	f("RIFF\x10\x00", "52 49 46 46 10 00")
	f("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09", "00 01 02 03 04 05 06 07;")
}

// pngHeader is a PNG image up to its IHDR chunk.
func pngHeader(width, height uint32, bitDepth, colorType byte) []byte {
	body := binary.BigEndian.AppendUint32([]byte("IHDR"), width)
	body = binary.BigEndian.AppendUint32(body, height)
	body = append(body, bitDepth, colorType, 0, 0, 0)
	p := binary.BigEndian.AppendUint32([]byte(pngSignature), 13)
	return binary.BigEndian.AppendUint32(append(p, body...), crc32.ChecksumIEEE(body))
}

// bmpHeader is a BMP image of 24 bits per pixel without pixels.
func bmpHeader(width, height uint32) []byte {
	p := append([]byte("BM"), make([]byte, 52)...)
	binary.LittleEndian.PutUint32(p[10:], 54)
	binary.LittleEndian.PutUint32(p[14:], 40)
	binary.LittleEndian.PutUint32(p[18:], width)
	binary.LittleEndian.PutUint32(p[22:], height)
	binary.LittleEndian.PutUint16(p[26:], 1)
	binary.LittleEndian.PutUint16(p[28:], 24)
	return p
}

// patched returns a copy of data with bytes at an offset replaced.
func patched(data []byte, at int, with ...byte) []byte {
	p := bytes.Clone(data)
	copy(p[at:], with)
	return p
}

// frameHeader is where the precision byte of a JPEG's frame header is.
func frameHeader(t testing.TB, data []byte) int {
	t.Helper()
	for at := 2; at+4 < len(data); at += 2 + int(binary.BigEndian.Uint16(data[at+2:])) {
		if m := data[at+1]; m >= 0xc0 && m <= 0xc2 {
			return at + 4
		}
	}
	t.Fatal("no frame header")
	return 0
}

// Headers that promise more than the limit, or more than the data can hold,
// must not cost memory.
func TestHeadersAllocateLittle(t *testing.T) {
	jpg := read(t, "small/plain_baseline_11-11-11_33x33.jpg")
	jpgFrame := frameHeader(t, jpg)
	vp8 := read(t, "small/webp_rgb_7x16_0003.webp")
	vp8Size := bytes.Index(vp8, []byte("\x9d\x01\x2a")) + 3
	gif := read(t, "photos/coffee_240x160.gif")
	f := func(name string, data []byte, want Code) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := tryCrop(t, data)
		runtime.ReadMemStats(&after)
		if got := codeOf(t, err); got != want {
			t.Errorf("%s: %v, want code %s", name, err, want)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 { // the resampler's tables are half of it
			t.Errorf("%s: %d bytes allocated", name, n)
		}
	}
	f("JPEG", patched(jpg, jpgFrame+1, 0xff, 0xff, 0xff, 0xff), ImageTooLarge)
	f("PNG over the limit", pngHeader(1<<31-1, 1<<31-1, 8, 6), ImageTooLarge)
	f("PNG below the limit", pngHeader(9000, 9000, 16, 6), TruncatedImage)
	f("PNG with a negative size", pngHeader(1<<31, 1, 8, 6), InvalidImage)
	f("PNG without width", pngHeader(0, 1, 8, 6), InvalidImage)
	f("BMP over the limit", bmpHeader(1<<30, 1<<30), ImageTooLarge)
	f("BMP below the limit", bmpHeader(9000, 9000), TruncatedImage)
	f("BMP without size", bmpHeader(0, 0), InvalidImage)
	f("VP8", patched(vp8, vp8Size, 0xff, 0x3f, 0xff, 0x3f), ImageTooLarge)
	f("GIF screen", patched(gif, 6, 0xff, 0xff, 0xff, 0xff), ImageTooLarge)
}

func TestMaxPixels(t *testing.T) {
	data := read(t, "photos/coffee_150x100_420.jpg")
	for limit, want := range map[int64]Code{14999: ImageTooLarge, 15000: "", 1: ImageTooLarge, 0: ""} {
		dst := make([]byte, 8*8*3)
		err := Crop(context.Background(), dst, data, Options{Size: 8, MaxPixels: limit})
		if got := codeOf(t, err); got != want {
			t.Errorf("limit %d: %v, want code %q", limit, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), "150 x 100 is 15000 pixels") {
			t.Errorf("limit %d: %q lacks the numbers", limit, err)
		}
	}
}

func TestUnsupportedVariants(t *testing.T) {
	jpg := read(t, "photos/coffee_150x100_420.jpg")
	frame := frameHeader(t, jpg)
	f := func(name string, data []byte, want Code, says string) {
		t.Helper()
		_, err := tryDecode(t, data)
		if got := codeOf(t, err); got != want || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want code %s and %q", name, err, want, says)
		}
	}
	f("arithmetic JPEG", patched(jpg, frame-3, 0xc9), UnsupportedVariant, "arithmetic")
	f("progressive arithmetic JPEG", patched(jpg, frame-3, 0xca), UnsupportedVariant, "arithmetic")
	f("lossless JPEG", patched(jpg, frame-3, 0xc3), UnsupportedVariant, "lossless")
	f("hierarchical JPEG", patched(jpg, frame-3, 0xc5), UnsupportedVariant, "hierarchical")
	f("12-bit JPEG", patched(jpg, frame, 12), UnsupportedVariant, "12 bits")
	f("JPEG sampling 3:2", patched(jpg, frame+7, 0x33, 0, 2, 0x22), UnsupportedVariant, "subsampling")
	bmp := read(t, "photos/coffee_120x80.bmp")
	f("JPEG in BMP", patched(bmp, 30, 4), UnsupportedVariant, "JPEG or PNG")
	f("BMP of OS/2", patched(bmp, 14, 12), UnsupportedVariant, "OS/2, 12 bytes")
	f("BMP with another header", patched(bmp, 14, 56), UnsupportedVariant, "56 bytes")
	f("BMP of negative width", patched(bmp, 21, 0x80), UnsupportedVariant, "a size of -")
	f("BMP planes", patched(bmp, 26, 3), UnsupportedVariant, "3 planes")
	f("BMP with run lengths", patched(bmp, 30, 1), UnsupportedVariant, "run lengths")
	f("BMP with masks", patched(bmp, 28, 16, 0, 3), UnsupportedVariant, "masks, 16 bits")
	f("BMP compression", patched(bmp, 30, 9), UnsupportedVariant, "method 9")
	f("BMP of 16 bits", patched(bmp, 28, 16), UnsupportedVariant, "16 bits a pixel")
	f("BMP with a gap", patched(bmp, 10, 60), UnsupportedVariant, "from byte 60 on, at 24 bits")
}

// A PNG image is good without its end, and with damage after its pixels.
func TestPNGAfterThePixels(t *testing.T) {
	data := read(t, "photos/chelsea_451x300.png")
	want := mustDecode(t, data)
	end := bytes.LastIndex(data, []byte("IEND")) - 4
	for name, data := range map[string][]byte{
		"no IEND":         data[:end],
		"damaged chunk":   append(bytes.Clone(data[:end]), "\x00\x00\x00\x01tEXtx\x00\x00\x00\x00"...),
		"chunk cut":       append(bytes.Clone(data[:end]), "\x00\x00\xff\xfftEXtx"...),
		"trailing bytes":  append(bytes.Clone(data), "trailing"...),
		"pixels in parts": splitIDAT(t, data),
	} {
		p, err := tryDecode(t, data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(p.Pix, want.Pix) {
			t.Errorf("%s: other pixels", name)
		}
	}
}

// splitIDAT puts every 1000 bytes of pixels of a PNG image in a chunk.
func splitIDAT(t *testing.T, data []byte) []byte {
	t.Helper()
	var out []byte
	out = append(out, pngSignature...)
	for rest := data[len(pngSignature):]; len(rest) > 0; {
		n := int(binary.BigEndian.Uint32(rest))
		id, body := string(rest[4:8]), rest[8:8+n]
		rest = rest[12+n:]
		for first := true; first || len(body) > 0; first = false {
			part := body
			if id == "IDAT" {
				part = body[:min(len(body), 1000)]
			}
			body = body[len(part):]
			out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
			chunk := append([]byte(id), part...)
			out = binary.BigEndian.AppendUint32(append(out, chunk...), crc32.ChecksumIEEE(chunk))
		}
	}
	return out
}

// Palette entries that a PNG file lacks are a gray ramp, as in PIL.
func TestPNGPaletteTooShort(t *testing.T) {
	m := image.NewPaletted(image.Rect(0, 0, 4, 1), color.Palette{
		color.RGBA{1, 2, 3, 255}, color.RGBA{4, 5, 6, 255}, color.RGBA{}, color.RGBA{}})
	copy(m.Pix, []byte{0, 1, 2, 3})
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	data := b.Bytes()
	at := bytes.Index(data, []byte("PLTE"))
	chunk := append([]byte("PLTE"), 1, 2, 3, 4, 5, 6)
	shorter := binary.BigEndian.AppendUint32(bytes.Clone(data[:at-4]), 6)
	shorter = binary.BigEndian.AppendUint32(append(shorter, chunk...), crc32.ChecksumIEEE(chunk))
	rest := data[bytes.Index(data, []byte("IDAT"))-4:]
	got := mustDecode(t, append(shorter, rest...)).Pix
	if want := []byte{1, 2, 3, 4, 5, 6, 2, 2, 2, 3, 3, 3}; !bytes.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// samples has a small image of each decoder.
var samples = []string{
	"small/plain_baseline_22-11-11_38x39.jpg",
	"small/plain_progressive_11-11-11_16x3.jpg",
	"small/restart_baseline_11-11-11_15x31.jpg",
	"small/png_rgba_15x9_0003.png",
	"small/png_1_15x4_0079.png",
	"small/webp_rgba_31x17_0018.webp",
	"small/webp_rgb_33x16_0021.webp",
	"small/webp_rgb_7x16_0003.webp",
	"small/webpanim_rgba_8x58_0014.webp",
	"small/gif_p_8x50_0047.gif",
	"small/bmp_rgb_5x6_0027.bmp",
	"small/bmp_p_5x9_0008.bmp",
}

// An image that ends early is an error, or decodes as if it did not.
func TestTruncation(t *testing.T) {
	for _, name := range samples {
		data := read(t, name)
		whole := mustDecode(t, data)
		accepted := 0
		for n := range data {
			p, err := tryDecode(t, data[:n])
			if cropErr := tryCrop(t, data[:n]); (err == nil) != (cropErr == nil) {
				t.Fatalf("%s, %d of %d bytes: Decode says %v, Crop %v", name, n, len(data), err, cropErr)
			}
			if err != nil {
				continue
			}
			accepted++
			if !bytes.Equal(p.Pix, whole.Pix) {
				t.Errorf("%s, %d of %d bytes: other pixels, and no error", name, n, len(data))
			}
		}
		// What PNG and GIF have behind their pixels is not needed.
		if accepted > 0 && !strings.HasSuffix(name, ".png") && !strings.HasSuffix(name, ".gif") {
			t.Errorf("%s: decodes when cut to %d lengths", name, accepted)
		}
	}
}

func TestTruncatedPhotos(t *testing.T) {
	for _, name := range []string{
		"coffee_300x203_420.jpg", "coffee_360x240_420_restart.jpg", "coffee_400x267_cmyk.jpg",
		"coffee_300x200_palette.png", "coffee_180x120_interlaced.png", "coffee_301x201_lossy_odd.webp",
		"coffee_300x200_lossless.webp", "coffee_240x160_anim.webp", "coffee_240x160.gif", "coffee_120x80.bmp",
	} {
		data := read(t, "photos/"+name)
		for i := range 12 {
			n := len(data) * i / 12
			if err := tryCrop(t, data[:n]); err == nil {
				t.Errorf("%s: %d of %d bytes are enough", name, n, len(data))
			}
		}
	}
}

// Damage must not crash, and Crop and Decode must agree about it.
func TestDamage(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, name := range samples {
		data := read(t, name)
		for range 300 {
			p := bytes.Clone(data)
			for range 1 + random.IntN(4) {
				p[random.IntN(len(p))] ^= 1 << random.IntN(8)
			}
			const most = 1 << 20 // pixels; the flips may hit the size
			_, err := Decode(context.Background(), p, most)
			dst := make([]byte, 16*16*3)
			cropErr := Crop(context.Background(), dst, p, Options{Size: 16, MaxPixels: most})
			if codeOf(t, err) != codeOf(t, cropErr) {
				t.Fatalf("%s: Decode says %v, Crop %v; data %x", name, err, cropErr, p)
			}
		}
	}
}

func TestWrongDestination(t *testing.T) {
	data := read(t, "photos/coffee_120x80.bmp")
	for _, c := range []struct{ bytes, size int }{{0, 0}, {11, 2}, {13, 2}, {3, -1}} {
		err := Crop(context.Background(), make([]byte, c.bytes), data, Options{Size: c.size})
		if err == nil || errors.As(err, new(*Error)) {
			t.Errorf("%d bytes for size %d: %v, want an error that is not the image's", c.bytes, c.size, err)
		}
	}
}

func TestErrorText(t *testing.T) {
	err := imageError("JPEG", io.ErrUnexpectedEOF)
	if got, want := err.Error(), "truncated image (JPEG): unexpected EOF; send the whole file"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
}
