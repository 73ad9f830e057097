package jpeg

// progressiveBlock returns the decoder of one block for the scan (T.81, G.1.2
// and G.2).
func (s *scan) progressiveBlock() func(*part, *[64]int16) {
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

func (s *scan) dcFirst(p *part, block *[64]int16) {
	p.predictor += s.bits.dcDifference(p.dc)
	block[0] = int16(p.predictor << s.low)
}

func (s *scan) dcRefine(_ *part, block *[64]int16) {
	if s.bits.bits(1) != 0 {
		block[0] |= 1 << s.low
	}
}

func (s *scan) acFirst(p *part, block *[64]int16) {
	if s.eobRun > 0 {
		s.eobRun--
		return
	}
	for k := s.first; k <= s.last; k++ {
		run, value, more := s.bits.acCoefficient(p.ac)
		if !more && run < 15 {
			s.eobRun = s.endOfBandRun(run) - 1
			return
		}
		k += run
		if more {
			block[naturalOrder[k]] = value << s.low
		}
	}
}

// endOfBandRun reads how many blocks end here, this one included.
func (s *scan) endOfBandRun(exponent int) int32 {
	if exponent == 0 {
		return 1
	}
	return 1<<exponent + s.bits.bits(uint(exponent))
}

// acRefine adds a bit to the coefficients that are not zero, and finds those
// that become so with this bit: a symbol counts only the zeros before them.
func (s *scan) acRefine(p *part, block *[64]int16) {
	k := s.first
	if s.eobRun == 0 {
		for ; k <= s.last; k++ {
			if s.bits.have < 32 {
				s.bits.fill()
			}
			symbol := s.bits.symbol(p.ac)
			run, size := int(symbol>>4), symbol&15
			if size == 0 && run < 15 {
				s.eobRun = s.endOfBandRun(run)
				break
			}
			var value int16
			if size != 0 {
				value = -1 << s.low
				if s.bits.bits(1) != 0 {
					value = 1 << s.low
				}
			}
			k = s.refine(block, k, run)
			if value != 0 {
				block[naturalOrder[k]] = value
			}
		}
	}
	if s.eobRun > 0 {
		s.refine(block, k, 64)
		s.eobRun--
	}
}

// refine adds a bit to each coefficient from k on that is not zero, and stops
// at the zero after run others, or behind the last of the band. It returns
// where it stopped.
func (s *scan) refine(block *[64]int16, k, run int) int {
	bit := int16(1) << s.low
	for ; k <= s.last; k++ {
		c := &block[naturalOrder[k]]
		if *c == 0 {
			if run == 0 {
				break
			}
			run--
			continue
		}
		if s.bits.bits(1) == 0 || *c&bit != 0 {
			continue
		}
		if *c > 0 {
			*c += bit
		} else {
			*c -= bit
		}
	}
	return k
}
