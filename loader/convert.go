package loader

import (
	"encoding/binary"
	"math"
	"sync"

	"github.com/nlpodyssey/safetensors"

	"vith/kernels/tensor"
)

// readable reports whether a tensor of the tower may have that type.
func readable(t safetensors.DType) bool {
	return t == safetensors.F32 || t == safetensors.F16 || t == safetensors.BF16
}

// widen converts len(dst) values of a readable type, exactly, and returns the index of the first NaN or infinity, or -1.
func widen(dst []float32, src []byte, t safetensors.DType) int {
	var odd uint32
	switch t {
	case safetensors.F32:
		odd = widenF32(dst, src)
	case safetensors.F16:
		odd = widenF16(dst, src, halves())
	case safetensors.BF16:
		odd = widenBF16(dst, src)
	}
	if odd&signBit == 0 {
		return -1
	}
	for i, x := range dst {
		if carryIfOdd(math.Float32bits(x))&signBit != 0 {
			return i
		}
	}
	return -1
}

const (
	signBit  = 1 << 31
	exponent = 0xff << 23
)

// carryIfOdd has its sign bit set if the float32 with these bits is a NaN or an infinity: the exponent is all ones and
// adding one to it carries.
func carryIfOdd(bits uint32) uint32 { return bits&exponent + 1<<23 }

func widenF32(dst []float32, src []byte) (odd uint32) {
	for len(dst) >= 4 && len(src) >= 16 {
		b0, b1 := binary.LittleEndian.Uint32(src), binary.LittleEndian.Uint32(src[4:])
		b2, b3 := binary.LittleEndian.Uint32(src[8:]), binary.LittleEndian.Uint32(src[12:])
		odd |= carryIfOdd(b0) | carryIfOdd(b1) | carryIfOdd(b2) | carryIfOdd(b3)
		dst[0], dst[1] = math.Float32frombits(b0), math.Float32frombits(b1)
		dst[2], dst[3] = math.Float32frombits(b2), math.Float32frombits(b3)
		dst, src = dst[4:], src[16:]
	}
	for i := range dst {
		b := binary.LittleEndian.Uint32(src[4*i:])
		odd |= carryIfOdd(b)
		dst[i] = math.Float32frombits(b)
	}
	return odd
}

func widenBF16(dst []float32, src []byte) (odd uint32) {
	for len(dst) >= 4 && len(src) >= 8 {
		four := binary.LittleEndian.Uint64(src)
		b0, b1 := uint32(four)<<16, uint32(four)&0xffff0000
		b2, b3 := uint32(four>>32)<<16, uint32(four>>32)&0xffff0000
		odd |= carryIfOdd(b0) | carryIfOdd(b1) | carryIfOdd(b2) | carryIfOdd(b3)
		dst[0], dst[1] = math.Float32frombits(b0), math.Float32frombits(b1)
		dst[2], dst[3] = math.Float32frombits(b2), math.Float32frombits(b3)
		dst, src = dst[4:], src[8:]
	}
	for i := range dst {
		b := uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16
		odd |= carryIfOdd(b)
		dst[i] = math.Float32frombits(b)
	}
	return odd
}

// halves is the float32 of every binary16.
var halves = sync.OnceValue(func() *[1 << 16]float32 {
	table := new([1 << 16]float32)
	for i := range table {
		table[i] = tensor.FromF16(uint16(i))
	}
	return table
})

func widenF16(dst []float32, src []byte, table *[1 << 16]float32) (odd uint32) {
	for len(dst) >= 4 && len(src) >= 8 {
		four := binary.LittleEndian.Uint64(src)
		x0, x1 := table[uint16(four)], table[uint16(four>>16)]
		x2, x3 := table[uint16(four>>32)], table[uint16(four>>48)]
		odd |= carryIfOdd(math.Float32bits(x0)) | carryIfOdd(math.Float32bits(x1))
		odd |= carryIfOdd(math.Float32bits(x2)) | carryIfOdd(math.Float32bits(x3))
		dst[0], dst[1], dst[2], dst[3] = x0, x1, x2, x3
		dst, src = dst[4:], src[8:]
	}
	for i := range dst {
		dst[i] = table[binary.LittleEndian.Uint16(src[2*i:])]
		odd |= carryIfOdd(math.Float32bits(dst[i]))
	}
	return odd
}
