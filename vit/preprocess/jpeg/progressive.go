package jpeg

import "math/bits"

// progressiveBlock returns the decoder of block n of a component for the scan
// (T.81, G.1.2 and G.2).
func (s *scan) progressiveBlock() func(p *part, n int) {
	switch {
	case s.first == 0 && s.high == 0:
		return s.dcFirst
	case s.first == 0:
		return s.dcRefine
	case s.high == 0:
		return s.acFirst
	default:
		return s.acRefine
	}
}

func (s *scan) dcFirst(p *part, n int) {
	p.predictor += s.bits.dcDifference(p.dc)
	p.block(n)[0] = int16(p.predictor << s.low)
}

func (s *scan) dcRefine(p *part, n int) {
	if s.bits.bits(1) != 0 {
		p.block(n)[0] |= 1 << s.low
	}
}

func (s *scan) acFirst(p *part, n int) {
	if s.eobRun > 0 {
		s.eobRun--
		return
	}
	b, block, nonzero, ac := &s.bits, p.block(n), p.nonzero[n], p.ac
	acc, have := b.acc, b.have
	for k := s.first; k <= s.last; k++ {
		if have < 32 {
			acc, have = b.refill(acc, have)
		}
		e := ac.lookup[acc>>(64-lookupBits)]
		value := int16(e >> 16)
		if value != 0 {
			acc <<= e & 63
			have -= uint(e & 63)
			k += int(e >> 12 & 15)
		} else {
			symbol, length := ac.symbol(acc, e)
			acc <<= length & 63
			have -= length
			size := uint(symbol & 15)
			k += int(symbol >> 4)
			if size == 0 {
				if symbol == 0xf0 {
					continue
				}
				b.acc, b.have = acc, have
				s.eobRun = s.endOfBandRun(uint(symbol>>4)) - 1
				p.nonzero[n] = nonzero
				return
			}
			value = int16(extend(int32(acc>>((64-size)&63)), size))
			acc <<= size
			have -= size
		}
		value <<= s.low
		bit := uint64(1) << min(k, 63)
		nonzero |= bit
		if value == 0 { // bits were lost: damage
			nonzero &^= bit
		}
		block[naturalOrder[k&127]&63] = value
	}
	b.acc, b.have = acc, have
	p.nonzero[n] = nonzero
}

// endOfBandRun reads how many blocks end here, this one included.
func (s *scan) endOfBandRun(exponent uint) int32 {
	if exponent == 0 {
		return 1
	}
	return 1<<exponent + s.bits.bits(exponent)
}

// acRefine adds a bit to the coefficients that are not zero, and finds those
// that become so with this bit: a symbol counts only the zeros before them.
func (s *scan) acRefine(p *part, n int) {
	k := s.first
	if s.eobRun == 0 {
		for ; k <= s.last; k++ {
			symbol := s.bits.symbol(p.ac)
			run, size := int(symbol>>4), symbol&15
			if size == 0 && run < 15 {
				s.eobRun = s.endOfBandRun(uint(run))
				break
			}
			var value int16
			if size != 0 {
				value = -1 << s.low
				if s.bits.bits(1) != 0 {
					value = 1 << s.low
				}
			}
			k = s.refine(p.block(n), p.nonzero[n], k, run)
			if value != 0 {
				p.block(n)[naturalOrder[k&127]&63] = value
				p.nonzero[n] |= 1 << min(k, 63)
			}
		}
	}
	if s.eobRun > 0 {
		s.refine(p.block(n), p.nonzero[n], k, 64)
		s.eobRun--
	}
}

// symbol decodes a symbol without the extra bits that it asks for.
func (b *bitReader) symbol(h *huffman) byte {
	if b.have < 32 {
		b.acc, b.have = b.refill(b.acc, b.have)
	}
	e := h.lookup[b.acc>>(64-lookupBits)]
	symbol, length := byte(e>>8), uint(e&63)
	if e>>16 != 0 {
		length -= uint(symbol & 15)
	} else {
		symbol, length = h.symbol(b.acc, e)
	}
	b.acc <<= length & 63
	b.have -= length
	return symbol
}

// refine adds a bit to each coefficient from k on that is not zero, and stops
// at the zero after run others, or behind the last of the band. It returns
// where it stopped.
func (s *scan) refine(block *[64]int16, nonzero uint64, k, run int) int {
	b := &s.bits
	acc, have := b.acc, b.have
	bit := int16(1) << s.low
	band := nonzero & (1<<(s.last+1) - 1) >> k << k
	for ; band != 0; band &= band - 1 {
		next := bits.TrailingZeros64(band)
		if run < next-k {
			break
		}
		run -= next - k
		k = next + 1
		if have < 32 {
			acc, have = b.refill(acc, have)
		}
		one := acc>>63 != 0
		acc <<= 1
		have--
		c := &block[naturalOrder[next&63]&63]
		if !one || *c&bit != 0 {
			continue
		}
		if *c > 0 {
			*c += bit
		} else {
			*c -= bit
		}
	}
	b.acc, b.have = acc, have
	return min(k+run, s.last+1)
}
