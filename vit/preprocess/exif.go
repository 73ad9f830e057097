package preprocess

import (
	"bytes"
	"encoding/binary"
)

// tagOrientation is EXIF's tag for how the image is to be turned.
const tagOrientation = 0x0112

// orientation returns the EXIF orientation, 1 to 8, from EXIF data or else from
// an XMP packet; 1 if there is none, or none that makes sense.
func orientation(exif, xmp []byte) int {
	o, ok := exifOrientation(exif)
	if !ok {
		o, ok = xmpOrientation(xmp)
	}
	if !ok || o < 1 || o > 8 {
		return 1
	}
	return o
}

// exifOrientation returns the orientation in the first directory of a TIFF
// structure, with or without the header that JPEG gives it, and whether there is one.
func exifOrientation(p []byte) (int, bool) {
	p = bytes.TrimPrefix(p, []byte("Exif\x00\x00"))
	var order binary.ByteOrder
	switch {
	case len(p) < 8:
		return 0, false
	case string(p[:4]) == "II*\x00":
		order = binary.LittleEndian
	case string(p[:4]) == "MM\x00*":
		order = binary.BigEndian
	default:
		return 0, false
	}
	directory := int64(order.Uint32(p[4:]))
	if directory+2 > int64(len(p)) {
		return 0, false
	}
	entries := p[directory+2:]
	for n := order.Uint16(p[directory:]); n > 0 && len(entries) >= 12; n-- {
		entry := entries[:12]
		entries = entries[12:]
		if order.Uint16(entry) != tagOrientation {
			continue
		}
		// Of several values the first counts. Pillow takes any kind of integer but BYTE.
		const short, long, signedByte, signedShort, signedLong, ifd = 3, 4, 6, 8, 9, 13
		switch kind, count := order.Uint16(entry[2:]), order.Uint32(entry[4:]); {
		case kind == signedByte && count >= 1 && count <= 4:
			return int(entry[8]), true
		case (kind == short || kind == signedShort) && (count == 1 || count == 2):
			return int(order.Uint16(entry[8:])), true
		case (kind == long || kind == signedLong || kind == ifd) && count == 1:
			return int(order.Uint32(entry[8:])), true
		}
	}
	return 0, false
}

// xmpOrientation returns the value of tiff:Orientation, one digit, as an
// attribute or an element, and whether there is one.
func xmpOrientation(p []byte) (int, bool) {
	for _, name := range []string{`tiff:Orientation="`, `tiff:Orientation>`} {
		_, value, found := bytes.Cut(p, []byte(name))
		if found && len(value) > 0 && value[0] >= '0' && value[0] <= '9' {
			return int(value[0] - '0'), true
		}
	}
	return 0, false
}
