package jpeg

import "sync"

// A workspace is memory that decoders hand on to each other. What it holds is
// not cleared unless it says so.
type workspace struct {
	bytes        []byte
	coefficients []int16
	means        []int16
	nonzero      []uint64
	refiner      refiner
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// keptCoefficients is how many a workspace may have that waits for another
// image: 8 MiB, those of 2.8 megapixels. Every core may keep a workspace.
const keptCoefficients = 4 << 20

// release ends the use of w and of the tables.
func (d *Decoder) release(w *workspace) {
	for i := range d.components {
		c := &d.components[i]
		c.samples, c.means, c.coefficients, c.nonzero = nil, nil, nil, nil
	}
	d.out = output{}
	if cap(w.coefficients) > keptCoefficients {
		w.coefficients, w.means, w.nonzero = nil, nil, nil
	}
	workspaces.Put(w)

	dc, ac := standardTables()
	for i := range d.dc {
		for _, table := range []*huffman{d.dc[i], d.ac[i]} {
			if table != nil && table != dc[i] && table != ac[i] {
				huffmans.Put(table)
			}
		}
	}
	d.dc, d.ac, d.scan.parts = huffmanTables{}, huffmanTables{}, nil
}

// makeBytes returns a function that cuts slices from n bytes, whose values are
// those of earlier images.
func (w *workspace) makeBytes(n int) (cut func(n int) []byte) {
	w.bytes = resized(w.bytes, n)
	rest := w.bytes
	return func(n int) []byte {
		s := rest[:n:n]
		rest = rest[n:]
		return s
	}
}

// makeCoefficients gives the components of d DC coefficients and masks, all
// zero, and AC coefficients with the values of earlier images.
func (w *workspace) makeCoefficients(d *Decoder) {
	n := int(d.bufferedCoefficients())
	w.coefficients = resized(w.coefficients, n)
	w.means, w.nonzero = resized(w.means, n/64), resized(w.nonzero, n/64)
	clear(w.means)
	clear(w.nonzero)
	coefficients, means, nonzero := w.coefficients, w.means, w.nonzero
	for i := range d.components {
		c := &d.components[i]
		n := c.stride * d.mcusY * c.v * 8
		c.coefficients, coefficients = coefficients[:n], coefficients[n:]
		c.means, means = means[:n/64], means[n/64:]
		c.nonzero, nonzero = nonzero[:n/64], nonzero[n/64:]
	}
}

// resized returns n elements, in the memory of s if it has room.
func resized[T any](s []T, n int) []T {
	if n > cap(s) {
		return make([]T, n)
	}
	return s[:n]
}
