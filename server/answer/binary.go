package answer

import (
	"encoding/binary"
	"io"
	"math"
	"strconv"
)

// RawSize returns the number of bytes that WriteRaw writes.
func (a *Answer) RawSize() int { return 4 * len(a.Data) * a.size() }

// WriteRaw writes the embeddings as little-endian float32, one image after the
// other in the order of Data. The row of an image with an error is NaN.
func (a *Answer) WriteRaw(w io.Writer) error {
	s := newStream(w)
	a.rows(s)
	return s.close()
}

// WriteNPY writes what WriteRaw writes as a NumPy file: version 1.0, '<f4',
// C order, shape [n, dim] or [n, tokens, dim].
//
// Source: numpy.lib.format, "Format Version 1.0".
func (a *Answer) WriteNPY(w io.Writer) error {
	shape := make([]int, 0, 3)
	shape = append(append(shape, len(a.Data)), a.Shape...)
	s := newStream(w)
	s.b = AppendNPYHeader(s.b, "<f4", shape)
	a.rows(s)
	return s.close()
}

func (a *Answer) rows(s *stream) {
	var missing []float32
	for i := range a.Data {
		it := &a.Data[i]
		if it.Err == nil {
			s.raw(it.Embedding)
			continue
		}
		if missing == nil {
			missing = make([]float32, a.size())
			for j := range missing {
				missing[j] = float32(math.NaN())
			}
		}
		s.raw(missing)
	}
}

// AppendNPYHeader appends the header of a version 1.0 .npy file in C order with
// the given type descriptor, such as "<f4" or "|u1". The data follows it, on a
// multiple of 64 bytes.
func AppendNPYHeader(dst []byte, descr string, shape []int) []byte {
	start := len(dst)
	dst = append(dst, "\x93NUMPY\x01\x00??{'descr': '"...)
	dst = append(dst, descr...)
	dst = append(dst, "', 'fortran_order': False, 'shape': ("...)
	for i, d := range shape {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = strconv.AppendInt(dst, int64(d), 10)
	}
	if len(shape) == 1 {
		dst = append(dst, ',') // Python's tuple of one
	}
	dst = append(dst, "), }"...)
	for (len(dst)-start+1)%64 != 0 {
		dst = append(dst, ' ')
	}
	dst = append(dst, '\n')

	const prefix = 10 // magic, version, length of the rest
	binary.LittleEndian.PutUint16(dst[start+prefix-2:], uint16(len(dst)-start-prefix))
	return dst
}
