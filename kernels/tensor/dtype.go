// Package tensor holds what every part of vith says about numbers in memory: element types and their conversions,
// matrices of host memory, and the one comparison that tests use. It imports only the standard library.
package tensor

import "fmt"

// A DType is the type of an element in memory, little-endian.
type DType uint8

const (
	F32  DType = iota // IEEE 754 binary32
	F16               // IEEE 754 binary16
	BF16              // bfloat16: the upper half of binary32
	E4M3              // 8-bit float of the OCP specification: 4 exponent bits, 3 mantissa bits, no infinities
	I8                // signed 8-bit integer
	U8                // unsigned 8-bit integer
)

var dtypes = [...]struct {
	name string
	size int
}{
	F32: {"f32", 4}, F16: {"f16", 2}, BF16: {"bf16", 2}, E4M3: {"e4m3", 1}, I8: {"s8", 1}, U8: {"u8", 1},
}

// Size is the number of bytes of one element.
func (t DType) Size() int { return dtypes[t].size }

// Float reports whether the type is one that activations may have: f32, f16 or bf16.
func (t DType) Float() bool { return t <= BF16 }

// String is the type's name as PTX spells it.
func (t DType) String() string {
	if int(t) >= len(dtypes) {
		return fmt.Sprintf("DType(%d)", uint8(t))
	}
	return dtypes[t].name
}
