package jpeg

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// A drawing is coefficients that the tests can write as a file in many ways.
type drawing struct {
	width, height int
	planes        []drawnPlane
	quant         [64]byte // zigzag order
}

type drawnPlane struct {
	h, v             int         // sampling factors
	width, height    int         // samples
	blocksX, blocksY int         // whole MCUs
	blocks           [][64]int16 // [blocksY, blocksX], zigzag order
}

// sampling is the factors of a component.
type sampling struct{ h, v int }

// draw makes an image of random coefficients.
func draw(seed uint64, width, height int, factors ...sampling) *drawing {
	random := rand.New(rand.NewPCG(seed, 1))
	d := &drawing{width: width, height: height}
	for k := range d.quant {
		d.quant[k] = byte(1 + random.IntN(8+k))
	}
	hMax, vMax := 1, 1
	for _, f := range factors {
		hMax, vMax = max(hMax, f.h), max(vMax, f.v)
	}
	for _, f := range factors {
		p := drawnPlane{
			h: f.h, v: f.v,
			width: ceilDiv(width*f.h, hMax), height: ceilDiv(height*f.v, vMax),
			blocksX: ceilDiv(width, 8*hMax) * f.h, blocksY: ceilDiv(height, 8*vMax) * f.v,
		}
		p.blocks = make([][64]int16, p.blocksX*p.blocksY)
		for i := range p.blocks {
			b := &p.blocks[i]
			b[0] = int16(random.IntN(400) - 200)
			for range random.IntN(12) {
				b[1+random.IntN(63)] = int16(random.IntN(31) - 15)
			}
			if random.IntN(8) == 0 {
				b[63] = 3 // no end of block
			}
		}
		d.planes = append(d.planes, p)
	}
	return d
}

// plane is component i as a grayscale image of its own.
func (d *drawing) plane(i int) *drawing {
	p := d.planes[i]
	w, h := ceilDiv(p.width, 8), ceilDiv(p.height, 8)
	gray := drawnPlane{h: 1, v: 1, width: p.width, height: p.height, blocksX: w, blocksY: h}
	for y := range h {
		gray.blocks = append(gray.blocks, p.blocks[y*p.blocksX:][:w]...)
	}
	return &drawing{width: p.width, height: p.height, planes: []drawnPlane{gray}, quant: d.quant}
}

// A drawnScan is which coefficients of which components a scan has.
type drawnScan struct {
	components  []int
	first, last int
}

// A layout is how a drawing is written.
type layout struct {
	marker   byte // of the frame: markerSOF0, 1 or 2
	scans    []drawnScan
	restart  int // MCUs
	noTables bool
	adobe    int // colour transform; -1 for no segment
}

// encode writes the drawing with the standard Huffman tables.
func (d *drawing) encode(l layout) []byte {
	out := []byte{0xff, markerSOI}
	segment := func(marker byte, body []byte) {
		out = append(out, 0xff, marker)
		out = binary.BigEndian.AppendUint16(out, uint16(2+len(body)))
		out = append(out, body...)
	}
	if l.adobe >= 0 {
		segment(markerAPP14, append([]byte("Adobe\x00\x64\x00\x00\x00\x00"), byte(l.adobe)))
	}
	segment(markerDQT, append([]byte{0}, d.quant[:]...))
	if !l.noTables {
		segment(markerDHT, []byte("\x00"+standardDC0+"\x10"+standardAC0))
		segment(markerDHT, []byte("\x01"+standardDC1+"\x11"+standardAC1))
	}
	frame := []byte{8, byte(d.height >> 8), byte(d.height), byte(d.width >> 8), byte(d.width), byte(len(d.planes))}
	for i, p := range d.planes {
		frame = append(frame, byte(i+1), byte(p.h<<4|p.v), 0)
	}
	segment(l.marker, frame)
	if l.restart > 0 {
		segment(markerDRI, []byte{byte(l.restart >> 8), byte(l.restart)})
	}
	for _, s := range l.scans {
		header := []byte{byte(len(s.components))}
		for _, c := range s.components {
			table := byte(min(c, 1))
			header = append(header, byte(c+1), table<<4|table)
		}
		segment(markerSOS, append(header, byte(s.first), byte(s.last), 0))
		out = append(out, d.encodeScan(s, l.restart)...)
	}
	return append(out, 0xff, markerEOI)
}

func (d *drawing) encodeScan(s drawnScan, restart int) []byte {
	w := &bitWriter{}
	predictors := make([]int16, len(d.planes))
	mcu := 0
	begin := func() {
		if restart > 0 && mcu > 0 && mcu%restart == 0 {
			w.flush()
			w.out = append(w.out, 0xff, markerRST0+byte(mcu/restart-1)&7)
			clear(predictors)
		}
		mcu++
	}
	block := func(c, bx, by int) {
		p := &d.planes[c]
		w.block(&p.blocks[by*p.blocksX+bx], &predictors[c], min(c, 1), s.first, s.last)
	}
	if len(s.components) == 1 {
		c := s.components[0]
		for by := range ceilDiv(d.planes[c].height, 8) {
			for bx := range ceilDiv(d.planes[c].width, 8) {
				begin()
				block(c, bx, by)
			}
		}
	} else {
		p := d.planes[0]
		for my := range p.blocksY / p.v {
			for mx := range p.blocksX / p.h {
				begin()
				for _, c := range s.components {
					q := d.planes[c]
					for i := range q.h * q.v {
						block(c, mx*q.h+i%q.h, my*q.v+i/q.h)
					}
				}
			}
		}
	}
	w.flush()
	return w.out
}

// A bitWriter writes entropy-coded data.
type bitWriter struct {
	out  []byte
	acc  uint32
	have int
}

func (w *bitWriter) write(v uint32, n int) {
	for n--; n >= 0; n-- {
		w.acc = w.acc<<1 | v>>n&1
		if w.have++; w.have == 8 {
			w.out = append(w.out, byte(w.acc))
			if byte(w.acc) == 0xff {
				w.out = append(w.out, 0)
			}
			w.have = 0
		}
	}
}

// flush fills the last byte with ones.
func (w *bitWriter) flush() {
	for w.have != 0 {
		w.write(1, 1)
	}
}

// symbol writes a code of a table in the form of a DHT segment.
func (w *bitWriter) symbol(table string, symbol byte) {
	code, k := uint32(0), 16
	for length := 1; length <= 16; length++ {
		for range table[length-1] {
			if table[k] == symbol {
				w.write(code, length)
				return
			}
			code++
			k++
		}
		code <<= 1
	}
	panic("no code for the symbol")
}

// number writes the extra bits of v, which are size.
func (w *bitWriter) number(v int16, size int) {
	if v < 0 {
		v += 1<<size - 1
	}
	w.write(uint32(v), size)
}

func magnitude(v int16) int { return bits.Len16(uint16(max(v, -v))) }

// block writes coefficients first to last of a block.
func (w *bitWriter) block(b *[64]int16, predictor *int16, table, first, last int) {
	dc := [2]string{standardDC0, standardDC1}[table]
	ac := [2]string{standardAC0, standardAC1}[table]
	k := first
	if k == 0 {
		difference := b[0] - *predictor
		*predictor = b[0]
		size := magnitude(difference)
		w.symbol(dc, byte(size))
		w.number(difference, size)
		k = 1
	}
	run := 0
	for ; k <= min(last, 63); k++ {
		if b[k] == 0 {
			run++
			continue
		}
		for ; run > 15; run -= 16 {
			w.symbol(ac, 0xf0)
		}
		size := magnitude(b[k])
		w.symbol(ac, byte(run<<4|size))
		w.number(b[k], size)
		run = 0
	}
	if run > 0 && last > 0 {
		w.symbol(ac, 0)
	}
}
