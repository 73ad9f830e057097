package preprocess

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"vith/vit/preprocess/simd"
)

// FuzzCrop: whatever the bytes, Crop returns a crop or an *Error, and does what
// Decode does, the same in all tiers.
func FuzzCrop(f *testing.F) {
	for _, folder := range []string{"small", "bad"} {
		files, err := os.ReadDir(filepath.Join(images, folder))
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			if data := read(f, folder+"/"+file.Name()); len(data) < 2048 {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 1 << 18 // pixels: keeps executions short
		p, err := Decode(context.Background(), data, most)
		if err != nil && !errors.As(err, new(*Error)) {
			t.Fatalf("%v (%T) is no *Error", err, err)
		}
		if err == nil && len(p.Pix) != 3*p.Width*p.Height {
			t.Fatalf("%d bytes for %d x %d", len(p.Pix), p.Width, p.Height)
		}
		var first []byte
		for _, tier := range simd.Tiers() {
			dst := make([]byte, 8*8*3)
			cropErr := Crop(context.Background(), dst, data, Options{Size: 8, MaxPixels: most, Tier: tier})
			if (err == nil) != (cropErr == nil) {
				t.Fatalf("Decode says %v, Crop in %s %v", err, tier.Name, cropErr)
			}
			if first == nil {
				first = dst
			}
			if err == nil && !bytes.Equal(dst, first) {
				t.Fatalf("tiers %s and %s differ", tier.Name, simd.Best().Name)
			}
		}
	})
}
