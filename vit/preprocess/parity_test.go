package preprocess

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

const images = "../testdata/images"

// An entry of manifest.json: what Pillow made of an image.
type entry struct {
	Mode        string `json:"mode"`
	Format      string `json:"format"`
	Width       int    `json:"width"`
	Height      int    `json:"height"`
	Orientation int    `json:"exif_orientation"`
	Decoded     string `json:"decoded_rgb_sha256"`
	HF          string `json:"hf_crop_sha256"`
	OpenCLIP    string `json:"openclip_crop_sha256"` // absent if equal to HF
}

func manifest(t testing.TB) map[string]entry {
	t.Helper()
	var m struct{ Images map[string]entry }
	if err := json.Unmarshal(read(t, "manifest.json"), &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Images) < 38 {
		t.Fatalf("manifest.json has %d images", len(m.Images))
	}
	return m.Images
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(images, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func digest(p []byte) string {
	sum := sha256.Sum256(p)
	return hex.EncodeToString(sum[:])
}

func TestParity(t *testing.T) {
	for name, want := range manifest(t) {
		t.Run(name, func(t *testing.T) {
			data := read(t, "photos/"+name)
			p, err := Decode(context.Background(), data, 0)
			if err != nil {
				t.Fatal(err)
			}
			if p.Width != want.Width || p.Height != want.Height || p.Orientation != want.Orientation {
				t.Errorf("%d x %d, orientation %d; want %+v", p.Width, p.Height, p.Orientation, want)
			}
			if got := digest(p.Pix); got != want.Decoded {
				t.Errorf("decoded %s, want %s", got, want.Decoded)
			}
			crop := make([]byte, 224*224*3)
			if err := Crop(context.Background(), crop, data, Options{Size: 224}); err != nil {
				t.Fatal(err)
			}
			if got := digest(crop); got != want.HF {
				t.Errorf("crop %s, want %s", got, want.HF)
			}
		})
	}
}
