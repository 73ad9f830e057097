package preprocess

import (
	"context"
	"testing"
)

// BenchmarkCrop measures the way from encoded bytes to the crop; MB/s are of
// encoded bytes.
func BenchmarkCrop(b *testing.B) {
	for _, name := range []string{
		"coffee_150x100_420.jpg",
		"seeding_640x480_420.jpg",
		"rocket_640x427_444.jpg",
		"chelsea_360x240_exif6.jpg",
		"retina_1411x1411_420.jpg",
		"seeding_4000x2250_420.jpg",
		"seeding_5312x2988_420prog.jpg",
		"chelsea_451x300.png",
		"coffee_600x400_lossy.webp",
		"coffee_300x200_lossless.webp",
		"coffee_240x160.gif",
		"coffee_120x80.bmp",
	} {
		data := read(b, "photos/"+name)
		b.Run("image="+name, func(b *testing.B) {
			crop := make([]byte, 224*224*3)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := Crop(context.Background(), crop, data, Options{Size: 224}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
