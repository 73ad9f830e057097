package simd

import (
	"bytes"
	"testing"
)

// randomFilters makes n filters of up to most taps in a row of width pixels, in order, as a resampler does.
func randomFilters(width, n, most int) []Filter {
	filters := make([]Filter, n)
	for i := range filters {
		weights := make([]int32, 1+source.IntN(min(most, width)))
		first := (width - len(weights)) * i / max(n-1, 1)
		for j := range weights {
			weights[j] = int32(source.NormFloat64() * (1 << FractionBits) / 3)
		}
		filters[i] = Filter{first, weights}
	}
	return filters
}

// acrossReference is the definition: one sum for each channel, modulo 2³².
func acrossReference(row []byte, filters []Filter) (out []byte) {
	for _, f := range filters {
		for c := range channels {
			sum := int32(half)
			for j, w := range f.Weights {
				sum += w * int32(row[(f.First+j)*channels+c])
			}
			out = append(out, byte(min(max(sum>>FractionBits, 0), 255)))
		}
	}
	return out
}

func TestAcross(t *testing.T) {
	source, destination := newFence(t, 4096), newFence(t, 4096)
	eachTier(t, func(t *testing.T, tier *Tier) {
		for _, width := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 20, 33, 100, 641} {
			for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 57, 224} {
				for _, most := range []int{1, 3, 4, 5, 9, 30} {
					filters := randomFilters(width, n, most)
					for _, mirrored := range []bool{false, true} {
						if mirrored {
							for i, j := 0, len(filters)-1; i < j; i, j = i+1, j-1 {
								filters[i], filters[j] = filters[j], filters[i]
							}
						}
						pass := tier.Across(filters, width)
						for _, end := range []bool{false, true} {
							row := fill(source.place(width*channels, end))
							want := acrossReference(row, filters)
							got := fill(destination.place(len(want), end))
							pass(got, row)
							if !bytes.Equal(got, want) {
								t.Fatalf("width %d, %d filters of up to %d taps, mirrored %t: byte %d is wrong", width, n, most, mirrored, difference(got, want))
							}
						}
					}
				}
			}
		}
	})
}

func TestDown(t *testing.T) {
	memory, destination := newFence(t, 1<<16), newFence(t, 4096)
	eachTier(t, func(t *testing.T, tier *Tier) {
		for _, n := range lengths(1) {
			for _, taps := range []int{1, 2, 3, 9, 57} {
				offsets, weights := make([]int, taps), make([]int32, taps)
				for i := range weights {
					offsets[i] = source.IntN(taps) * n
					weights[i] = int32(source.NormFloat64() * (1 << FractionBits) / 8)
				}
				for _, end := range []bool{false, true} {
					ring := fill(memory.place(taps*n, end))
					want := make([]byte, n)
					for x := range want {
						sum := int32(half)
						for i, w := range weights {
							sum += w * int32(ring[offsets[i]+x])
						}
						want[x] = byte(min(max(sum>>FractionBits, 0), 255))
					}
					got := fill(destination.place(n, end))
					tier.Down(got, ring, offsets, weights)
					if !bytes.Equal(got, want) {
						t.Fatalf("%d samples of %d rows: byte %d is wrong", n, taps, difference(got, want))
					}
				}
			}
		}
	})
}
