//go:build full

package preprocess

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// debianDeviations are the images of Debian's packages that are not read as
// Pillow reads them: what happens instead, why, and to which, by the ends of
// their paths.
var debianDeviations = []struct {
	outcome string // as debianImage.compare says
	why     string
	images  string
}{
	{"other pixels", "16-bit gray: the high byte, where Pillow clips", `
		PerlMagick/t/png/input_16.png
		pngsuite/basn0g16.png pngsuite/ftbwn0g16.png pngsuite/ibasn0g16.png pngsuite/iftbwn0g16.png
		testpngs/gray-16-1.8-tRNS.png testpngs/gray-16-linear-tRNS.png testpngs/gray-16-sRGB-tRNS.png testpngs/gray-16-tRNS.png
		images/16_bit_binary_pgm.png images/i_trns.png images/imagedraw_rectangle_I.png`},
	{"unsupported_image_variant", "arithmetic coding", `
		testimages/testimgari.jpg`},
	{"unsupported_image_variant", "BMP with run lengths, 16 bits, colour masks, an OS/2 header, or a palette beside true colour", `
		PerlMagick/t/input.bmp PerlMagick/t/input_1555.bmp
		bmp/b/badplanes.bmp bmp/b/badrle.bmp bmp/b/rletopdown.bmp
		bmp/g/pal4rle.bmp bmp/g/pal8os2.bmp bmp/g/pal8rle.bmp
		bmp/g/rgb16-565.bmp bmp/g/rgb16-565pal.bmp bmp/g/rgb16.bmp bmp/g/rgb24pal.bmp
		bmp/q/pal4rletrns.bmp bmp/q/pal8offs.bmp bmp/q/pal8os2sp.bmp bmp/q/pal8os2v2.bmp bmp/q/pal8rletrns.bmp
		bmp/q/rgb24largepal.bmp bmp/q/rgb32bf-xbgr.bmp
		images/hopper_rle8.bmp images/hopper_rle8_greyscale.bmp images/hopper_rle8_row_overflow.bmp
		images/mmap_error.bmp images/pal8_offset.bmp images/rgb32bf-abgr.bmp images/rgb32bf-rgba.bmp`},
	{"invalid_image", "a colour beyond the palette", `
		bmp/b/pal8badindex.bmp`},
	{"invalid_image", "LZW codes of 11 bits: a GIF has 256 colours", `
		gif-test-suite/max-codes.gif images/issue_2811.gif`},
	{"invalid_image", "a wrong checksum of the pixels, which Pillow does not look at", `
		crashers/badcrc.png`},
	{"truncated_image", "a chunk of pixels longer than the file, which Pillow reads as far as it goes", `
		crashers/huge_IDAT.png`},
	{"read", "damage outside the pixels, which Pillow gives up at: chunks of text, colour profiles and animation", `
		data/ReaganLargePng.png crashers/empty_ancillary_chunks.png images/png_decompression_dos.png apng/chunk_no_fctl.png`},
	{"read", "a damaged RIFF whose first frame is whole", `
		data/issue_ghsa_5p8g_9xf3_gfrr_poc.webp`},
	{"read", "a palette of 4 colours", `
		bmp/q/pal2.bmp`},
}

// TestDebianImages compares with what Pillow makes of the images of Debian's
// packages, most of them odd ones that test other readers. make test-images
// fetches the images and runs Pillow.
func TestDebianImages(t *testing.T) {
	const folder = "../../build/images"
	text, err := os.ReadFile(folder + ".json")
	if err != nil {
		t.Fatalf("%v: run make test-images", err)
	}
	var manifest struct {
		Pillow string
		Images map[string]debianImage
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Pillow != "9.4.0" {
		t.Fatalf("%s.json was made by Pillow %s; the list of deviations is for 9.4.0", folder, manifest.Pillow)
	}
	const least = 1800
	if len(manifest.Images) < least {
		t.Errorf("%d images, want %d", len(manifest.Images), least)
	}
	deviations := 0
	for name, image := range manifest.Images {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if digest(data) != image.SHA256 {
			t.Fatalf("%s is not the image that Pillow read: run make test-images", name)
		}
		want := listedDeviation(name)
		if want != "" {
			deviations++
		}
		if outcome, what := image.compare(t, data); outcome != want {
			t.Errorf("%s: %q, want %q: %s", name, outcome, want, what)
		}
	}
	for _, d := range debianDeviations {
		deviations -= len(strings.Fields(d.images))
	}
	if deviations != 0 {
		t.Errorf("%d more images than names in the list of deviations", deviations)
	}
}

// A debianImage is what Pillow says about one.
type debianImage struct {
	reference
	SHA256 string // of the file
	Error  string // empty if Pillow reads it
}

// compare returns how an image deviates from what Pillow makes of it, "" if it does not.
func (i *debianImage) compare(t *testing.T, data []byte) (outcome, what string) {
	p, err := Decode(context.Background(), data, 0)
	code := codeOf(t, err)
	switch {
	case err != nil && i.Error != "":
		return "", ""
	case err != nil:
		return string(code), err.Error()
	case i.Error != "":
		return "read", "Pillow says " + i.Error
	case p.Width != i.Width || p.Height != i.Height || digest(p.Pix) != i.Decoded:
		return "other pixels", "of mode " + i.Mode
	case i.HF != "" && digest(crop(t, data, Options{})) != i.HF:
		return "other crop", ""
	}
	return "", ""
}

// listedDeviation returns the outcome that the list has for an image, "" if none.
func listedDeviation(name string) string {
	for _, d := range debianDeviations {
		for _, end := range strings.Fields(d.images) {
			if strings.HasSuffix(name, "/"+end) {
				return d.outcome
			}
		}
	}
	return ""
}
