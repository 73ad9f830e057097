package jpeg

import "image"

// output turns the samples of MCU rows into pixel rows of the window.
type output struct {
	d    *Decoder
	emit func([]byte)

	x0, x1       int // columns of the window
	next, end    int // rows of the window that are still to come
	mcuX0, mcuX1 int // MCU columns that these need

	planes  [4][]byte // one row of each component
	buffers [4][]byte // for upsampled rows
	pixels  []byte    // [x1-x0, 3]
}

func (o *output) init(d *Decoder, w *workspace, window image.Rectangle, emit func([]byte)) {
	*o = output{
		d: d, emit: emit,
		x0: window.Min.X, x1: window.Max.X,
		next: window.Min.Y, end: window.Max.Y,
	}
	// Upsampling reads one sample beyond the window: hMax columns at most.
	o.mcuX0 = max(o.x0-d.hMax, 0) / (8 * d.hMax)
	o.mcuX1 = min(ceilDiv(o.x1+d.hMax, 8*d.hMax), d.mcusX)
	width := o.x1 - o.x0
	buffer := width + 6 // h2v1 and h2v2 write up to 3 more at each end
	n := 3 * width
	for _, c := range d.components {
		n += buffer + 2*c.v*8*c.stride
	}
	cut := w.makeBytes(n)
	for i := range d.components {
		c := &d.components[i]
		c.samples = cut(2 * c.v * 8 * c.stride)
		o.buffers[i] = cut(buffer)
	}
	o.pixels = cut(3 * width)
}

// complete reports whether all rows of the window were emitted.
func (o *output) complete() bool { return o.next >= o.end }

// needsMCURow reports whether rows to come depend on MCU row my.
func (o *output) needsMCURow(my int) bool {
	return !o.complete() && (my+1)*8*o.d.vMax > o.next-o.d.vMax
}

// mcuRow emits the rows that can be made once MCU row my is there. The last
// rows of it wait for the next one, which they are interpolated with.
func (o *output) mcuRow(my int) {
	d := o.d
	ready := (my+1)*8*d.vMax - d.vMax
	if my == d.mcusY-1 {
		ready = d.Height
	}
	for ; o.next < min(ready, o.end); o.next++ {
		for i := range d.components {
			o.planes[i] = o.upsample(&d.components[i], o.next, o.buffers[i])
		}
		d.colorSpace.convert(d.Tier, o.pixels, &o.planes)
		o.emit(o.pixels)
	}
}
