package resample

import (
	"image"
	"slices"

	"vith/vit/preprocess/simd"
)

// A plan is what all images of one size share. It is safe for concurrent use.
type plan struct {
	planKey
	window     image.Rectangle // of the stored image: what the crop depends on
	transposed bool            // stored rows are upright columns: filter down first, then along
	flip       bool            // the first output down the columns is the last one

	along func(dst, row []byte) // along a stored row of the window, to Size pixels
	down  []simd.Filter         // down stored columns; index is the output coordinate
	depth int                   // rows that one of these needs, at most
	bytes int                   // of memory, about
}

func newPlan(key planKey) *plan {
	m := orientations[key.Orientation]
	upWidth, upHeight := key.width, key.height
	if m.transposed {
		upWidth, upHeight = upHeight, upWidth
	}
	x := cropFilters(upWidth, upHeight, key.Options, m.flipX)
	y := cropFilters(upHeight, upWidth, key.Options, m.flipY)
	p := &plan{planKey: key, transposed: m.transposed, down: y, flip: m.flipY}
	along := x
	if m.transposed {
		along, p.down, p.flip = y, x, m.flipX
	}
	x0, x1 := span(along)
	y0, y1 := span(p.down)
	p.window = image.Rect(x0, y0, x1, y1)
	for i := range along {
		along[i].First -= x0
	}
	p.along = key.Tier.Across(along, x1-x0)
	for _, f := range p.down {
		p.depth = max(p.depth, len(f.Weights))
	}
	for _, f := range slices.Concat(x, y) {
		p.bytes += 64 + 8*len(f.Weights) // the filter, its weights, and those in the form of the tier
	}
	return p
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
