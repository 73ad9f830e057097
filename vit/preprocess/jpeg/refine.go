package jpeg

import (
	"encoding/binary"
	"math/bits"
)

// A refiner is the memory of scans that refine AC coefficients.
//
// An entry of lookup is found with the next lookupBits bits of the data:
//
//	value << 16 | run << 12 | bits
//
// If value, the new coefficient, is 1 or -1, run is how many zeros are before it.
// If it is 0, run is 15 for 16 zeros, and less for the end of the band. bits is
// the length of the code and the sign. Where these do not fit the entry is 0.
type refiner struct {
	lookup [1 << lookupBits]uint32
	band   uint64    // the coefficients of the scan
	zeros  positions // of a block
}

// init prepares for a scan.
func (r *refiner) init(s *scan) {
	r.band = (uint64(2)<<s.last - 1) >> s.first << s.first
	h := s.parts[0].ac
	for i, e := range h.lookup {
		e = h.refinement(uint64(i)<<(64-lookupBits), e)
		if e&63 > lookupBits {
			e = 0
		}
		r.lookup[i] = e
	}
}

// refinement returns the entry for what is at the top of acc, whatever its
// length. e is the entry of h.lookup. A sign is one bit, also where a damaged
// table has symbols of larger numbers.
func (h *huffman) refinement(acc uint64, e uint32) uint32 {
	symbol, length := byte(e>>8), uint(e&63)
	if e>>16 != 0 {
		length -= uint(symbol & 15)
	} else {
		symbol, length = h.symbol(acc, e)
	}
	var value uint32
	if symbol&15 != 0 {
		value = uint32(acc>>((63-length)&63)&1)<<1 - 1
		length++
	}
	return value<<16 | uint32(symbol>>4)<<12 | uint32(length)
}

// acRefine adds a bit to the coefficients that are not zero, and finds those
// that become so with this bit: a symbol counts only the zeros before them, and
// is followed by the bits of the others that it passes.
//
// These counts are as hard to foresee as the data was to compress, for branch
// predictors too. Therefore the zeros are listed first, which makes counting
// them an index, and the bits of the others are put together, to be added at the
// end.
func (s *scan) acRefine(p *part, n int) {
	r, nonzero := s.refiner, p.nonzero[n]
	old := nonzero & r.band // coefficients that get a bit
	if s.eobRun > 0 && old == 0 {
		s.eobRun--
		return
	}
	block := p.block(n)
	var added uint64  // the bits so far
	passed := s.first // and how many they are, counted from first
	if s.eobRun == 0 {
		beyond := min(s.last+1, 63)
		r.zeros.list(^nonzero&r.band, s.last+1)
		acc, have := s.bits.acc, s.bits.have
		for zero, k := 0, 0; k < s.last; zero++ {
			if have < 32 {
				acc, have = s.bits.refill(acc, have)
			}
			e := r.lookup[acc>>(64-lookupBits)]
			if e == 0 {
				e = p.ac.refinement(acc, p.ac.lookup[acc>>(64-lookupBits)])
			}
			acc <<= e & 63
			have -= uint(e & 63)
			if e < 15<<12 {
				s.bits.acc, s.bits.have = acc, have
				s.eobRun = s.endOfBandRun(uint(e >> 12))
				acc, have = s.bits.acc, s.bits.have
				break
			}
			zero += int(e >> 12 & 15)
			k = int(r.zeros[zero&127])
			n := uint(k - zero - passed)
			passed = k - zero
			k = min(k, beyond)
			if e>>16 != 0 {
				block[naturalOrder[k&63]&63] = int16(e>>16) << (s.low & 15)
				nonzero |= 1 << (k & 63)
			}
			if have < n {
				s.bits.acc, s.bits.have = acc, have
				added = added<<n | s.bits.long(n)
				acc, have = s.bits.acc, s.bits.have
				continue
			}
			added = added<<(n&63) | acc>>1>>(^n&63)
			acc <<= n & 63
			have -= n
		}
		s.bits.acc, s.bits.have = acc, have
		p.nonzero[n] = nonzero
	}
	if s.eobRun > 0 {
		s.eobRun--
	}
	count := bits.OnesCount64(old)
	rest := uint(s.first + count - passed)
	added = (added<<(rest&63) | s.bits.long(rest)) << ((64 - count) & 63)
	for ; old != 0; old &= old - 1 {
		c := &block[naturalOrder[bits.TrailingZeros64(old)&63]&63]
		v := *c
		sign := v >> 15
		one := int16(added>>63) &^ (v >> (s.low & 15)) // damage may have set the bit
		*c = v + ((one << (s.low & 15)) ^ sign - sign) // away from zero
		added <<= 1
	}
}

// positions are coefficients in zigzag order, rising.
type positions [128]uint8

// list fills p with the bits that are 1 in mask, 63 at most, and with 16 numbers
// from end on for runs that leave the band: their distance to their index is that
// of the end.
//
//go:noinline
func (p *positions) list(mask uint64, end int) {
	const ones = 0x0101010101010101
	n := 0
	for i := uint64(0); i < 64; i += 8 {
		b := byte(mask >> i)
		binary.LittleEndian.PutUint64(p[n&63:], onesOf[b]+i*ones)
		n += bits.OnesCount8(b)
	}
	ends := uint64(end)*ones + 0x0706050403020100
	binary.LittleEndian.PutUint64(p[n&63:], ends)
	binary.LittleEndian.PutUint64(p[n&63+8:], ends+8*ones)
}

// onesOf are the positions of the bits that are 1 in a byte, one in each byte
// from the lowest on.
var onesOf = func() (positions [256]uint64) {
	for b := range positions {
		for i, n := 0, 0; i < 8; i++ {
			if b>>i&1 != 0 {
				positions[b] |= uint64(i) << (8 * n)
				n++
			}
		}
	}
	return positions
}()
