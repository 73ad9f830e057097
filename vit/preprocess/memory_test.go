package preprocess

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/jpeg"
	"runtime"
	"testing"
)

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// encoded is a baseline 4:2:0 JPEG of some texture.
func encoded(t testing.TB, width, height int) []byte {
	t.Helper()
	m := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	for i := range m.Y {
		m.Y[i] = byte(i*i>>7 ^ i/width)
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = byte(i>>5), byte(i>>9)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A photo of 12 megapixels takes some strips, not its pixels.
func TestBaselineMemory(t *testing.T) {
	data := encoded(t, 4000, 3000)
	dst := make([]byte, 224*224*3)
	for range 2 { // nothing is left to reuse
		runtime.GC()
	}
	n := allocated(func() {
		if err := Crop(context.Background(), dst, data, Options{Size: 224}); err != nil {
			t.Fatal(err)
		}
	})
	if n > 5<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

// What images hand on to each other need not be allocated again.
func TestMemoryIsReused(t *testing.T) {
	const runs = 50
	data := read(t, "photos/seeding_640x480_420.jpg")
	dst := make([]byte, 224*224*3)
	crop := func() {
		if err := Crop(context.Background(), dst, data, Options{Size: 224}); err != nil {
			t.Fatal(err)
		}
	}
	crop()
	n := allocated(func() {
		for range runs {
			crop()
		}
	})
	// The first crop takes 120 KB. Under the race detector pools forget now and then.
	if n /= runs; n > 40<<10 {
		t.Errorf("%d bytes allocated for a crop", n)
	}
}

// blackPNG is an interlaced RGB image of 16 bits.
func blackPNG(t *testing.T, width, height int) []byte {
	t.Helper()
	var pixels bytes.Buffer
	z := zlib.NewWriter(&pixels)
	for _, pass := range [7]struct{ x, y, stepX, stepY int }{
		{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2},
	} {
		columns := (width - pass.x + pass.stepX - 1) / pass.stepX
		rows := (height - pass.y + pass.stepY - 1) / pass.stepY
		if _, err := z.Write(make([]byte, rows*(1+6*columns))); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	data := pngHeader(uint32(width), uint32(height), 16, 2)
	header := data[len(pngSignature)+4:][:17]
	header[16] = 1 // interlaced
	binary.BigEndian.PutUint32(data[len(data)-4:], crc32.ChecksumIEEE(header))
	chunk := append([]byte("IDAT"), pixels.Bytes()...)
	data = binary.BigEndian.AppendUint32(data, uint32(pixels.Len()))
	data = binary.BigEndian.AppendUint32(append(data, chunk...), crc32.ChecksumIEEE(chunk))
	return append(data, pngEnd...)
}

// No more is allocated than was reserved, but for buffers that do not grow with
// the image.
func TestMemoryIsForeseen(t *testing.T) {
	f := func(name string, data []byte) {
		t.Helper()
		m, err := open(data, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // nothing is left to reuse
			runtime.GC()
		}
		foreseen := m.Memory()
		n := allocated(func() {
			if err := m.rows(context.Background(), image.Rect(0, 0, m.width, m.height), func([]byte) {}); err != nil {
				t.Error(err)
			}
		})
		const buffers = 200 << 10
		if n > uint64(foreseen)+buffers {
			t.Errorf("%s: %d bytes allocated, %d foreseen", name, n, foreseen)
		}
	}
	f("interlaced PNG", blackPNG(t, 801, 603))
	for _, name := range []string{
		"retina_1411x1411_420.jpg", "seeding_5312x2988_420prog.jpg", "coffee_400x267_cmyk.jpg",
		"chelsea_451x300.png", "coffee_176x118_rgb16.png", "coffee_300x200_palette.png",
		"coffee_600x400_lossy.webp", "astronaut_256_alpha.webp", "coffee_300x200_lossless.webp",
		"coffee_240x160.gif", "coffee_120x80.bmp",
	} {
		f(name, read(t, "photos/"+name))
	}
}
