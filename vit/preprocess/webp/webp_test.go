package webp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const images = "../../testdata/images"

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

// files returns the small WebP images.
func files(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(images, "small", "*.webp"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		if all[filepath.Base(name)], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 8 {
		t.Fatalf("%d images", len(all))
	}
	return all
}

func TestWindows(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, data := range files(t) {
		whole, err := decode(data, image.Rectangle{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		d, err := New(data)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			x, y := random.IntN(d.Width), random.IntN(d.Height)
			w := image.Rect(x, y, x+1+random.IntN(d.Width-x), y+1+random.IntN(d.Height-y))
			got, err := decode(data, w)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for row := range w.Dy() {
				want := whole[3*((w.Min.Y+row)*d.Width+w.Min.X):][:3*w.Dx()]
				if !bytes.Equal(got[3*row*w.Dx():][:3*w.Dx()], want) {
					t.Fatalf("%s, %v: row %d differs from the whole image", name, w, row)
				}
			}
		}
	}
}

// Two roundings: down by 1/8 and by 1/2 at most, with 1/2 added once.
func TestInterpolate(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for width := 1; width < 20; width++ {
		near, far := make([]byte, (width+1)/2), make([]byte, (width+1)/2)
		for i := range near {
			near[i], far[i] = byte(random.Uint32()), byte(random.Uint32())
		}
		got := make([]byte, width)
		interpolate(got, near, far)
		for x, v := range got {
			// The sample at x/2 and the one on the other side; at the edges there is none.
			i := x / 2
			j := min(max(i+2*(x&1)-1, 0), len(near)-1)
			want := (9*float64(near[i]) + 3*float64(far[i]) + 3*float64(near[j]) + float64(far[j])) / 16
			if math.Abs(float64(v)-want) > 1 {
				t.Fatalf("width %d: column %d is %d, want %.3f", width, x, v, want)
			}
		}
	}
}

// The fixed-point conversion is within a little of BT.601.
func TestConvert(t *testing.T) {
	for y := 0; y < 256; y += 3 {
		for u := 0; u < 256; u += 5 {
			for v := 0; v < 256; v += 5 {
				r, g, b := convert(byte(y), byte(u), byte(v))
				luma, cb, cr := 255./219*float64(y-16), 255./112*float64(u-128), 255./112*float64(v-128)
				want := [3]float64{
					luma + (1-0.299)*cr,
					luma - (1-0.114)*0.114/0.587*cb - (1-0.299)*0.299/0.587*cr,
					luma + (1-0.114)*cb,
				}
				for i, got := range []byte{r, g, b} {
					if math.Abs(float64(got)-math.Min(math.Max(want[i], 0), 255)) > 1.2 {
						t.Fatalf("YUV %d %d %d: channel %d is %d, want %.3f", y, u, v, i, got, want[i])
					}
				}
			}
		}
	}
}

// riff wraps chunks, each an identifier and its data.
func riff(chunks ...string) []byte {
	var body []byte
	for i := 0; i < len(chunks); i += 2 {
		body = append(body, chunks[i]...)
		body = binary.LittleEndian.AppendUint32(body, uint32(len(chunks[i+1])))
		body = append(body, chunks[i+1]...)
		if len(chunks[i+1])%2 == 1 {
			body = append(body, 0)
		}
	}
	out := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+len(body)))
	return append(append(out, "WEBP"...), body...)
}

// extended is the data of a VP8X chunk.
func extended(flags byte, width, height int) string {
	return string([]byte{flags, 0, 0, 0, byte(width - 1), byte((width - 1) >> 8), 0, byte(height - 1), byte((height - 1) >> 8), 0})
}

// lossy returns the bitstream of a simple lossy file.
func lossy(t testing.TB) (bitstream string, width, height int) {
	t.Helper()
	data := files(t)["webp_rgb_7x16_0003.webp"]
	body, err := riffBody(data)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := nextChunk(body)
	if err != nil || c.id != "VP8 " {
		t.Fatalf("%q, %v", c.id, err)
	}
	return string(c.data), 7, 16
}

func TestContainer(t *testing.T) {
	frame, width, height := lossy(t)
	plain, err := decode(riff("VP8 ", frame), image.Rectangle{})
	if err != nil {
		t.Fatal(err)
	}
	still := func(flags byte) string { return extended(flags, width, height) }
	f := func(name string, data []byte, exif, xmp string) {
		t.Helper()
		d, err := New(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if string(d.Exif) != exif || string(d.XMP) != xmp {
			t.Errorf("%s: EXIF %q and XMP %q, want %q and %q", name, d.Exif, d.XMP, exif, xmp)
		}
		if got, err := decode(data, image.Rectangle{}); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: %v, or other pixels", name, err)
		}
	}
	f("simple", riff("VP8 ", frame), "", "")
	f("simple, with chunks that only extended files have", riff("VP8 ", frame, "EXIF", "e"), "", "")
	f("extended", riff("VP8X", still(flagExif|flagXMP), "ICCP", "icc", "VP8 ", frame, "EXIF", "e", "XMP ", "x"), "e", "x")
	f("metadata without flags", riff("VP8X", still(0), "VP8 ", frame, "EXIF", "e", "XMP ", "x"), "", "")
	f("metadata first", riff("VP8X", still(flagExif), "EXIF", "e1", "VP8 ", frame, "EXIF", "e2"), "e1", "")
	f("bytes after the file", append(riff("VP8 ", frame), "more"...), "", "")

	bad := func(name string, data []byte, truncated bool, says string) {
		t.Helper()
		_, err := decode(data, image.Rectangle{})
		if err == nil || errors.Is(err, io.ErrUnexpectedEOF) != truncated || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q, truncated %t", name, err, says, truncated)
		}
	}
	bad("nothing", nil, true, "RIFF header")
	bad("no RIFF", bytes.Repeat([]byte{1}, 20), false, "RIFF")
	bad("no chunk", riff(), true, "chunk header")
	bad("RIFF size 0", []byte("RIFF\x00\x00\x00\x00WEBP"), false, "RIFF size")
	bad("unknown first chunk", riff("VP9 ", frame), false, "VP9")
	bad("no frame", riff("VP8X", still(0)), false, "no image")
	bad("short VP8X", riff("VP8X", "abc", "VP8 ", frame), false, "VP8X")
	bad("canvas of another size", riff("VP8X", extended(0, width+1, height), "VP8 ", frame), false, "canvas")
	bad("animation without frames", riff("VP8X", still(flagAnimation), "VP8 ", frame), false, "no image")
	bad("short frame", riff("VP8X", still(flagAnimation), "ANMF", "abc"), false, "ANMF")
	bad("frame without image", riff("VP8X", still(flagAnimation), "ANMF", strings.Repeat("\x00", 16)), false, "no image")
	bad("short VP8", riff("VP8 ", frame[:9]), true, "VP8 header")
	bad("short VP8L", riff("VP8L", "\x2f\x00\x00"), true, "VP8L header")
	bad("no VP8L signature", riff("VP8L", "\x2e\x00\x00\x00\x00"), false, "signature")
	bad("VP8 interframe", riff("VP8 ", "\x01"+frame[1:]), false, "key frame")
	bad("VP8 without width", riff("VP8 ", frame[:6]+"\x00\x00"+frame[8:]), false, "size")
	bad("VP8 partition too long", riff("VP8 ", frame[:1]+"\xff\xff"+frame[3:]), true, "partition")
	bad("VP8 cut", riff("VP8 ", frame[:len(frame)-8]), true, "")
}

// The first frame of an animation lies on a black canvas.
func TestAnimation(t *testing.T) {
	frame, width, height := lossy(t)
	plain, err := decode(riff("VP8 ", frame), image.Rectangle{})
	if err != nil {
		t.Fatal(err)
	}
	anmf := func(x, y int) string {
		header := []byte{byte(x / 2), 0, 0, byte(y / 2), 0, 0, byte(width - 1), 0, 0, byte(height - 1), 0, 0, 100, 0, 0, 0}
		return string(header) + string(riff("VP8 ", frame)[12:])
	}
	const canvasWidth, canvasHeight, x, y = 20, 30, 4, 6
	data := riff("VP8X", extended(flagAnimation, canvasWidth, canvasHeight), "ANIM", "abcdef", "ANMF", anmf(x, y), "ANMF", anmf(0, 0))
	want := make([]byte, 3*canvasWidth*canvasHeight)
	for row := range height {
		copy(want[3*((y+row)*canvasWidth+x):], plain[3*row*width:][:3*width])
	}
	if got, err := decode(data, image.Rectangle{}); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v, or other pixels", err)
	}
	data = riff("VP8X", extended(flagAnimation, canvasWidth, canvasHeight), "ANMF", anmf(canvasWidth-4, 0))
	if _, err := New(data); err == nil {
		t.Error("a frame may leave the canvas")
	}
}

func FuzzRows(f *testing.F) {
	for _, data := range files(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := New(data)
		if err != nil || d.Width*d.Height > 1<<16 {
			return
		}
		if _, err := decode(data, image.Rectangle{}); err != nil && !strings.HasPrefix(err.Error(), "webp: ") {
			t.Fatal(err)
		}
	})
}
