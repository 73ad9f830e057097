//go:build amd64 && !purego

package simd

// acrossAVX2 makes the pixels of four filters at once, a group of four taps of each at a time.
//
// The pixels of a group are 12 bytes; the load of 16 that gets them also reads 4 before them (late) or, where there is
// nothing before, behind them (early).
const (
	quad  = 4 // filters
	group = 4 // taps
)

// A bank is filters in the form that acrossAVX2 takes. All have the same number of taps, filled up with zero weights
// inside the row. The last quad may overlap the one before.
type bank struct {
	taps    int     // of each filter, whole groups
	from    []int   // [quads]: the first filter
	offsets []int32 // [quads, quad], bytes: where the first tap is
	weights []int16 // [quads, taps/group, quad, 2, group]: the upper halves of a group's weights, then the lower ones
}

// newBank returns nil if there is no quad, or a filter that does not fit into the row when it is filled up.
func newBank(filters []Filter, width int) *bank {
	b := &bank{}
	for _, f := range filters {
		b.taps = max(b.taps, (len(f.Weights)+group-1)/group*group)
	}
	n := len(filters)
	if b.taps > width || n < quad {
		return nil
	}
	quads := (n + quad - 1) / quad
	b.from = make([]int, quads)
	b.offsets = make([]int32, quads*quad)
	b.weights = make([]int16, quads*quad*b.taps*2)
	for q := range quads {
		b.from[q] = min(quad*q, n-quad)
		for i := range quad {
			f := filters[b.from[q]+i]
			first := min(f.First, width-b.taps)
			b.offsets[quad*q+i] = int32(first * channels)
			for j, w := range f.Weights {
				tap := f.First + j - first
				at := ((q*b.taps/group+tap/group)*quad+i)*2*group + tap%group
				lower := int16(w)
				b.weights[at], b.weights[at+group] = int16((w-int32(lower))>>16), lower
			}
		}
	}
	return b
}

// A spread is the shuffle of a group's pixels for loads that begin before bytes before them: see across in _asm.
type spread struct {
	before int
	mask   [32]byte
}

var early, late = newSpread(0), newSpread(4)

func newSpread(before int) *spread {
	s := &spread{before: before}
	for i := range s.mask {
		s.mask[i] = 0x80 // zero
		if channel, pixel := i/8, i%8/2; i%2 == 0 && channel < channels {
			s.mask[i] = byte(before + channels*pixel + channel)
		}
	}
	return s
}

// fits reports whether the loads at all offsets stay inside the row.
func (s *spread) fits(offsets []int32, taps, width int) bool {
	for _, offset := range offsets {
		begin := int(offset) - s.before
		if end := begin + (taps-group)*channels + 16; begin < 0 || end > width*channels {
			return false
		}
	}
	return true
}

// A run is quads behind each other that are done by one call: in assembly, or, with no spread, in Go.
type run struct {
	first, quads int
	*spread
}

// runs divides the bank.
func (b *bank) runs(width int) (runs []run) {
	for q, from := range b.from {
		r := run{first: q, quads: 1}
		for _, s := range []*spread{early, late} {
			if s.fits(b.offsets[quad*q:quad*(q+1)], b.taps, width) {
				r.spread = s
			}
		}
		if k := len(runs) - 1; k >= 0 && runs[k].spread == r.spread && from == quad*q {
			runs[k].quads++
		} else {
			runs = append(runs, r)
		}
	}
	return runs
}

func avx2Across(filters []Filter, width int) func(dst, row []byte) {
	b := newBank(filters, width)
	if b == nil {
		return across(filters, width)
	}
	runs := b.runs(width)
	return func(dst, row []byte) {
		_, _ = dst[channels*len(filters)-1], row[channels*width-1]
		for _, r := range runs {
			from := b.from[r.first]
			if r.spread == nil {
				acrossRow(dst[channels*from:], row, filters[from:from+quad*r.quads])
				continue
			}
			acrossAVX2(&dst[channels*from], &row[0], r.before, &r.mask,
				&b.offsets[quad*r.first], &b.weights[quad*b.taps*2*r.first], b.taps/group, r.quads)
		}
	}
}
