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

import "image"

// channels is the number of bytes of a pixel: R, G, B.
const channels = 3

// Options say what the crop is.
type Options struct {
	Size        int  // side of the crop and length of the scaled short side, pixels; at least 1
	Orientation int  // EXIF orientation 1 to 8; anything else is taken for 1
	RoundCrop   bool // crop offsets d/2 round half to even instead of down
}

// A Resampler computes one crop from the rows of one image. It is not safe for
// concurrent use.
type Resampler struct {
	dst    []byte // [size, size, 3]
	size   int
	window image.Rectangle

	along []filter // along stored rows; index is the output coordinate
	down  []filter // down stored columns; index is the output coordinate

	transposed bool // stored rows are upright columns: filter down first, then along

	ring   []byte  // [len(ring)/stride, stride], the latest rows that the filters down may still need
	stride int     // bytes of a ring row
	depth  int     // rows of the ring
	acc    []int32 // [stride]
	line   []byte  // [stride], one row filtered down; transposed only
	column []byte  // [size, 3], one upright column; transposed only

	row  int // next row to be pushed, in the coordinates of the stored image
	done int // outputs down that are complete
	flip bool
}

// New returns a Resampler that writes the crop of a width x height image, as it
// is stored, into dst, which must be Size·Size·3 bytes long: rows of R, G, B.
func New(dst []byte, width, height int, o Options) *Resampler {
	m := orientations[1]
	if o.Orientation >= 1 && o.Orientation <= 8 {
		m = orientations[o.Orientation]
	}
	upWidth, upHeight := width, height
	if m.transposed {
		upWidth, upHeight = height, width
	}
	x := cropFilters(upWidth, upHeight, o, m.flipX)
	y := cropFilters(upHeight, upWidth, o, m.flipY)

	r := &Resampler{dst: dst[:o.Size*o.Size*channels], size: o.Size, transposed: m.transposed}
	r.along, r.down, r.flip = x, y, m.flipY
	if m.transposed {
		r.along, r.down, r.flip = y, x, m.flipX
	}
	x0, x1 := span(r.along)
	y0, y1 := span(r.down)
	r.window = image.Rect(x0, y0, x1, y1)
	for i := range r.along {
		r.along[i].first -= x0
	}

	r.stride = o.Size * channels
	if m.transposed {
		r.stride = r.window.Dx() * channels
		r.line = make([]byte, r.stride)
		r.column = make([]byte, o.Size*channels)
	}
	for _, f := range r.down {
		r.depth = max(r.depth, len(f.weights))
	}
	r.ring = make([]byte, r.depth*r.stride)
	r.acc = make([]int32, r.stride)
	r.row = y0
	return r
}

// Window is the part of the stored image that the crop depends on.
func (r *Resampler) Window() image.Rectangle { return r.window }

// Push takes the next row of the window, from the top: Window().Dx() pixels of
// R, G, B. It keeps no reference to row. Once the last row of the window is
// pushed, dst is complete; rows beyond it must not be pushed.
func (r *Resampler) Push(row []byte) {
	slot := r.slot(r.row)
	if r.transposed {
		copy(slot, row)
	} else {
		filterAlong(slot, row, r.along)
	}
	r.row++
	for r.done < r.size {
		i := r.done
		if r.flip {
			i = r.size - 1 - i
		}
		f := r.down[i]
		if f.end() > r.row {
			return
		}
		r.emit(i, f)
		r.done++
	}
}

// emit computes output i down the columns.
func (r *Resampler) emit(i int, f filter) {
	if !r.transposed {
		r.filterDown(r.dst[i*r.stride:(i+1)*r.stride], f)
		return
	}
	r.filterDown(r.line, f)
	filterAlong(r.column, r.line, r.along)
	for y := range r.size {
		copy(r.dst[(y*r.size+i)*channels:], r.column[y*channels:(y+1)*channels])
	}
}

// slot is the ring row that holds row y of the stored image.
func (r *Resampler) slot(y int) []byte {
	i := y % r.depth * r.stride
	return r.ring[i : i+r.stride]
}

// An orientation maps upright coordinates to stored ones: along each upright
// axis, whether the stored samples run backwards, and whether the axes are swapped.
type orientation struct{ flipX, flipY, transposed bool }

// orientations is indexed by the value of EXIF tag 0x0112, as
// ImageOps.exif_transpose reads it.
var orientations = [9]orientation{
	2: {flipX: true},
	3: {flipX: true, flipY: true},
	4: {flipY: true},
	5: {transposed: true},
	6: {transposed: true, flipX: true},
	7: {transposed: true, flipX: true, flipY: true},
	8: {transposed: true, flipY: true},
}
