package resample

import (
	"bytes"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"vith/vit/preprocess/simd"
)

// The definition, from Pillow's description: both passes over the whole image,
// then the crop. Pixels are RGB, rows without padding.

func kernelReference(x float64) float64 {
	x = math.Abs(x)
	switch {
	case x < 1:
		return 1.5*x*x*x - 2.5*x*x + 1
	case x < 2:
		return -0.5*x*x*x + 2.5*x*x - 4*x + 2
	}
	return 0
}

// axisReference resizes samples to m.
func axisReference(samples []byte, m int) []byte {
	n := len(samples)
	scale := float64(n) / float64(m)
	stretch := math.Max(scale, 1)
	out := make([]byte, m)
	for i := range out {
		center := (float64(i) + 0.5) * scale
		lo, hi := math.Trunc(center-2*stretch+0.5), math.Trunc(center+2*stretch+0.5)
		var weights [][2]float64 // index, weight
		sum := 0.0
		for j := math.Max(lo, 0); j < math.Min(hi, float64(n)); j++ {
			w := kernelReference((j - center + 0.5) / stretch)
			weights = append(weights, [2]float64{j, w})
			sum += w
		}
		total := int64(1 << 21)
		for _, w := range weights {
			total += int64(math.Round(w[1]/sum*(1<<22))) * int64(samples[int(w[0])])
		}
		out[i] = byte(min(max(total>>22, 0), 255))
	}
	return out
}

// cropReference scales and crops an image of 3 channels.
func cropReference(pix []byte, width, height int, o Options) []byte {
	scaledWidth, scaledHeight := o.Size, o.Size
	if width < height {
		scaledHeight = o.Size * height / width
	} else {
		scaledWidth = o.Size * width / height
	}
	wide := make([]byte, scaledWidth*height*3)
	for y := range height {
		for c := range 3 {
			row := make([]byte, width)
			for x := range row {
				row[x] = pix[(y*width+x)*3+c]
			}
			for x, v := range axisReference(row, scaledWidth) {
				wide[(y*scaledWidth+x)*3+c] = v
			}
		}
	}
	scaled := make([]byte, scaledWidth*scaledHeight*3)
	for x := range scaledWidth {
		for c := range 3 {
			column := make([]byte, height)
			for y := range column {
				column[y] = wide[(y*scaledWidth+x)*3+c]
			}
			for y, v := range axisReference(column, scaledHeight) {
				scaled[(y*scaledWidth+x)*3+c] = v
			}
		}
	}
	offset := func(d int) int {
		if o.RoundCrop {
			return int(math.RoundToEven(float64(d) / 2))
		}
		return d / 2
	}
	left, top := offset(scaledWidth-o.Size), offset(scaledHeight-o.Size)
	var out []byte
	for y := range o.Size {
		out = append(out, scaled[((top+y)*scaledWidth+left)*3:][:o.Size*3]...)
	}
	return out
}

// turned applies an EXIF orientation as a chain of the two elementary moves.
func turned(pix []byte, width, height, orientation int) ([]byte, int, int) {
	mirror := func() { // left and right
		out := make([]byte, 0, len(pix))
		for y := range height {
			for x := width - 1; x >= 0; x-- {
				out = append(out, pix[(y*width+x)*3:][:3]...)
			}
		}
		pix = out
	}
	quarter := func() { // clockwise
		out := make([]byte, 0, len(pix))
		for x := range width {
			for y := height - 1; y >= 0; y-- {
				out = append(out, pix[(y*width+x)*3:][:3]...)
			}
		}
		pix, width, height = out, height, width
	}
	moves := map[int]struct {
		mirror   bool
		quarters int
	}{1: {false, 0}, 2: {true, 0}, 3: {false, 2}, 4: {true, 2}, 5: {true, 3}, 6: {false, 1}, 7: {true, 1}, 8: {false, 3}}[orientation]
	if moves.mirror {
		mirror()
	}
	for range moves.quarters {
		quarter()
	}
	return pix, width, height
}

func noise(n int) []byte {
	random := rand.New(rand.NewPCG(uint64(n), 7))
	pix := make([]byte, n)
	for i := range pix {
		pix[i] = byte(random.Uint32())
		if random.IntN(3) == 0 { // extremes make the kernel overshoot
			pix[i] = byte(random.IntN(2) * 255)
		}
	}
	return pix
}

// run computes a crop with every tier; all must agree.
func run(pix []byte, width, height int, o Options) []byte {
	var first []byte
	for _, tier := range simd.Tiers() {
		o.Tier = tier
		dst := runWith(pix, width, height, o)
		if first == nil {
			first = dst
		}
		if !bytes.Equal(dst, first) {
			panic(fmt.Sprintf("%d x %d, %+v: tier %s differs", width, height, o, tier.Name))
		}
	}
	return first
}

func runWith(pix []byte, width, height int, o Options) []byte {
	dst := bytes.Repeat([]byte{0xa5}, o.Size*o.Size*3)
	r := New(dst, width, height, o)
	w := r.Window()
	for y := w.Min.Y; y < w.Max.Y; y++ {
		row := bytes.Clone(pix[(y*width+w.Min.X)*3 : (y*width+w.Max.X)*3])
		r.Push(row)
		clear(row) // no reference is kept
	}
	for i := range r.ring { // what is left behind must not matter
		r.ring[i] = 0x5a
	}
	r.Release()
	return dst
}

func check(t *testing.T, width, height int, o Options) {
	t.Helper()
	pix := noise(width * height * 3)
	upright, w, h := turned(pix, width, height, max(o.Orientation, 1))
	want := cropReference(upright, w, h, o)
	got := run(pix, width, height, o)
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%d x %d, %+v: row %d, column %d, channel %d is %d, want %d",
				width, height, o, i/3/o.Size, i/3%o.Size, i%3, got[i], want[i])
		}
	}
}

func TestSizes(t *testing.T) {
	for _, size := range []int{1, 2, 7, 16} {
		for _, d := range [][2]int{
			{1, 1}, {1, 2}, {2, 1}, {1, 37}, {37, 1}, {2, 2}, {3, 5}, {5, 3}, {6, 7}, {7, 7}, {8, 7}, {7, 16}, {16, 16},
			{17, 16}, {16, 19}, {31, 33}, {53, 47}, {97, 13}, {11, 101}, {128, 64},
		} {
			for _, round := range []bool{false, true} {
				check(t, d[0], d[1], Options{Size: size, Orientation: 1, RoundCrop: round})
			}
		}
	}
	check(t, 301, 257, Options{Size: 224})
	check(t, 640, 427, Options{Size: 224, RoundCrop: true})
}

func TestOrientations(t *testing.T) {
	for orientation := -1; orientation <= 9; orientation++ {
		o := Options{Size: 9, Orientation: orientation}
		if orientation < 1 || orientation > 8 {
			pix := noise(20 * 11 * 3)
			if !bytes.Equal(run(pix, 20, 11, o), run(pix, 20, 11, Options{Size: 9, Orientation: 1})) {
				t.Errorf("orientation %d is not 1", orientation)
			}
			continue
		}
		for _, d := range [][2]int{{1, 1}, {1, 9}, {9, 1}, {2, 3}, {5, 8}, {23, 17}, {17, 23}, {40, 10}, {10, 43}, {9, 9}} {
			for _, round := range []bool{false, true} {
				o.RoundCrop = round
				check(t, d[0], d[1], o)
			}
		}
	}
}

// A strip costs what its crop costs, not what the scaled strip would.
func TestStrips(t *testing.T) {
	const length = 50_000_000
	for _, d := range [][2]int{{1, length}, {length, 1}} {
		for orientation := 1; orientation <= 8; orientation++ {
			dst := make([]byte, 224*224*3)
			r := New(dst, d[0], d[1], Options{Size: 224, Orientation: orientation})
			w := r.Window()
			if n := w.Dx() * w.Dy(); n > 8 {
				t.Fatalf("%v: the window is %v", d, w)
			}
			if !w.In(image.Rect(0, 0, d[0], d[1])) {
				t.Fatalf("%v: the window %v is outside", d, w)
			}
			for range w.Dy() {
				r.Push(bytes.Repeat([]byte{10, 20, 30}, w.Dx()))
			}
			if want := bytes.Repeat([]byte{10, 20, 30}, 224*224); !bytes.Equal(dst, want) {
				t.Fatalf("%v, orientation %d: a plain strip is not plain", d, orientation)
			}
		}
	}
}

// An image of the right size is copied.
func TestIdentity(t *testing.T) {
	pix := noise(13 * 13 * 3)
	if !bytes.Equal(run(pix, 13, 13, Options{Size: 13}), pix) {
		t.Error("scaling by 1 changes pixels")
	}
}

func TestCropOffset(t *testing.T) {
	for d := range 50 {
		if got := cropOffset(d, false); got != d/2 {
			t.Errorf("floor of %d/2 is %d", d, got)
		}
		if got, want := cropOffset(d, true), int(math.RoundToEven(float64(d)/2)); got != want {
			t.Errorf("%d/2 rounds to %d, want %d", d, got, want)
		}
	}
}

func TestPushAllocatesNothing(t *testing.T) {
	for orientation := 1; orientation <= 8; orientation++ {
		dst := make([]byte, 8*8*3)
		row := noise(64 * 3)
		r := New(dst, 64, 1000, Options{Size: 8, Orientation: orientation})
		if n := testing.AllocsPerRun(10, func() { r.Push(row[:r.Window().Dx()*3]) }); n != 0 {
			t.Errorf("orientation %d: %v allocations", orientation, n)
		}
	}
}

// FuzzSizes compares with the definition at any size.
func FuzzSizes(f *testing.F) {
	f.Add(uint8(3), uint8(200), uint8(5), uint8(6), true)
	f.Add(uint8(255), uint8(254), uint8(31), uint8(1), false)
	f.Fuzz(func(t *testing.T, width, height, size, orientation uint8, round bool) {
		if width == 0 || height == 0 || size == 0 || int(size)*int(max(width, height)) > 1000*int(min(width, height)) {
			return
		}
		check(t, int(width), int(height), Options{Size: int(size), Orientation: 1 + int(orientation&7), RoundCrop: round})
	})
}

func BenchmarkPush(b *testing.B) {
	for _, d := range [][2]int{{640, 480}, {1632, 1224}, {4000, 3000}} {
		for _, orientation := range []int{1, 6} {
			b.Run(fmt.Sprintf("size=%dx%d/orientation=%d", d[0], d[1], orientation), func(b *testing.B) {
				pix := noise(d[0] * d[1] * 3)
				dst := make([]byte, 224*224*3)
				b.SetBytes(int64(len(pix)))
				for b.Loop() {
					r := New(dst, d[0], d[1], Options{Size: 224, Orientation: orientation})
					w := r.Window()
					for y := w.Min.Y; y < w.Max.Y; y++ {
						r.Push(pix[(y*d[0]+w.Min.X)*3 : (y*d[0]+w.Max.X)*3])
					}
					r.Release()
				}
			})
		}
	}
}
