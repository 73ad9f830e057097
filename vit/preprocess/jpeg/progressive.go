package jpeg

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
		s.refiner.init(s)
		return s.acRefine
	}
}

func (s *scan) dcFirst(p *part, n int) {
	p.predictor += s.bits.dcDifference(p.dc)
	p.means[n] = int16(p.predictor << s.low)
}

// dcRefine has no branch on what it reads, which is as random as bits can be.
func (s *scan) dcRefine(p *part, n int) {
	p.means[n] |= int16(s.bits.bits(1) << s.low)
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
