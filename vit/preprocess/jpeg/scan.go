package jpeg

import (
	"context"
	"encoding/binary"
	"fmt"
)

// naturalOrder is where coefficient k of the zigzag order is in a block, row by
// row (T.81, figure A.6). The entries beyond the end catch runs that leave the
// block.
var naturalOrder = func() (order [128]uint8) {
	for k := range order {
		order[k] = 63
	}
	// Diagonals alternate between going up and going down.
	k := 0
	for diagonal := range 15 {
		for i := range diagonal + 1 {
			x, y := i, diagonal-i
			if diagonal%2 == 1 {
				x, y = y, x
			}
			if x < 8 && y < 8 {
				order[k] = uint8(8*y + x)
				k++
			}
		}
	}
	return order
}()

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
	refiner     *refiner
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
					last := 0
					if present {
						last = s.sequentialBlock(p, &s.block)
					}
					if visible {
						dst := p.blockSamples(mx*p.h+h, my, v)
						if last == 0 {
							fillBlock(dst, p.stride, s.block[0], p.quant)
						} else {
							d.Tier.IDCT(dst, p.stride, &s.block, p.quant)
						}
					}
					s.block[0] = 0
					if last > 0 {
						s.block = [64]int16{}
					}
				}
			}
		}
	}
	return d.checkEnd(my)
}

// fillBlock is the inverse DCT of a flat block.
func fillBlock(dst []byte, stride int, dc int16, quant *[64]uint16) {
	v := int32(dc*int16(quant[0])<<2) + 16 // 2 fractional bits, which may overflow, and 3 more
	samples := uint64(min(max(v>>5+128, 0), 255)) * 0x0101010101010101
	for y := range 8 {
		binary.LittleEndian.PutUint64(dst[y*stride:], samples)
	}
}

// decodeScan decodes a scan to the coefficients of its components.
func (d *Decoder) decodeScan(ctx context.Context) error {
	s := &d.scan
	decode := s.bufferedBlock
	if d.progressive {
		decode = s.progressiveBlock()
	}
	if len(s.parts) == 1 {
		p := &s.parts[0]
		for by := range p.blocksY {
			if err := ctx.Err(); err != nil {
				return err
			}
			row := p.blockIndex(0, by)
			for bx := 0; bx < p.blocksX; bx++ {
				if d.beginMCU() {
					decode(p, row+bx)
				}
				if s.eobRun > 0 && s.high == 0 && d.restartInterval == 0 { // these blocks have nothing
					skip := min(int(s.eobRun), p.blocksX-1-bx)
					s.eobRun -= int32(skip)
					bx += skip
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
					n := p.blockIndex(mx*p.h, my*p.v+v)
					for h := range p.h {
						decode(p, n+h)
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

// bufferedBlock decodes block n of a component whose coefficients are kept.
func (s *scan) bufferedBlock(p *part, n int) {
	block := p.block(n)
	last := s.sequentialBlock(p, block)
	p.means[n] = block[0]
	p.nonzero[n] |= 1 << min(last, 63) &^ 1
}

// sequentialBlock decodes a block of zeros (T.81, F.2.2) and returns the number
// of its last coefficient that is not zero in zigzag order, or 0.
func (s *scan) sequentialBlock(p *part, block *[64]int16) (last int) {
	b := &s.bits
	p.predictor += b.dcDifference(p.dc)
	block[0] = int16(p.predictor)
	ac := p.ac
	acc, have := b.acc, b.have
	for k := 1; k < 64; k++ {
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
			if size == 0 {
				if symbol == 0xf0 {
					k += 15
					continue
				}
				break
			}
			value = int16(extend(int32(acc>>((64-size)&63)), size))
			acc <<= size
			have -= size
			k += int(symbol >> 4)
		}
		block[naturalOrder[k&127]&63] = value
		last = k
	}
	b.acc, b.have = acc, have
	return last
}

// dcDifference decodes a DC difference.
func (b *bitReader) dcDifference(h *huffman) int32 {
	acc, have := b.acc, b.have
	if have < 32 {
		acc, have = b.refill(acc, have)
	}
	e := h.lookup[acc>>(64-lookupBits)]
	difference := int32(e) >> 16
	if difference != 0 {
		acc <<= e & 63
		have -= uint(e & 63)
	} else {
		symbol, length := h.symbol(acc, e)
		acc <<= length & 63
		have -= length
		if size := uint(symbol & 15); size > 0 {
			difference = extend(int32(acc>>(64-size)), size)
			acc <<= size
			have -= size
		}
	}
	b.acc, b.have = acc, have
	return difference
}
