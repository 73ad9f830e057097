package preprocess

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"image"
	"image/color/palette"
	"image/gif"
	stdjpeg "image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/image/bmp"
	"golang.org/x/image/draw"

	"vith/vit/preprocess/jpeg"
)

// coffee is a photograph by Rachel Michetti, CC0-1.0, of vit/testdata/images.
//
//go:embed coffee.jpg
var coffee []byte

// Photographs makes the images that Run measures by default: one photograph
// scaled to the sizes of a thumbnail, a web page and a phone, with grain, so
// that it takes as many bits as photographs of that size do, and encoded as
// JPEG of quality 85 with subsampled chroma, and as PNG, GIF and BMP. They are
// the same on all machines. Progressive JPEG takes libjpeg-turbo's jpegtran; it
// is left out where that is not installed.
func Photographs(ctx context.Context, p Peers) ([]Image, error) {
	var all []Image
	add := func(format string, m *image.RGBA, encode func(*bytes.Buffer) error) error {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			return fmt.Errorf("bench: %s of %v: %w", format, m.Rect.Size(), err)
		}
		all = append(all, Image{fmt.Sprintf("coffee %dx%d", m.Rect.Dx(), m.Rect.Dy()), format, b.Bytes()})
		return ctx.Err()
	}
	photo, err := stdjpeg.Decode(bytes.NewReader(coffee))
	if err != nil {
		return nil, err
	}
	jpegtran, _ := exec.LookPath(p.command(p.Jpegtran, "jpegtran"))
	for _, size := range []image.Point{{640, 480}, {1632, 1224}, {4000, 3000}} {
		m := grainy(photo, size)
		err := add(formatJPEG, m, func(b *bytes.Buffer) error { return stdjpeg.Encode(b, m, &stdjpeg.Options{Quality: 85}) })
		if err == nil && jpegtran != "" {
			baseline := all[len(all)-1].Data
			err = add(formatProgressive, m, func(b *bytes.Buffer) error { return progressive(ctx, jpegtran, b, baseline) })
		}
		if err == nil && size.X <= 1632 {
			err = add(formatPNG, m, func(b *bytes.Buffer) error { return png.Encode(b, m) })
		}
		if err == nil && size.X <= 640 {
			err = add(formatGIF, m, func(b *bytes.Buffer) error { return encodeGIF(b, m) })
		}
		if err == nil && size.X <= 640 {
			err = add(formatBMP, m, func(b *bytes.Buffer) error { return bmp.Encode(b, m) })
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// grainy scales the photograph to cover size and adds normal noise to its luma.
func grainy(photo image.Image, size image.Point) *image.RGBA {
	const grain = 5 // standard deviation
	dst := image.NewRGBA(image.Rectangle{Max: size})
	src := photo.Bounds()
	src.Max.X = src.Min.X + min(src.Dx(), src.Dy()*size.X/size.Y)
	src.Max.Y = src.Min.Y + min(src.Dy(), src.Dx()*size.Y/size.X)
	draw.CatmullRom.Scale(dst, dst.Bounds(), photo, src, draw.Src, nil)
	random := rand.New(rand.NewPCG(uint64(size.X), uint64(size.Y)))
	for i := 0; i < len(dst.Pix); i += 4 {
		noise := int(random.NormFloat64() * grain)
		for c := range 3 {
			dst.Pix[i+c] = byte(min(max(int(dst.Pix[i+c])+noise, 0), 255))
		}
	}
	return dst
}

func encodeGIF(b *bytes.Buffer, m image.Image) error {
	p := image.NewPaletted(m.Bounds(), palette.Plan9)
	draw.FloydSteinberg.Draw(p, p.Bounds(), m, image.Point{})
	return gif.Encode(b, p, nil)
}

// progressive rewrites the coefficients of a JPEG in the usual ten scans.
func progressive(ctx context.Context, jpegtran string, b *bytes.Buffer, baseline []byte) error {
	cmd := exec.CommandContext(ctx, jpegtran, "-progressive")
	cmd.Stdin, cmd.Stdout = bytes.NewReader(baseline), b
	return cmd.Run()
}

// File reads an image to measure with.
func File(name string) (Image, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return Image{}, err
	}
	return Image{filepath.Base(name), formatOf(data), data}, nil
}

// formatOf tells formats apart as far as paths depend on them; it is for images
// that are known to be read.
func formatOf(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xd8")):
		if d, err := jpeg.New(data); err == nil && d.Progressive() {
			return formatProgressive
		}
		return formatJPEG
	case bytes.HasPrefix(data, []byte("\x89PNG")):
		return formatPNG
	case bytes.HasPrefix(data, []byte("GIF")):
		return formatGIF
	case bytes.HasPrefix(data, []byte("BM")):
		return formatBMP
	case strings.HasPrefix(string(data[min(8, len(data)):]), "WEBP"):
		return "WebP"
	}
	return "unknown"
}
