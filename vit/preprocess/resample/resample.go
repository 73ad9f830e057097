// Package resample scales an image so that its short side has a given length
// and cuts the centre square out, exactly as Pillow's Image.resize with
// Image.BICUBIC followed by a centre crop does on 8-bit RGB.
//
// # Pillow's algorithm
//
// Resizing is separable: a horizontal pass, then a vertical pass, with the
// intermediate image rounded to 8 bits. Along one axis, from in samples to out
// samples, with scale = in/out and s = max(scale, 1), output i is a weighted
// mean of the inputs around its centre (i+0.5)·scale, within 2·s of it:
//
//	lo = max(0,  trunc((i+0.5)·scale - 2·s + 0.5))
//	hi = min(in, trunc((i+0.5)·scale + 2·s + 0.5))
//	w[j] = cubic((j + 0.5 - (i+0.5)·scale) / s),  lo <= j < hi
//
// where cubic is Keys' kernel with a = -1/2. When shrinking, s > 1 widens the
// kernel: that is the antialiasing. The weights are divided by their sum, so at
// the borders the missing taps are spread over the others; then they become
// integers with 22 fractional bits. A sample is the integer dot product,
// rounded and clamped to a byte. Integer sums do not depend on the order of
// their terms, so any traversal gives the same bits.
//
// Sources: Pillow 9.4, src/libImaging/Resample.c; R. Keys, "Cubic convolution
// interpolation for digital image processing", IEEE Trans. ASSP 29 (1981).
// Newer Pillow (13.0.0.dev0, not 9.4) swaps the passes for images that are more
// than 100 times as high as wide and get lower; that rule is not followed here.
//
// # What is done differently
//
// Only the crop is computed: the tables hold the cropped outputs alone and
// [Resampler.Window] tells which source pixels they need. A 1 x 100000 image,
// which would be 224 x 22400000 after scaling, costs next to nothing.
//
// Orientation is a mapping of indices: no rotated copy is made. Where the
// orientation swaps the axes, Pillow's first pass, along the rows of the
// upright image, runs down the columns of the stored one; the passes are then
// done in that order.
//
// The source is pushed row by row, and no more rows are kept than one output
// row needs.
package resample

import (
	"image"
	"sync"

	"vith/vit/preprocess/simd"
)

// channels is the number of bytes of a pixel: R, G, B.
const channels = 3

// Options say what the crop is.
type Options struct {
	Size        int        // side of the crop and length of the scaled short side, pixels; at least 1
	Orientation int        // EXIF orientation 1 to 8; anything else is taken for 1
	RoundCrop   bool       // crop offsets d/2 round half to even instead of down
	Tier        *simd.Tier // the routines to use; nil for the best of this CPU
}

// A Resampler computes one crop from the rows of one image. It is not safe for
// concurrent use.
type Resampler struct {
	*plan
	dst []byte // [size, size, 3]

	ring    []byte // [depth, stride], the latest rows that the filters down may still need
	stride  int    // bytes of a ring row
	offsets []int  // [depth], where the rows of a filter are in the ring
	line    []byte // [stride], one row filtered down; transposed only
	column  []byte // [size, 3], one upright column; transposed only

	row  int // next row to be pushed, in the coordinates of the stored image
	done int // outputs down that are complete
}

// resamplers are those that were released.
var resamplers = sync.Pool{New: func() any { return new(Resampler) }}

// New returns a Resampler that writes the crop of a width x height image, as it
// is stored, into dst, which must be Size·Size·3 bytes long: rows of R, G, B.
func New(dst []byte, width, height int, o Options) *Resampler {
	if o.Orientation < 1 || o.Orientation > 8 {
		o.Orientation = 1
	}
	if o.Tier == nil {
		o.Tier = simd.Best()
	}
	r := resamplers.Get().(*Resampler)
	r.plan = plans.plan(planKey{width, height, o})
	r.dst = dst[:o.Size*o.Size*channels]
	r.stride = o.Size * channels
	if r.transposed {
		r.stride = r.window.Dx() * channels
		r.line = resized(r.line, r.stride)
		r.column = resized(r.column, o.Size*channels)
	}
	r.ring = resized(r.ring, r.depth*r.stride)
	r.offsets = resized(r.offsets, r.depth)
	r.row, r.done = r.window.Min.Y, 0
	return r
}

// Release hands the memory of r to later ones. r must not be used after it.
func (r *Resampler) Release() {
	r.plan, r.dst = nil, nil
	resamplers.Put(r)
}

// resized returns n elements, those of s if it has room.
func resized[T any](s []T, n int) []T {
	if n <= cap(s) {
		return s[:n]
	}
	return make([]T, n)
}

// Window is the part of the stored image that the crop depends on.
func (r *Resampler) Window() image.Rectangle { return r.window }

// Push takes the next row of the window, from the top: Window().Dx() pixels of
// R, G, B. It keeps no reference to row. Once the last row of the window is
// pushed, dst is complete; rows beyond it must not be pushed.
func (r *Resampler) Push(row []byte) {
	slot := r.ring[r.slot(r.row):][:r.stride]
	if r.transposed {
		copy(slot, row)
	} else {
		r.along(slot, row)
	}
	r.row++
	for r.done < r.Size {
		i := r.done
		if r.flip {
			i = r.Size - 1 - i
		}
		if r.down[i].End() > r.row {
			return
		}
		r.emit(i)
		r.done++
	}
}

// emit computes output i down the columns.
func (r *Resampler) emit(i int) {
	f := &r.down[i]
	offsets := r.offsets[:len(f.Weights)]
	for j := range offsets {
		offsets[j] = r.slot(f.First + j)
	}
	if !r.transposed {
		r.Tier.Down(r.dst[i*r.stride:(i+1)*r.stride], r.ring, offsets, f.Weights)
		return
	}
	r.Tier.Down(r.line, r.ring, offsets, f.Weights)
	r.along(r.column, r.line)
	for y := range r.Size {
		copy(r.dst[(y*r.Size+i)*channels:], r.column[y*channels:(y+1)*channels])
	}
}

// slot is where row y of the stored image is in the ring.
func (r *Resampler) slot(y int) int { return y % r.depth * r.stride }
