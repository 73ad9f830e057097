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
	nonzero := p.nonzero[n]
	upTo := uint64(2)<<s.last - 1
	old := nonzero & upTo >> s.first << s.first // coefficients to which a bit is still to be added
	if s.eobRun > 0 && old == 0 {
		s.eobRun--
		return
	}
	zeros := ^nonzero & upTo >> s.first << s.first // that may still become something else
	b, block, ac := &s.bits, p.block(n), p.ac
	for k := s.first; s.eobRun == 0 && k <= s.last; k++ {
		acc, have := b.acc, b.have
		if have < 32 {
			acc, have = b.refill(acc, have)
		}
		e := ac.lookup[acc>>(64-lookupBits)]
		symbol, length := byte(e>>8), uint(e&63)
		value := int16(e >> 16)
		if value == 0 {
			symbol, length = ac.symbol(acc, e)
		}
		run, size := int(symbol>>4), uint(symbol&15)
		if size == 0 && run < 15 {
			b.acc, b.have = acc<<(length&63), have-length
			s.eobRun = s.endOfBandRun(uint(run))
			break
		}
		if size > 1 && value != 0 { // damage: a sign is one bit, whatever the size
			value, length = 0, length-size
		}
		if size > 0 && value == 0 {
			value = int16(acc>>((63-length)&63)&1)<<1 - 1
			length++
		}
		b.acc, b.have = acc<<(length&63), have-length
		for range run {
			zeros &= zeros - 1
		}
		k = min(bits.TrailingZeros64(zeros), s.last+1)
		zeros &= zeros - 1
		before := uint64(1)<<k - 1
		b.refine(block, old&before, s.low)
		old &^= before
		if size != 0 {
			block[naturalOrder[k&127]&63] = value << s.low
			nonzero |= 1 << min(k, 63)
		}
	}
	if s.eobRun > 0 {
		b.refine(block, old, s.low)
		s.eobRun--
	}
	p.nonzero[n] = nonzero
}

// refine adds bit low to coefficients, which are not zero: away from zero, where
// the data says 1.
func (b *bitReader) refine(block *[64]int16, coefficients uint64, low uint) {
	acc, have := b.acc, b.have
	for ; coefficients != 0; coefficients &= coefficients - 1 {
		if have < 32 {
			acc, have = b.refill(acc, have)
		}
		c := &block[naturalOrder[bits.TrailingZeros64(coefficients)&63]&63]
		v := *c
		sign := v >> 15
		one := int16(acc>>63) &^ (v >> low) // damage may have set the bit
		*c = v + ((one << low) ^ sign - sign)
		acc <<= 1
		have--
	}
	b.acc, b.have = acc, have
}
