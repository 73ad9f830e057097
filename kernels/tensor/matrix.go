package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
)

// A Matrix is a view of host memory: Rows x Cols elements of one type, row r starting Pitch elements after row r-1. It
// is a slice, not an owner: copies share Data. Distinct elements may be used concurrently.
type Matrix struct {
	Type       DType
	Rows, Cols int
	Pitch      int // elements from a row to the next, at least Cols unless Rows is 1
	Data       []byte
}

// NewMatrix returns a matrix of zeros without gaps between its rows.
func NewMatrix(t DType, rows, cols int) Matrix {
	return Matrix{Type: t, Rows: rows, Cols: cols, Pitch: cols, Data: make([]byte, rows*cols*t.Size())}
}

func (m Matrix) offset(r, c int) int {
	if uint(r) >= uint(m.Rows) || uint(c) >= uint(m.Cols) {
		panic(fmt.Sprintf("tensor: element [%d, %d] of a %d x %d matrix", r, c, m.Rows, m.Cols))
	}
	return (r*m.Pitch + c) * m.Type.Size()
}

// At returns element [r, c], exactly.
func (m Matrix) At(r, c int) float64 {
	b := m.Data[m.offset(r, c):]
	switch m.Type {
	case F32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case F16:
		return float64(FromF16(binary.LittleEndian.Uint16(b)))
	case BF16:
		return float64(FromBF16(binary.LittleEndian.Uint16(b)))
	case E4M3:
		return float64(FromE4M3(b[0]))
	case I8:
		return float64(int8(b[0]))
	case U8:
		return float64(b[0])
	}
	panic("tensor: At of " + m.Type.String())
}

// Set rounds x to the matrix's type, to nearest with ties to even, and stores it as element [r, c]. Integer types
// saturate and take NaN as 0.
func (m Matrix) Set(r, c int, x float64) {
	b := m.Data[m.offset(r, c):]
	switch m.Type {
	case F32:
		binary.LittleEndian.PutUint32(b, math.Float32bits(float32(x)))
	case F16:
		binary.LittleEndian.PutUint16(b, ToF16(x))
	case BF16:
		binary.LittleEndian.PutUint16(b, ToBF16(x))
	case E4M3:
		b[0] = ToE4M3(x)
	case I8:
		b[0] = uint8(int8(saturate(x, math.MinInt8, math.MaxInt8)))
	case U8:
		b[0] = uint8(saturate(x, 0, math.MaxUint8))
	default:
		panic("tensor: Set of " + m.Type.String())
	}
}

func saturate(x, lo, hi float64) float64 {
	if x != x {
		return 0
	}
	return min(max(math.RoundToEven(x), lo), hi)
}
