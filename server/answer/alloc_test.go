//go:build !race

package answer

import (
	"io"
	"testing"
)

// TestAllocations checks that memory does not grow with the number of images.
func TestAllocations(t *testing.T) {
	a := &Answer{Shape: []int{1280}}
	for i := range 64 {
		a.Data = append(a.Data, Item{Index: i, Embedding: make([]float32, 1280)})
	}
	one := *a
	one.Data = a.Data[:1]
	for name, write := range map[string][2]func(io.Writer) error{
		"json": {one.WriteJSON, a.WriteJSON}, "raw": {one.WriteRaw, a.WriteRaw}, "npy": {one.WriteNPY, a.WriteNPY},
	} {
		of := func(write func(io.Writer) error) float64 {
			return testing.AllocsPerRun(5, func() { write(io.Discard) })
		}
		if few, many := of(write[0]), of(write[1]); many > few {
			t.Errorf("%s: %v allocations for 1 image, %v for 64", name, few, many)
		}
	}
}
