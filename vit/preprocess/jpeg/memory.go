package jpeg

import "sync"

// A workspace is memory that decoders hand on to each other. What it holds is
// not cleared unless it says so.
type workspace struct {
	bytes        []byte
	coefficients []int16
	nonzero      []uint64
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// keptCoefficients is how many a workspace may have that waits for another
// image: 8 MiB, those of 2.8 megapixels. Every core may keep a workspace.
const keptCoefficients = 4 << 20

// release ends the use of w and of the tables.
func (d *Decoder) release(w *workspace) {
	for i := range d.components {
		c := &d.components[i]
		c.samples, c.coefficients, c.nonzero = nil, nil, nil
	}
	d.out = output{}
	if cap(w.coefficients) > keptCoefficients {
		w.coefficients, w.nonzero = nil, nil
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
	if n > cap(w.bytes) {
		w.bytes = make([]byte, n)
	}
	rest := w.bytes[:n]
	return func(n int) []byte {
		s := rest[:n:n]
		rest = rest[n:]
		return s
	}
}

// makeCoefficients gives the components of d coefficients, all zero.
func (w *workspace) makeCoefficients(d *Decoder) {
	n := int(d.bufferedCoefficients())
	w.coefficients, w.nonzero = zeros(w.coefficients, n), zeros(w.nonzero, n/64)
	coefficients, nonzero := w.coefficients, w.nonzero
	for i := range d.components {
		c := &d.components[i]
		n := c.stride * d.mcusY * c.v * 8
		c.coefficients, coefficients = coefficients[:n], coefficients[n:]
		c.nonzero, nonzero = nonzero[:n/64], nonzero[n/64:]
	}
}

// zeros returns n zeros, in the memory of s if it has room.
func zeros[T any](s []T, n int) []T {
	if n > cap(s) {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}
