// Package preprocess turns encoded images into the pixels that a CLIP vision
// tower sees: a square of 8-bit RGB, bit for bit what Python's transformers
// hands to its normalisation when it works with PIL (CLIPImageProcessor, the
// slow one).
//
// # Steps
//
//  1. The format is told by the first bytes: JPEG, PNG, WebP, GIF or BMP. Names
//     and content types play no part.
//  2. The first frame is decoded to 8-bit RGB as PIL's convert("RGB") does:
//     gray is replicated, palettes are looked up, CMYK becomes RGB by PIL's
//     formula, 16 bits lose their low byte, alpha is dropped and not composed,
//     colour profiles and gamma are ignored.
//  3. The EXIF orientation is applied, from the EXIF data of JPEG, PNG and WebP
//     or, without one there, from XMP's tiff:Orientation (ImageOps.exif_transpose).
//  4. The image is scaled so that the short side has S pixels and the long one
//     S·long/short, truncated: bicubic with antialiasing, rounded to bytes after
//     the horizontal and after the vertical pass.
//  5. The centre S x S pixels are cut out; an odd remainder leaves the smaller
//     half at the top or left.
//
// [Options] can leave out step 3 and round in step 5: together these are the
// geometry of open_clip, which differs by one pixel for a quarter of all aspect
// ratios. open_clip converts to RGB only after scaling, so that images with
// alpha, palettes or CMYK differ there in other ways too; those are not imitated.
//
// # Parity
//
// The reference is Pillow 9.4.0 with libjpeg-turbo 2.1.5 and libwebp 1.2.4; the
// packages jpeg, webp, gif and resample say how each reaches equal bits. PNG and
// BMP come from image/png and golang.org/x/image/bmp. One deviation is
// deliberate: of 16-bit gray PNG the high byte is taken, while PIL clips values
// over 255 and shows an almost white image. XMP is looked at in JPEG and WebP
// too, as newer Pillow does.
//
// PIL reads more than this package: BMP with run lengths, 16 bits, colour masks
// other than the usual, headers of OS/2 or of 52 and 56 bytes, more colours than
// indices, or anything between header, palette and pixels; and formats that are
// not listed above. It is laxer about data that ends early or has damage behind
// the pixels. make test-images holds some 1800 images of Debian's packages against
// it; debian_test.go lists the 50 that differ.
//
// # Speed
//
// JPEG is decoded row by row of its blocks, straight into the scaler, and only
// as far as the crop asks for; beside the encoded bytes it takes some hundred
// kilobytes, which images hand on to each other. Inner loops have AVX2 versions,
// package simd, that give the same bits. Progressive JPEG and the other formats
// are decoded whole.
//
// # Bad input
//
// What is wrong with an image is told by an [Error]: its code and what was
// found where. Sizes are checked in headers before anything is allocated for
// pixels, and the memory of images in flight is bounded for the process.
// Truncated data is an error even if only an end marker is missing, except that
// PNG, as in PIL, may end after its pixels.
package preprocess

import (
	"context"
	"fmt"

	"vith/vit/preprocess/jpeg"
	"vith/vit/preprocess/resample"
	"vith/vit/preprocess/simd"
)

// DefaultMaxPixels is the default limit on the pixels of an image, PIL's:
// 1 GiB / 4 / 3, a quarter of a gibibyte of RGB.
const DefaultMaxPixels = 89478485

// Options are the choices of preprocessing.
type Options struct {
	Size       int   // S: side of the crop, pixels
	IgnoreEXIF bool  // take pixels as stored; by default the EXIF orientation is applied
	RoundCrop  bool  // crop offsets round half to even; by default they round down
	MaxPixels  int64 // limit on width x height; 0 is DefaultMaxPixels

	// Tier is the instruction set to work with; nil is the best of this CPU. Crops
	// do not depend on it.
	Tier *simd.Tier
}

// generation is part of every preprocessing id. It changes when pixels do.
const generation = "vith1"

// ID names what decides the pixels of a crop of given size: the generation of
// the decoders, the EXIF rule and the crop rule; for example "vith1-exif-floor".
func (o Options) ID() string {
	exif, crop := "exif", "floor"
	if o.IgnoreEXIF {
		exif = "noexif"
	}
	if o.RoundCrop {
		crop = "round"
	}
	return generation + "-" + exif + "-" + crop
}

// Crop decodes, orients, scales and crops one image into dst, Size·Size·3 bytes
// long: rows of R, G, B. It keeps no reference to dst and encoded, and is safe
// for concurrent use with different dst.
//
// If the image is at fault the error is an *[Error] and dst is unspecified. ctx
// is checked every few rows; when it ends, its error is returned as it is.
func Crop(ctx context.Context, dst, encoded []byte, o Options) error {
	if o.Size < 1 || len(dst) != o.Size*o.Size*3 {
		return fmt.Errorf("preprocess: dst has %d bytes for a crop of %d x %d x 3", len(dst), o.Size, o.Size)
	}
	m, err := open(encoded, o.MaxPixels)
	if err != nil {
		return err
	}
	if d, ok := m.decoder.(*jpeg.Decoder); ok && o.Tier != nil {
		d.Tier = o.Tier
	}
	ro := resample.Options{Size: o.Size, Orientation: 1, RoundCrop: o.RoundCrop, Tier: o.Tier}
	if !o.IgnoreEXIF {
		ro.Orientation = m.orientation
	}
	r := resample.New(dst, m.width, m.height, ro)
	defer r.Release()
	return m.rows(ctx, r.Window(), r.Push)
}
