package jpeg

import (
	"context"
	"fmt"
)

// naturalOrder is where coefficient k of the zigzag order is in a block, row by
// row (T.81, figure A.6). The 16 entries beyond the end catch runs that leave
// the block.
var naturalOrder = [64 + 16]uint8{
	0, 1, 8, 16, 9, 2, 3, 10,
	17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34,
	27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36,
	29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46,
	53, 60, 61, 54, 47, 55, 62, 63,
	63, 63, 63, 63, 63, 63, 63, 63,
	63, 63, 63, 63, 63, 63, 63, 63,
}

// A scan is the state of the entropy decoder.
type scan struct {
	parts       []part
	first, last int  // spectral selection: coefficients in zigzag order
	high, low   uint // successive approximation: bit positions before and after

	bits        bitReader
	untilMarker int   // MCUs before the next restart marker
	marker      int   // number of that marker, 0 to 7
	eobRun      int32 // blocks that end without more coefficients
	block       [64]int16
}

// A part is a component in a scan.
type part struct {
	*component
	dcTable, acTable byte
	dc, ac           *huffman
	predictor        int32 // DC coefficient of the block before
}

// startScan checks the scan whose header was read and prepares to decode its data.
func (d *Decoder) startScan() error {
	s := &d.scan
	needDC, needAC := true, true
	if d.progressive {
		dcOnly := s.first == 0
		switch {
		case dcOnly && s.last != 0,
			!dcOnly && (s.first > s.last || s.last > 63 || len(s.parts) != 1),
			s.high != 0 && s.low != s.high-1,
			s.low > 13:
			return FormatError(fmt.Sprintf("scan %d of coefficients %d to %d, bits %d to %d, of %d components",
				d.scans, s.first, s.last, s.high, s.low, len(s.parts)))
		}
		needDC, needAC = dcOnly && s.high == 0, !dcOnly
	}
	for i := range s.parts {
		p := &s.parts[i]
		p.dc, p.ac = d.dc.at(p.dcTable), d.ac.at(p.acTable)
		switch {
		case needDC && p.dc == nil, needAC && p.ac == nil:
			return FormatError(fmt.Sprintf("scan %d uses a Huffman table that is not defined", d.scans))
		case needDC && p.dc.maxSymbol > 15:
			return FormatError(fmt.Sprintf("scan %d uses a DC table with symbol %d", d.scans, p.dc.maxSymbol))
		}
		if p.quant != nil {
			continue
		}
		if d.quant[p.table] == nil {
			return FormatError(fmt.Sprintf("quantisation table %d is not defined", p.table))
		}
		p.quant = d.quant[p.table]
	}
	s.bits = bitReader{data: d.data, pos: d.pos}
	s.marker, s.untilMarker = 0, d.restartInterval
	s.eobRun = 0
	return nil
}

// beginMCU reads the restart marker that is due before an MCU, and reports
// whether there is data for the MCU: if not, its coefficients stay as they are.
func (d *Decoder) beginMCU() bool {
	s := &d.scan
	if d.restartInterval > 0 {
		if s.untilMarker == 0 {
			s.bits.restart(s.marker)
			s.marker = (s.marker + 1) & 7
			s.untilMarker = d.restartInterval
			s.eobRun = 0
			for i := range s.parts {
				s.parts[i].predictor = 0
			}
		}
		s.untilMarker--
	}
	return !s.bits.exhausted()
}

// sequentialRow decodes MCU row my of the only scan straight to samples.
func (d *Decoder) sequentialRow(my int) error {
	s := &d.scan
	wanted := d.out.needsMCURow(my)
	for mx := range d.mcusX {
		present := d.beginMCU()
		visible := wanted && mx >= d.out.mcuX0 && mx < d.out.mcuX1
		for i := range s.parts {
			p := &s.parts[i]
			for v := range p.v {
				for h := range p.h {
					s.block = [64]int16{}
					if present {
						s.sequentialBlock(p, &s.block)
					}
					if visible {
						idct(p.blockSamples(mx*p.h+h, my, v), p.stride, &s.block, p.quant)
					}
				}
			}
		}
	}
	return d.checkEnd(my)
}

// decodeScan decodes a scan to the coefficients of its components.
func (d *Decoder) decodeScan(ctx context.Context) error {
	s := &d.scan
	decode := s.sequentialBlock
	if d.progressive {
		decode = s.progressiveBlock()
	}
	if len(s.parts) == 1 {
		p := &s.parts[0]
		for by := range p.blocksY {
			if err := ctx.Err(); err != nil {
				return err
			}
			for bx := range p.blocksX {
				if d.beginMCU() {
					decode(p, p.component.block(bx, by))
				}
			}
			if err := d.checkEnd(by); err != nil {
				return err
			}
		}
		return nil
	}
	for my := range d.mcusY {
		if err := ctx.Err(); err != nil {
			return err
		}
		for mx := range d.mcusX {
			if !d.beginMCU() {
				continue
			}
			for i := range s.parts {
				p := &s.parts[i]
				for v := range p.v {
					for h := range p.h {
						decode(p, p.component.block(mx*p.h+h, my*p.v+v))
					}
				}
			}
		}
		if err := d.checkEnd(my); err != nil {
			return err
		}
	}
	return nil
}

// checkEnd reports data that ended in MCU row my, without a marker.
func (d *Decoder) checkEnd(my int) error {
	if d.scan.bits.ended {
		return truncated(fmt.Sprintf("in row %d of the MCUs of scan %d", my, d.scans))
	}
	return nil
}

// sequentialBlock decodes a block of zeros (T.81, F.2.2).
func (s *scan) sequentialBlock(p *part, block *[64]int16) {
	b := &s.bits
	p.predictor += b.dcDifference(p.dc)
	block[0] = int16(p.predictor)
	ac := p.ac
	for k := 1; k < 64; k++ {
		run, value, more := b.acCoefficient(ac)
		k += run
		if !more {
			if run == 15 {
				continue
			}
			return
		}
		block[naturalOrder[k]] = value
	}
}

// dcDifference decodes a DC difference.
func (b *bitReader) dcDifference(h *huffman) int32 {
	if b.have < 32 {
		b.fill()
	}
	e := h.lookup[b.acc>>(64-lookupBits)]
	if total := uint(e >> 4 & 15); total != 0 {
		b.skip(total)
		return int32(e) >> 16
	}
	size := uint(b.symbol(h))
	if size == 0 {
		return 0
	}
	return extend(b.take(size), size)
}

// acCoefficient decodes a run of zeros and the value after it. Without a value
// the run is 15 for 16 zeros, and else the exponent of an end-of-band run: 0
// for the end of the block.
func (b *bitReader) acCoefficient(h *huffman) (run int, value int16, more bool) {
	if b.have < 32 {
		b.fill()
	}
	e := h.lookup[b.acc>>(64-lookupBits)]
	if total := uint(e >> 4 & 15); total != 0 {
		b.skip(total)
		return int(e >> 12 & 15), int16(e >> 16), true
	}
	symbol := b.symbol(h)
	run = int(symbol >> 4)
	size := uint(symbol & 15)
	if size == 0 {
		return run, 0, false
	}
	return run, int16(extend(b.take(size), size)), true
}
