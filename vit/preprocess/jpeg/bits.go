package jpeg

import "encoding/binary"

// A bitReader reads the entropy-coded data of a scan: stuffed zeros are removed,
// and from a marker or the end of the data on it supplies zeros.
type bitReader struct {
	data []byte
	pos  int // of the next byte; stays on a marker

	acc  uint64 // the next bits, from the top; the rest is zero
	have uint   // bits in acc, made-up zeros included
	fake uint   // made-up zeros among them; they are the last ones

	overrun bool // made-up zeros were used
	ended   bool // the data ended without a marker
}

// refill makes at least 32 bits available: enough for a code and its extra bits.
// It is called when less than 32 are left. Loops over coefficients keep acc and
// have in registers; it takes their copies and returns new ones.
func (b *bitReader) refill(acc uint64, have uint) (uint64, uint) {
	if b.pos+4 <= len(b.data) {
		v := binary.BigEndian.Uint32(b.data[b.pos:])
		if inverse := ^v; (inverse-0x01010101)&v&0x80808080 == 0 { // no byte is 0xff
			b.pos += 4
			return acc | uint64(v)<<((32-have)&63), have + 32
		}
	}
	b.acc, b.have = acc, have
	b.fillBytes()
	return b.acc, b.have
}

// fillBytes fills the reservoir where a byte is 0xff or the data is about to end.
func (b *bitReader) fillBytes() {
	for b.have <= 56 {
		v, ok := b.next()
		if !ok {
			b.pad()
			return
		}
		b.acc |= uint64(v) << (56 - b.have)
		b.have += 8
	}
}

// next returns the next byte of data, if there is one before a marker.
func (b *bitReader) next() (byte, bool) {
	if b.pos >= len(b.data) {
		b.ended = true
		return 0, false
	}
	v := b.data[b.pos]
	if v != 0xff {
		b.pos++
		return v, true
	}
	at := b.pos + 1
	for at < len(b.data) && b.data[at] == 0xff {
		at++ // fill bytes
	}
	if at >= len(b.data) {
		b.ended = true
		return 0, false
	}
	if b.data[at] != 0 {
		b.pos = at - 1
		return 0, false
	}
	b.pos = at + 1
	return 0xff, true
}

// pad adds zeros.
func (b *bitReader) pad() {
	b.settle()
	b.fake += 64 - b.have
	b.have = 64
}

// settle finds out whether made-up zeros were used.
func (b *bitReader) settle() {
	if b.have < b.fake {
		b.overrun = true
		b.fake = b.have
	}
}

// exhausted reports whether more bits were read than there are before the next
// marker.
func (b *bitReader) exhausted() bool {
	b.settle()
	return b.overrun
}

// bits returns the next n bits, 0 < n <= 16.
func (b *bitReader) bits(n uint) int32 {
	if b.have < 32 {
		b.acc, b.have = b.refill(b.acc, b.have)
	}
	v := int32(b.acc >> ((64 - n) & 63))
	b.acc <<= n & 63
	b.have -= n
	return v
}

// long returns the next n bits, n < 64.
func (b *bitReader) long(n uint) (v uint64) {
	for n > 0 {
		if b.have < 32 {
			b.acc, b.have = b.refill(b.acc, b.have)
		}
		some := min(n, 32)
		v = v<<some | b.acc>>(64-some)
		b.acc <<= some
		b.have -= some
		n -= some
	}
	return v
}

// restart looks for restart marker number n, 0 to 7, and moves behind it. A
// wrong marker is treated as jpeg_resync_to_restart does: earlier restart
// markers are skipped; one of the next two, or any other marker, is left for
// later, and zeros are read until then.
func (b *bitReader) restart(n int) {
	b.settle()
	b.acc, b.have, b.fake = 0, 0, 0
	for {
		at := findMarker(b.data, b.pos)
		if at < 0 {
			b.pos, b.ended = len(b.data), true
			return
		}
		b.pos = at
		marker := b.data[at+1]
		ahead := (int(marker) - markerRST0 - n) & 7
		switch {
		case marker < markerSOF0, marker >= markerRST0 && marker <= markerRST7 && ahead >= 6:
			b.pos += 2
		case marker > markerRST7, marker < markerRST0, ahead == 1, ahead == 2:
			return
		default:
			b.pos += 2
			b.overrun = false
			return
		}
	}
}
