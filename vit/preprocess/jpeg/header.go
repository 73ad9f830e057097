package jpeg

import (
	"bytes"
	"fmt"
)

// maxScans bounds the work that a small file can ask for: each scan of a
// progressive image visits every block. Encoders write about ten.
const maxScans = 100

// readHeaders reads marker segments from d.pos up to and including the header
// of the next scan, and reports whether there is one; otherwise it stopped at EOI.
func (d *Decoder) readHeaders() (more bool, err error) {
	for {
		marker, err := d.nextMarker()
		if err != nil {
			return false, err
		}
		switch {
		case marker == markerEOI:
			return false, nil
		case marker == markerSOI:
			return false, FormatError("a second SOI marker")
		case marker == markerTEM, marker >= markerRST0 && marker <= markerRST7:
			continue // no segment
		}
		segment, err := d.readSegment(marker)
		if err != nil {
			return false, err
		}
		switch {
		case marker == markerSOS:
			return true, d.readSOS(segment)
		case marker == markerDHT:
			err = d.readDHT(segment)
		case marker == markerDQT:
			err = d.readDQT(segment)
		case marker == markerDRI:
			err = d.readDRI(segment)
		case marker >= markerSOF0 && marker <= markerSOF15 && marker != markerJPG && marker != markerDAC:
			err = d.readSOF(marker, segment)
		case marker >= markerAPP0 && marker <= markerAPP15:
			d.readAPP(marker, segment)
		case marker == markerDAC, marker == markerDNL, marker == markerCOM:
			// nothing that matters here
		default:
			err = FormatError(fmt.Sprintf("marker 0xff%02x", marker))
		}
		if err != nil {
			return false, err
		}
	}
}

// nextMarker skips to the next marker and returns its second byte.
func (d *Decoder) nextMarker() (byte, error) {
	at := findMarker(d.data, d.pos)
	if at < 0 {
		d.pos = len(d.data)
		return 0, truncated("before the EOI marker")
	}
	d.pos = at + 2
	return d.data[at+1], nil
}

// findMarker returns the position of the first marker at or after pos, or -1.
// Stuffed zeros and fill bytes are no markers.
func findMarker(data []byte, pos int) int {
	for {
		i := bytes.IndexByte(data[pos:], 0xff)
		if i < 0 || pos+i+1 >= len(data) {
			return -1
		}
		pos += i
		switch data[pos+1] {
		case 0x00:
			pos += 2
		case 0xff:
			pos++
		default:
			return pos
		}
	}
}

// readSegment returns the payload of the segment at d.pos and moves behind it.
func (d *Decoder) readSegment(marker byte) ([]byte, error) {
	rest := d.data[d.pos:]
	if len(rest) < 2 {
		return nil, truncated(fmt.Sprintf("in segment 0xff%02x", marker))
	}
	n := be16(rest)
	if n < 2 && (marker >= markerAPP0 && marker <= markerAPP15 || marker == markerCOM) {
		n = 2 // libjpeg skips these whatever their length
	}
	if n < 2 {
		return nil, FormatError(fmt.Sprintf("segment 0xff%02x has length %d", marker, n))
	}
	if len(rest) < n {
		return nil, truncated(fmt.Sprintf("in segment 0xff%02x", marker))
	}
	d.pos += n
	return rest[2:n], nil
}

// readSOF reads a frame header (T.81, B.2.2).
func (d *Decoder) readSOF(marker byte, p []byte) error {
	switch marker {
	case markerSOF0, markerSOF1, markerSOF2:
	case 0xc3, 0xc7:
		return UnsupportedError("lossless coding")
	case 0xc9, 0xca, 0xcd, 0xce:
		return UnsupportedError("arithmetic coding")
	case 0xcb, 0xcf:
		return UnsupportedError("lossless arithmetic coding")
	default:
		return UnsupportedError("hierarchical coding")
	}
	if d.components != nil {
		return FormatError("a second frame header")
	}
	if len(p) < 6 {
		return FormatError("short frame header")
	}
	if p[0] != 8 {
		return UnsupportedError(fmt.Sprintf("%d bits per sample", p[0]))
	}
	d.Height, d.Width = be16(p[1:]), be16(p[3:])
	if d.Width == 0 || d.Height == 0 {
		return FormatError(fmt.Sprintf("the size is %d x %d", d.Width, d.Height))
	}
	n := int(p[5])
	if n != 1 && n != 3 && n != 4 {
		return UnsupportedError(fmt.Sprintf("%d components", n))
	}
	if len(p) != 6+3*n {
		return FormatError("frame header of wrong length")
	}
	d.progressive = marker == markerSOF2
	components := make([]component, n)
	for i := range components {
		c := &components[i]
		q := p[6+3*i:]
		c.id, c.h, c.v, c.table = q[0], int(q[1]>>4), int(q[1]&15), int(q[2])
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 {
			return FormatError(fmt.Sprintf("component %d has sampling factors %d x %d", i, c.h, c.v))
		}
		if c.table > 3 {
			return FormatError(fmt.Sprintf("component %d has quantisation table %d", i, c.table))
		}
		if n == 1 {
			c.h, c.v = 1, 1 // a lone component is never subsampled, whatever its factors
		}
		d.hMax, d.vMax = max(d.hMax, c.h), max(d.vMax, c.v)
	}
	d.mcusX, d.mcusY = ceilDiv(d.Width, 8*d.hMax), ceilDiv(d.Height, 8*d.vMax)
	for i := range components {
		c := &components[i]
		if d.hMax%c.h != 0 || d.vMax%c.v != 0 {
			return UnsupportedError(fmt.Sprintf("subsampling %d x %d of %d x %d", c.h, c.v, d.hMax, d.vMax))
		}
		c.width, c.height = ceilDiv(d.Width*c.h, d.hMax), ceilDiv(d.Height*c.v, d.vMax)
		c.blocksX, c.blocksY = ceilDiv(c.width, 8), ceilDiv(c.height, 8)
		c.stride = d.mcusX * c.h * 8
	}
	d.components = components
	return nil
}

// readDQT reads quantisation tables (T.81, B.2.4.1).
func (d *Decoder) readDQT(p []byte) error {
	for len(p) > 0 {
		wide, id := int(p[0]>>4), p[0]&15
		size := 64 << (wide & 1)
		if wide > 1 || id > 3 {
			return FormatError(fmt.Sprintf("quantisation table 0x%02x", p[0]))
		}
		p = p[1:]
		if len(p) < size {
			return FormatError("short quantisation table")
		}
		table := new([64]uint16)
		for k := range 64 {
			if wide == 0 {
				table[naturalOrder[k]] = uint16(p[k])
			} else {
				table[naturalOrder[k]] = uint16(be16(p[2*k:]))
			}
		}
		d.quant[id] = table
		p = p[size:]
	}
	return nil
}

// readDHT reads Huffman tables (T.81, B.2.4.2).
func (d *Decoder) readDHT(p []byte) error {
	for len(p) > 0 {
		if len(p) < 17 {
			return FormatError("short Huffman table")
		}
		class, id := p[0]>>4, p[0]&15
		if class > 1 || id > 3 {
			return FormatError(fmt.Sprintf("Huffman table 0x%02x", p[0]))
		}
		table, n, err := newHuffman(p[1:])
		if err != nil {
			return err
		}
		if class == 0 {
			d.dc[id] = table
		} else {
			d.ac[id] = table
		}
		p = p[1+n:]
	}
	return nil
}

func (d *Decoder) readDRI(p []byte) error {
	if len(p) != 2 {
		return FormatError("restart interval of wrong length")
	}
	d.restartInterval = be16(p)
	return nil
}

// readAPP keeps what matters of an application segment.
func (d *Decoder) readAPP(marker byte, p []byte) {
	var (
		exif = []byte("Exif\x00\x00")
		xmp  = []byte("http://ns.adobe.com/xap/1.0/\x00")
	)
	switch {
	case d.scans > 0: // Pillow looks no further than the first scan
	case marker == markerAPP0:
		d.jfif = d.jfif || len(p) >= 14 && bytes.HasPrefix(p, []byte("JFIF\x00"))
	case marker == markerAPP1 && d.Exif == nil && bytes.HasPrefix(p, exif):
		d.Exif = p[len(exif):]
	case marker == markerAPP1 && d.XMP == nil && bytes.HasPrefix(p, xmp):
		d.XMP = p[len(xmp):]
	case marker == markerAPP14 && len(p) >= 12 && bytes.HasPrefix(p, []byte("Adobe")):
		d.adobe = int(p[11])
	}
}

// readSOS reads a scan header (T.81, B.2.3) and leaves d.pos at its data.
func (d *Decoder) readSOS(p []byte) error {
	if d.components == nil {
		return FormatError("a scan before the frame header")
	}
	if d.scans++; d.scans > maxScans {
		return UnsupportedError(fmt.Sprintf("more than %d scans", maxScans))
	}
	if len(p) < 1 || p[0] < 1 || p[0] > 4 || len(p) != 4+2*int(p[0]) {
		return FormatError("scan header of wrong length")
	}
	n := int(p[0])
	s := &d.scan
	s.parts = s.parts[:0]
	blocks := 0
	for i := range n {
		id, tables := p[1+2*i], p[2+2*i]
		c := d.componentOf(id)
		if c == nil {
			return FormatError(fmt.Sprintf("scan of the unknown or repeated component %d", id))
		}
		s.parts = append(s.parts, part{component: c, dcTable: tables >> 4, acTable: tables & 15})
		blocks += c.h * c.v
	}
	if n > 1 && blocks > 10 {
		return FormatError(fmt.Sprintf("%d blocks in an MCU", blocks))
	}
	q := p[1+2*n:]
	s.first, s.last, s.high, s.low = int(q[0]), int(q[1]), uint(q[2]>>4), uint(q[2]&15)
	return nil
}

// at returns table i, nil if there is none.
func (t *huffmanTables) at(i byte) *huffman {
	if int(i) >= len(t) {
		return nil
	}
	return t[i]
}

// componentOf returns the component of that id that is not yet in the scan, or nil.
func (d *Decoder) componentOf(id byte) *component {
next:
	for i := range d.components {
		c := &d.components[i]
		for _, p := range d.scan.parts {
			if p.component == c {
				continue next
			}
		}
		if c.id == id {
			return c
		}
	}
	return nil
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
