package preprocess

import (
	"bytes"
	"context"
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
