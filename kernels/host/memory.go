package host

import "unsafe"

// A region is page-aligned memory that the backend owns.
type region []byte

// floats is the region as float32 values.
func (r region) floats() []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(r))), len(r)/4)
}
