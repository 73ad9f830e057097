package preprocess

import (
	"bytes"
	"context"
	"image"
	"image/gif"
	stdjpeg "image/jpeg"
	"image/png"

	"golang.org/x/image/bmp"
	"golang.org/x/image/draw"

	"vith/vit/preprocess/jpeg"
	"vith/vit/preprocess/simd"
)

// Names of paths. Those of this module have that of their instruction set too.
const (
	StandardLibrary = "standard library" // decode by image/..., scale by x/image/draw's CatmullRom, crop
	TurboDecode     = "libjpeg-turbo, decode only"
	PillowDecode    = "Pillow, decode only"
	PillowCrop      = "Pillow" // decode, scale, crop
)

func crop(tier string) string   { return "vith " + tier }
func decode(tier string) string { return "vith " + tier + ", decode only" }

// decodeJPEG returns the path that decodes to an image in memory, as tjbench does.
func decodeJPEG(ctx context.Context, data []byte, tier *simd.Tier) func() error {
	var pix []byte
	return func() error {
		d, err := jpeg.New(data)
		if err != nil {
			return err
		}
		d.Tier = tier
		pix = pix[:0]
		return d.Rows(ctx, image.Rect(0, 0, d.Width, d.Height), func(row []byte) { pix = append(pix, row...) })
	}
}

// standardLibrary returns the path of the standard library, nil if it does not
// read the format.
func standardLibrary(m Image, size int) func() error {
	decode := map[string]func(*bytes.Reader) (image.Image, error){
		formatJPEG:        func(r *bytes.Reader) (image.Image, error) { return stdjpeg.Decode(r) },
		formatProgressive: func(r *bytes.Reader) (image.Image, error) { return stdjpeg.Decode(r) },
		formatPNG:         func(r *bytes.Reader) (image.Image, error) { return png.Decode(r) },
		formatGIF:         func(r *bytes.Reader) (image.Image, error) { return gif.Decode(r) },
		formatBMP:         func(r *bytes.Reader) (image.Image, error) { return bmp.Decode(r) },
	}[m.Format]
	if decode == nil {
		return nil
	}
	dst := image.NewRGBA(image.Rect(0, 0, size, size))
	return func() error {
		src, err := decode(bytes.NewReader(m.Data))
		if err != nil {
			return err
		}
		draw.CatmullRom.Scale(dst, dst.Bounds(), src, centre(src.Bounds()), draw.Src, nil)
		return nil
	}
}

// centre is the largest square in the middle: scaled to a size it is the crop of
// the scaled image, to a pixel.
func centre(r image.Rectangle) image.Rectangle {
	side := min(r.Dx(), r.Dy())
	at := r.Min.Add(image.Pt((r.Dx()-side)/2, (r.Dy()-side)/2))
	return image.Rectangle{at, at.Add(image.Pt(side, side))}
}
