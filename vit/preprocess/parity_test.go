package preprocess

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"vith/vit/preprocess/resample"
	"vith/vit/preprocess/simd"
)

const images = "../testdata/images"

// A reference is what Pillow made of an image.
type reference struct {
	Mode        string `json:"mode"`
	Width       int    `json:"width"`
	Height      int    `json:"height"`
	Orientation int    `json:"exif_orientation"`
	Decoded     string `json:"decoded_rgb_sha256"`
	HF          string `json:"hf_crop_sha256"`
	OpenCLIP    string `json:"openclip_crop_sha256"` // empty if equal to HF
}

// gray16 is the photo that this package is meant to show differently.
const gray16 = "camera_230_gray16.png"

// references reads a manifest that must have atLeast entries.
func references(t testing.TB, manifest string, atLeast int) map[string]reference {
	t.Helper()
	var m struct{ Images map[string]reference }
	if err := json.Unmarshal(read(t, manifest), &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Images) < atLeast {
		t.Fatalf("%s has %d images, want %d", manifest, len(m.Images), atLeast)
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

func mustDecode(t testing.TB, data []byte) *Pixels {
	t.Helper()
	p, err := Decode(context.Background(), data, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// crop returns the crop of side 224. All tiers must agree.
func crop(t testing.TB, data []byte, o Options) []byte {
	t.Helper()
	o.Size = 224
	var crops [][]byte
	for _, o.Tier = range simd.Tiers() {
		dst := make([]byte, o.Size*o.Size*3)
		if err := Crop(context.Background(), dst, data, o); err != nil {
			t.Fatal(err)
		}
		crops = append(crops, dst)
		if !bytes.Equal(dst, crops[0]) {
			t.Fatalf("tiers %s and %s differ", o.Tier.Name, simd.Best().Name)
		}
	}
	return crops[0]
}

func TestPhotos(t *testing.T) {
	for name, want := range references(t, "manifest.json", 38) {
		t.Run(name, func(t *testing.T) {
			data := read(t, "photos/"+name)
			p := mustDecode(t, data)
			if p.Width != want.Width || p.Height != want.Height || p.Orientation != want.Orientation {
				t.Errorf("%d x %d, orientation %d; want %+v", p.Width, p.Height, p.Orientation, want)
			}
			if name == gray16 {
				return
			}
			if got := digest(p.Pix); got != want.Decoded {
				t.Errorf("pixels %s, want %s", got, want.Decoded)
			}
			if got := digest(crop(t, data, Options{})); got != want.HF {
				t.Errorf("crop %s, want %s", got, want.HF)
			}
		})
	}
}

// The small images have odd sizes, odd subsampling and damage.
func TestSmallImages(t *testing.T) {
	for name, want := range references(t, "small/manifest.json", 96) {
		t.Run(name, func(t *testing.T) {
			data := read(t, "small/"+name)
			p := mustDecode(t, data)
			if p.Width != want.Width || p.Height != want.Height {
				t.Errorf("%d x %d, want %d x %d", p.Width, p.Height, want.Width, want.Height)
			}
			if got := digest(p.Pix); got != want.Decoded {
				t.Errorf("pixels %s, want %s", got, want.Decoded)
			}
			if got := digest(crop(t, data, Options{})); got != want.HF {
				t.Errorf("crop %s, want %s", got, want.HF)
			}
		})
	}
}

// open_clip converts to RGB after scaling, so that only images that are RGB or
// gray are comparable.
func TestOpenCLIPGeometry(t *testing.T) {
	differing := 0
	for name, want := range references(t, "manifest.json", 38) {
		if want.Mode != "RGB" && want.Mode != "L" {
			continue
		}
		if want.OpenCLIP == "" {
			want.OpenCLIP = want.HF
		} else {
			differing++
		}
		got := digest(crop(t, read(t, "photos/"+name), Options{IgnoreEXIF: true, RoundCrop: true}))
		if got != want.OpenCLIP {
			t.Errorf("%s: crop %s, want %s", name, got, want.OpenCLIP)
		}
	}
	if differing < 8 {
		t.Errorf("only %d images tell the two geometries apart", differing)
	}
}

// Of 16-bit gray PNG the high byte is taken. PIL clips values over 255.
func TestGray16TakesTheHighByte(t *testing.T) {
	data := read(t, "photos/"+gray16)
	m, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	g := m.(*image.Gray16)
	size := g.Rect.Size()
	high, clipped := make([]byte, 0, 3*size.X*size.Y), make([]byte, 0, 3*size.X*size.Y)
	for y := range size.Y {
		for x := range size.X {
			v := g.Gray16At(x, y).Y
			h, c := byte(v>>8), byte(min(v, 255))
			high, clipped = append(high, h, h, h), append(clipped, c, c, c)
		}
	}
	want := references(t, "manifest.json", 38)[gray16]
	if got := digest(clipped); got != want.Decoded {
		t.Errorf("PIL does not clip: %s, want %s", got, want.Decoded)
	}
	if !bytes.Equal(mustDecode(t, data).Pix, high) {
		t.Error("the pixels are not the high bytes")
	}
	dst := make([]byte, 224*224*3)
	resampleWhole(dst, high, size.X, size.Y, resample.Options{Size: 224})
	if !bytes.Equal(crop(t, data, Options{}), dst) {
		t.Error("the crop is not that of the high bytes")
	}
}

// resampleWhole crops pixels that are all there.
func resampleWhole(dst, pix []byte, width, height int, o resample.Options) {
	r := resample.New(dst, width, height, o)
	w := r.Window()
	for y := w.Min.Y; y < w.Max.Y; y++ {
		r.Push(pix[3*(y*width+w.Min.X) : 3*(y*width+w.Max.X)])
	}
	r.Release()
}

func TestID(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "vith1-exif-floor"},
		{Options{IgnoreEXIF: true}, "vith1-noexif-floor"},
		{Options{RoundCrop: true}, "vith1-exif-round"},
		{Options{IgnoreEXIF: true, RoundCrop: true, Size: 336, MaxPixels: 7}, "vith1-noexif-round"},
	} {
		if got := c.o.ID(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.o, got, c.want)
		}
	}
}
