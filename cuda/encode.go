package cuda

import (
	"encoding/binary"
	"fmt"
	"math"

	"vith/kernels/tensor"
)

// encode rounds src to a float type, to nearest with ties to even, into dst.
func encode(dst []byte, t tensor.DType, src []float32) {
	switch t {
	case tensor.F32:
		copy(dst, tensor.Bytes(src))
	case tensor.F16:
		for i, x := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], toF16(x))
		}
	case tensor.BF16:
		for i, x := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], toBF16(x))
		}
	default:
		panic(fmt.Sprintf("cuda: encode to %v", t))
	}
}

// toF16 is tensor.ToF16 in a few integer operations.
func toF16(x float32) uint16 {
	bits := math.Float32bits(x)
	sign, a := uint16(bits>>16&0x8000), bits&^(1<<31)
	switch {
	case a >= 0x7f800000: // infinite or NaN
		return tensor.ToF16(float64(x))
	case a >= 0x47800000: // from 2^16 on
		return sign | 0x7c00
	case a < 0x38800000: // below 2^-14, f16 counts in steps of 2^-24, as float32 does in [0.5, 1)
		return sign | uint16(math.Float32bits(math.Float32frombits(a)+0.5)-0x3f000000)
	}
	a += 0xfff + a>>13&1
	return sign | uint16(a>>13-112<<10)
}

// toBF16 is tensor.ToBF16 in a few integer operations.
func toBF16(x float32) uint16 {
	bits := math.Float32bits(x)
	if bits&^(1<<31) > 0x7f800000 { // NaN
		return tensor.ToBF16(float64(x))
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
