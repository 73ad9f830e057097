package jpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"vith/vit/preprocess/simd"
)

const images = "../../testdata/images"

// decode returns the window of an image; the whole image for an empty one. All
// tiers must agree.
func decode(data []byte, window image.Rectangle) ([]byte, error) {
	tiers := simd.Tiers()
	poison(0xa5)
	pix, err := decodeWith(tiers[0], data, window)
	for _, tier := range tiers[1:] {
		poison(0x3c)
		other, otherErr := decodeWith(tier, data, window)
		if !bytes.Equal(pix, other) || fmt.Sprint(err) != fmt.Sprint(otherErr) {
			return nil, fmt.Errorf("tiers %s and %s differ: errors %v and %v", tiers[0].Name, tier.Name, err, otherErr)
		}
	}
	return pix, err
}

// poison leaves memory behind that must not show in the next image.
func poison(v byte) {
	w := &workspace{bytes: make([]byte, 1<<16), coefficients: make([]int16, 1<<14), means: make([]int16, 1<<8), nonzero: make([]uint64, 1<<8)}
	for i := range w.bytes {
		w.bytes[i] = v
	}
	for i := range w.coefficients {
		w.coefficients[i] = int16(v)
	}
	for i := range w.means {
		w.means[i] = int16(v)
	}
	for i := range w.nonzero {
		w.nonzero[i] = 1 << (v & 63)
	}
	workspaces.Put(w)
}

func decodeWith(tier *simd.Tier, data []byte, window image.Rectangle) ([]byte, error) {
	d, err := New(data)
	if err != nil {
		return nil, err
	}
	d.Tier = tier
	if window.Empty() {
		window = image.Rect(0, 0, d.Width, d.Height)
	}
	var pix []byte
	err = d.Rows(context.Background(), window, func(row []byte) {
		if len(row) != 3*window.Dx() {
			panic(fmt.Sprintf("a row of %d bytes for %v", len(row), window))
		}
		pix = append(pix, row...)
	})
	if err == nil && len(pix) != 3*window.Dx()*window.Dy() {
		return nil, fmt.Errorf("%d bytes for %v", len(pix), window)
	}
	return pix, err
}

func mustDecode(t testing.TB, data []byte) []byte {
	t.Helper()
	pix, err := decode(data, image.Rectangle{})
	if err != nil {
		t.Fatal(err)
	}
	return pix
}

// files returns the JPEG files of a folder of images.
func files(t testing.TB, folder string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(images, folder, "*.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(name)] = data
	}
	if len(all) < 8 {
		t.Fatalf("%d images in %s", len(all), folder)
	}
	return all
}

// samplings has every combination of ratios that are told apart.
var samplings = [][]sampling{
	{{1, 1}, {1, 1}, {1, 1}},
	{{2, 1}, {1, 1}, {1, 1}},
	{{1, 2}, {1, 1}, {1, 1}},
	{{2, 2}, {1, 1}, {1, 1}},
	{{4, 1}, {1, 1}, {1, 1}},
	{{1, 4}, {1, 1}, {1, 1}},
	{{4, 2}, {1, 1}, {1, 1}},
	{{3, 1}, {1, 1}, {1, 1}},
	{{2, 2}, {2, 1}, {1, 2}},
	{{1, 1}, {2, 2}, {1, 2}},
	{{1, 2}, {2, 1}, {1, 1}},
}

var sizes = [][2]int{{1, 1}, {2, 3}, {3, 2}, {5, 1}, {7, 9}, {8, 8}, {16, 17}, {17, 16}, {33, 31}, {47, 70}}

// upsampleReference is the sample of a plane at a pixel, by the rules of libjpeg
// written out for one pixel.
func upsampleReference(plane []byte, width, height, across, down, x, y int) byte {
	at := func(x, y int) int {
		return int(plane[min(max(y, 0), height-1)*width+min(max(x, 0), width-1)])
	}
	sideways, upDown := 2*(x&1)-1, 2*(y&1)-1 // towards the farther sample
	odd := x & 1
	switch {
	case across == 2 && down == 1 && width > 2:
		return byte((3*at(x/2, y) + at(x/2+sideways, y) + 1 + odd) / 4)
	case across == 1 && down == 2:
		return byte((3*at(x, y/2) + at(x, y/2+upDown) + 1 + y&1) / 4)
	case across == 2 && down == 2 && width > 2:
		column := func(x int) int { return 3*at(x, y/2) + at(x, y/2+upDown) }
		return byte((3*column(x/2) + column(min(max(x/2+sideways, 0), width-1)) + 8 - odd) / 16)
	}
	return byte(at(x/across, y/down))
}

func TestSubsampling(t *testing.T) {
	for i, factors := range samplings {
		for j, size := range sizes {
			d := draw(uint64(100*i+j), size[0], size[1], factors...)
			var planes [3][]byte
			hMax, vMax := 1, 1
			for c, f := range factors {
				gray := mustDecode(t, d.plane(c).encode(layout{marker: markerSOF0, adobe: -1, scans: []drawnScan{{[]int{0}, 0, 63}}}))
				for k := 0; k < len(gray); k += 3 {
					planes[c] = append(planes[c], gray[k])
				}
				hMax, vMax = max(hMax, f.h), max(vMax, f.v)
			}
			// Transform 0 is RGB: what is decoded are the upsampled planes.
			got := mustDecode(t, d.encode(layout{marker: markerSOF0, scans: []drawnScan{{[]int{0, 1, 2}, 0, 63}}}))
			for k, v := range got {
				x, y, c := k/3%d.width, k/3/d.width, k%3
				p := d.planes[c]
				if want := upsampleReference(planes[c], p.width, p.height, hMax/p.h, vMax/p.v, x, y); v != want {
					t.Fatalf("%v, %v: pixel (%d, %d), component %d is %d, want %d", factors, size, x, y, c, v, want)
				}
			}
		}
	}
}

// The same coefficients are the same pixels however they are written.
func TestLayouts(t *testing.T) {
	all := []int{0, 1, 2}
	separate := []drawnScan{{[]int{2}, 0, 63}, {[]int{0}, 0, 63}, {[]int{1}, 0, 63}}
	pair := []drawnScan{{[]int{1, 2}, 0, 63}, {[]int{0}, 0, 63}}
	bands := []drawnScan{{all, 0, 0}, {[]int{1}, 1, 63}, {[]int{0}, 1, 5}, {[]int{2}, 1, 63}, {[]int{0}, 6, 63}}
	for i, factors := range samplings {
		for j, size := range sizes {
			d := draw(uint64(1000+100*i+j), size[0], size[1], factors...)
			want := mustDecode(t, d.encode(layout{marker: markerSOF0, adobe: -1, scans: []drawnScan{{all, 0, 63}}}))
			f := func(name string, l layout) {
				t.Helper()
				l.adobe = -1
				if got := mustDecode(t, d.encode(l)); !bytes.Equal(got, want) {
					t.Errorf("%v, %v, %s: other pixels", factors, size, name)
				}
			}
			f("extended sequential", layout{marker: markerSOF1, scans: []drawnScan{{all, 0, 63}}})
			f("reordered", layout{marker: markerSOF0, scans: separate})
			f("separate, restarts", layout{marker: markerSOF0, scans: separate, restart: 3})
			f("restarts", layout{marker: markerSOF0, scans: []drawnScan{{all, 0, 63}}, restart: 1})
			f("rare restarts", layout{marker: markerSOF0, scans: []drawnScan{{all, 0, 63}}, restart: 5})
			f("progressive", layout{marker: markerSOF2, scans: bands})
			f("progressive, restarts", layout{marker: markerSOF2, scans: bands, restart: 2})
			f("no Huffman tables", layout{marker: markerSOF0, scans: []drawnScan{{all, 0, 63}}, noTables: true})
			if factors[0] == (sampling{1, 1}) && factors[1] == factors[0] { // the encoder counts MCUs by component 0
				f("a pair", layout{marker: markerSOF0, scans: pair})
			}
		}
	}
}

// A window is a part of the whole, whatever it cuts.
func TestWindows(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	check := func(name string, data []byte) {
		t.Helper()
		d, err := New(data)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := decode(data, image.Rectangle{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for range 12 {
			x, y := random.IntN(d.Width), random.IntN(d.Height)
			w := image.Rect(x, y, x+1+random.IntN(d.Width-x), y+1+random.IntN(d.Height-y))
			got, err := decode(data, w)
			if err != nil {
				t.Fatalf("%s, %v: %v", name, w, err)
			}
			for row := range w.Dy() {
				want := whole[3*((w.Min.Y+row)*d.Width+w.Min.X):][:3*w.Dx()]
				if !bytes.Equal(got[3*row*w.Dx():][:3*w.Dx()], want) {
					t.Fatalf("%s, %v: row %d differs from the whole image", name, w, row)
				}
			}
		}
	}
	for name, data := range files(t, "small") {
		check(name, data)
	}
	for i, factors := range samplings {
		d := draw(uint64(i), 150, 130, factors...)
		check(fmt.Sprint(factors), d.encode(layout{marker: markerSOF0, adobe: -1, scans: []drawnScan{{[]int{0, 1, 2}, 0, 63}}}))
	}
}

// The rows below the window are not decoded, but the image is accepted or
// refused as if they were.
func TestWindowDoesNotHideDamage(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	d := draw(9, 24, 200, sampling{2, 2}, sampling{1, 1}, sampling{1, 1})
	refused := 0
	for _, restart := range []int{0, 1, 2} {
		good := d.encode(layout{marker: markerSOF0, adobe: -1, restart: restart, scans: []drawnScan{{[]int{0, 1, 2}, 0, 63}}})
		for range 400 {
			data := bytes.Clone(good)
			for range 2 {
				data[len(data)/2+random.IntN(len(data)/2)] = 0xff
			}
			_, wholeErr := decode(data, image.Rectangle{})
			_, partErr := decode(data, image.Rect(3, 5, 20, 60))
			if fmt.Sprint(wholeErr) != fmt.Sprint(partErr) {
				t.Fatalf("restart %d: whole: %v, window: %v", restart, wholeErr, partErr)
			}
			if wholeErr != nil {
				refused++
			}
		}
	}
	if refused < 100 || refused > 1100 {
		t.Errorf("%d of 1200 are refused: the test shows little", refused)
	}
}

// fillBlock is the transform of a block without AC coefficients.
func TestFillBlock(t *testing.T) {
	const stride = 11
	quant := new([64]uint16)
	for _, q := range []uint16{0, 1, 2, 3, 16, 255, 256, 257, 65535} {
		quant[0] = q
		for dc := math.MinInt16; dc <= math.MaxInt16; dc += 7 {
			got, want := make([]byte, 8*stride), make([]byte, 8*stride)
			fillBlock(got, stride, int16(dc), quant)
			simd.Best().IDCT(want, stride, &[64]int16{int16(dc)}, quant)
			if !bytes.Equal(got, want) {
				t.Fatalf("%d·%d: %d, want %d", dc, q, got[0], want[0])
			}
		}
	}
}

func TestApplyBlack(t *testing.T) {
	for ink := range 256 {
		for k := range 256 {
			got := []byte{byte(ink), 0, 255}
			applyBlack(got, []byte{byte(k)})
			want := math.Round(float64(k) - float64(ink)*float64(k)/255)
			if math.Abs(float64(got[0])-want) > 1 || got[1] != byte(k) || got[2] != 0 {
				t.Fatalf("ink %d, 255-K %d: %v, want %v %d 0", ink, k, got, want, k)
			}
		}
	}
}

func TestColorSpaces(t *testing.T) {
	f := func(want colorSpace, jfif bool, adobe int, ids string) {
		t.Helper()
		d := &Decoder{jfif: jfif, adobe: adobe}
		for _, id := range []byte(ids) {
			d.components = append(d.components, component{id: id})
		}
		if got := d.findColorSpace(); got != want {
			t.Errorf("JFIF %t, Adobe %d, ids %q: %d, want %d", jfif, adobe, ids, got, want)
		}
	}
	f(grayscale, true, -1, "\x01")
	f(grayscale, false, 1, "\x01")
	f(yCbCr, true, -1, "\x01\x02\x03")
	f(yCbCr, true, 0, "RGB")
	f(yCbCr, true, -1, "RGB")
	f(rgb, false, 0, "\x01\x02\x03")
	f(yCbCr, false, 1, "RGB")
	f(rgb, false, -1, "RGB")
	f(yCbCr, false, -1, "\x00\x01\x02")
	f(cmyk, false, -1, "CMYK")
	f(cmyk, false, 0, "CMYK")
	f(yCCK, false, 2, "CMYK")
	f(yCCK, false, 1, "CMYK")
}

func TestBadHeaders(t *testing.T) {
	d := draw(1, 20, 20, sampling{1, 1}, sampling{1, 1}, sampling{1, 1})
	good := d.encode(layout{marker: markerSOF0, adobe: -1, scans: []drawnScan{{[]int{0, 1, 2}, 0, 63}}})
	mustDecode(t, good)
	patch := func(marker byte, offset int, with ...byte) []byte {
		p := bytes.Clone(good)
		at := bytes.Index(p, []byte{0xff, marker})
		if at < 0 {
			t.Fatalf("no marker %x", marker)
		}
		copy(p[at+4+offset:], with)
		return p
	}
	insert := func(marker byte, segment string) []byte {
		at := bytes.Index(good, []byte{0xff, marker})
		return append(append(bytes.Clone(good[:at]), segment...), good[at:]...)
	}
	f := func(name string, data []byte, want error) {
		t.Helper()
		_, err := decode(data, image.Rectangle{})
		switch {
		case want == nil:
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case want == errInvalid:
			if !errors.As(err, new(FormatError)) {
				t.Errorf("%s: %v, want a FormatError", name, err)
			}
		case !errors.Is(err, want):
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	f("no SOI", good[2:], errInvalid)
	f("nothing", nil, io.ErrUnexpectedEOF)
	f("SOI and EOI", []byte{0xff, markerSOI, 0xff, markerEOI}, errInvalid)
	f("two SOI", insert(markerSOF0, "\xff\xd8"), errInvalid)
	f("two frames", insert(markerSOS, string(good[bytes.Index(good, []byte{0xff, markerSOF0}):bytes.Index(good, []byte{0xff, markerSOS})])), errInvalid)
	f("unknown marker", insert(markerSOF0, "\xff\x02\x00\x04ab"), errInvalid)
	f("segment too short", insert(markerSOF0, "\xff\xdb\x00\x01"), errInvalid)
	f("comment too short", insert(markerSOF0, "\xff\xfe\x00\x00"), nil)
	f("junk between segments", insert(markerSOF0, "junk\xff\x00\xff\xff"), nil)
	f("fill bytes", insert(markerSOF0, "\xff\xff\xff"), nil)
	f("restart marker between segments", insert(markerSOF0, "\xff\xd3"), nil)
	f("no width", patch(markerSOF0, 3, 0, 0), errInvalid)
	f("no height", patch(markerSOF0, 1, 0, 0), errInvalid)
	f("two components", patch(markerSOF0, 5, 2), errors.ErrUnsupported)
	f("four components in the space of three", patch(markerSOF0, 5, 4), errInvalid)
	f("sampling factor 0", patch(markerSOF0, 7, 0x01), errInvalid)
	f("sampling factor 5", patch(markerSOF0, 7, 0x51), errInvalid)
	f("sampling 3:2", patch(markerSOF0, 7, 0x31, 0, 2, 0x21), errors.ErrUnsupported)
	f("11 blocks in an MCU", patch(markerSOF0, 7, 0x33, 0, 2, 0x11), errInvalid)
	f("quantisation table 4", patch(markerSOF0, 8, 4), errInvalid)
	f("undefined quantisation table", patch(markerSOF0, 8, 3), errInvalid)
	f("wide quantisation table in the space of a narrow one", patch(markerDQT, 0, 0x10), errInvalid)
	f("Huffman class 2", patch(markerDHT, 0, 0x20), errInvalid)
	f("Huffman table with three codes of one bit", patch(markerDHT, 1, 3), errInvalid)
	f("Huffman table of 300 codes", patch(markerDHT, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 100), errInvalid)
	f("DC symbol 16", patch(markerDHT, 1+16, 16), errInvalid)
	f("undefined Huffman table", patch(markerSOS, 2, 0x22), errInvalid)
	f("restart interval of three bytes", insert(markerSOF0, "\xff\xdd\x00\x05abc"), errInvalid)
	f("scan of an unknown component", patch(markerSOS, 1, 9), errInvalid)
	f("scan that repeats a component", patch(markerSOS, 3, 1), errInvalid)
	f("scan of five components", patch(markerSOS, 0, 5), errInvalid)
	f("scan before the frame", insert(markerSOF0, "\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"), errInvalid)
	end := len(good) - 2
	f("second scan", append(bytes.Clone(good[:end]), good[bytes.Index(good, []byte{0xff, markerSOS}):]...), errInvalid)
	f("no EOI", good[:end], io.ErrUnexpectedEOF)
	f("half an EOI", good[:end+1], io.ErrUnexpectedEOF)
	f("bytes after EOI", append(bytes.Clone(good), "more"...), nil)
	f("bytes before EOI", append(bytes.Clone(good[:end]), "more\xff\xd9"...), nil)
}

// errInvalid stands for a [FormatError] in tests.
var errInvalid = errors.New("invalid")

func TestBadProgressions(t *testing.T) {
	d := draw(2, 20, 20, sampling{1, 1}, sampling{1, 1}, sampling{1, 1})
	f := func(name string, good bool, high, low byte, scans ...drawnScan) {
		t.Helper()
		data := d.encode(layout{marker: markerSOF2, adobe: -1, scans: scans})
		at := bytes.LastIndex(data, []byte{0xff, markerSOS})
		data[at+4+2+2*int(data[at+4])+1] = high<<4 | low
		_, err := decode(data, image.Rectangle{})
		if good && err != nil || !good && !errors.As(err, new(FormatError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	all := []int{0, 1, 2}
	f("DC", true, 0, 0, drawnScan{all, 0, 0})
	f("DC refined", true, 1, 0, drawnScan{all, 0, 0})
	f("DC refined by two bits", false, 2, 0, drawnScan{all, 0, 0})
	f("low bit 14", false, 0, 14, drawnScan{all, 0, 0})
	f("DC with AC", false, 0, 0, drawnScan{all, 0, 5})
	f("AC of three components", false, 0, 0, drawnScan{all, 1, 5})
	f("AC backwards", false, 0, 0, drawnScan{[]int{1}, 5, 4})
	f("AC 64", false, 0, 0, drawnScan{[]int{1}, 5, 64})
	many := make([]drawnScan, maxScans+1)
	for i := range many {
		many[i] = drawnScan{[]int{0}, 1, 63}
	}
	f("most scans", true, 0, 0, many[:maxScans]...)
	_, err := decode(d.encode(layout{marker: markerSOF2, adobe: -1, scans: many}), image.Rectangle{})
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%d scans: %v", len(many), err)
	}
}

// The coefficients of an image of several scans are limited before they are allocated.
func TestTooManyCoefficients(t *testing.T) {
	d := draw(5, 20, 20, sampling{1, 1}, sampling{1, 1}, sampling{1, 1})
	data := d.encode(layout{marker: markerSOF2, adobe: -1, scans: []drawnScan{{[]int{0, 1, 2}, 0, 0}}})
	frame := bytes.Index(data, []byte{0xff, markerSOF2}) + 4
	copy(data[frame+1:], []byte{0xff, 0xff, 0xff, 0xff}) // 65535 x 65535
	decoder, err := New(data)
	if err != nil {
		t.Fatal(err)
	}
	if most := decoder.Memory(); most < 2*maxCoefficients {
		t.Errorf("%d bytes foreseen", most)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err = decoder.Rows(context.Background(), image.Rect(0, 0, 1, 1), func([]byte) {})
	runtime.ReadMemStats(&after)
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(fmt.Sprint(err), "65535 x 65535 in several scans") {
		t.Errorf("%v, want an UnsupportedError", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 { // the samples of two rows of MCUs are 3 MiB
		t.Errorf("%d bytes allocated", n)
	}
}

// A component that no scan has is medium gray, as in libjpeg.
func TestMissingComponent(t *testing.T) {
	d := draw(4, 20, 20, sampling{2, 2}, sampling{1, 1}, sampling{1, 1})
	for _, marker := range []byte{markerSOF0, markerSOF2} {
		scan := drawnScan{[]int{0}, 0, 63}
		if marker == markerSOF2 {
			scan.last = 0
		}
		pix := mustDecode(t, d.encode(layout{marker: marker, scans: []drawnScan{scan}}))
		for i := 0; i < len(pix); i += 3 {
			if pix[i+1] != 128 || pix[i+2] != 128 {
				t.Fatalf("marker %x: pixel %d is %v", marker, i/3, pix[i:i+3])
			}
		}
	}
}

func TestCoefficientsAreLimited(t *testing.T) {
	d := draw(6, 16, 16, sampling{1, 1})
	data := d.encode(layout{marker: markerSOF2, adobe: -1, scans: []drawnScan{{[]int{0}, 0, 0}}})
	copy(data[bytes.Index(data, []byte{0xff, markerSOF2})+5:], "\xff\xff\xff\xff")
	decoder, err := New(data)
	if err != nil || decoder.Width != 65535 || decoder.Height != 65535 {
		t.Fatalf("%v, %+v", err, decoder)
	}
	if want := int64(2 << 32); decoder.Memory() < want {
		t.Errorf("%d bytes of memory, want %d", decoder.Memory(), want)
	}
	err = decoder.Rows(context.Background(), image.Rect(0, 0, 1, 1), func([]byte) {})
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v, want %v", err, errors.ErrUnsupported)
	}
}

func TestContextEnds(t *testing.T) {
	d := draw(3, 40, 400, sampling{1, 1})
	for _, marker := range []byte{markerSOF0, markerSOF2} {
		scans := []drawnScan{{[]int{0}, 0, 63}}
		if marker == markerSOF2 {
			scans = []drawnScan{{[]int{0}, 0, 0}, {[]int{0}, 1, 63}}
		}
		decoder, err := New(d.encode(layout{marker: marker, adobe: -1, scans: scans}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		rows := 0
		err = decoder.Rows(ctx, image.Rect(0, 0, 40, 400), func([]byte) { rows++; cancel() })
		if err != context.Canceled || rows > 8 {
			t.Errorf("marker %x: %v after %d rows", marker, err, rows)
		}
	}
}

func FuzzRows(f *testing.F) {
	for _, data := range files(f, "small") {
		f.Add(data, uint8(1), uint8(2))
	}
	f.Fuzz(func(t *testing.T, data []byte, x, y uint8) {
		d, err := New(data)
		if err != nil || d.Width*d.Height > 1<<16 {
			return
		}
		whole, wholeErr := decode(data, image.Rectangle{})
		w := image.Rect(int(x)%d.Width, int(y)%d.Height, d.Width, d.Height)
		part, partErr := decode(data, w)
		if (wholeErr == nil) != (partErr == nil) {
			t.Fatalf("whole: %v, part %v: %v", wholeErr, w, partErr)
		}
		if wholeErr != nil {
			return
		}
		for row := range w.Dy() {
			if !bytes.Equal(part[3*row*w.Dx():][:3*w.Dx()], whole[3*((w.Min.Y+row)*d.Width+w.Min.X):][:3*w.Dx()]) {
				t.Fatalf("%v: row %d differs from the whole image", w, row)
			}
		}
	})
}

func BenchmarkRows(b *testing.B) {
	for _, name := range []string{"seeding_640x480_420.jpg", "rocket_640x427_444.jpg", "retina_1411x1411_420.jpg"} {
		data, err := os.ReadFile(filepath.Join(images, "photos", name))
		if err != nil {
			b.Fatal(err)
		}
		b.Run("image="+name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := decode(data, image.Rectangle{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
