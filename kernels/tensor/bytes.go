package tensor

import "unsafe"

// Bytes is the memory of x as bytes, in the machine's order, shared with x.
func Bytes(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}
