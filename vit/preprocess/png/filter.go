package png

import (
	"fmt"
	"io"
)

// scanlines reads the rows of an image, or of a reduced one, and reverses their
// filters (section 9). Those work on bytes, whatever a sample is.
type scanlines struct {
	r          io.Reader
	now, above []byte // the filter type, then a row
	distance   int    // to the byte of the pixel to the left
}

// scanlines returns the reader of rows of width pixels.
func (d *Decoder) scanlines(r io.Reader, width int) *scanlines {
	n := 1 + (width*d.bitsPerPixel+7)/8
	return &scanlines{r, make([]byte, n), make([]byte, n), max(d.bitsPerPixel/8, 1)}
}

// next returns the next row. It is valid until the call after.
func (s *scanlines) next() ([]byte, error) {
	s.now, s.above = s.above, s.now
	if _, err := io.ReadFull(s.r, s.now); err == io.EOF {
		return nil, io.ErrUnexpectedEOF
	} else if err != nil {
		return nil, err
	}
	row, above := s.now[1:], s.above[1:]
	switch filter := s.now[0]; filter {
	case 0:
	case 1:
		unfilterSub(row, s.distance)
	case 2:
		unfilterUp(row, above)
	case 3:
		unfilterAverage(row, above, s.distance)
	case 4:
		unfilterPaeth(row, above, s.distance)
	default:
		return nil, fmt.Errorf("png: filter type %d", filter)
	}
	return row, nil
}

// unfilterSub adds the bytes to the left.
func unfilterSub(row []byte, distance int) {
	for i := distance; i < len(row); i++ {
		row[i] += row[i-distance]
	}
}

// unfilterUp adds the bytes above.
func unfilterUp(row, above []byte) {
	above = above[:len(row)]
	for i, v := range above {
		row[i] += v
	}
}

// unfilterAverage adds the means of the bytes to the left and above.
func unfilterAverage(row, above []byte, distance int) {
	above = above[:len(row)]
	for c := range distance {
		left := 0
		for i := c; i < len(row); i += distance {
			left = int(row[i] + byte((left+int(above[i]))/2))
			row[i] = byte(left)
		}
	}
}

// unfilterPaeth adds of the bytes to the left, above, and above left the one that
// is nearest to left + above - above left; of equal ones the first.
func unfilterPaeth(row, above []byte, distance int) {
	above = above[:len(row)]
	for c := range distance {
		left, corner := 0, 0
		for i := c; i < len(row); i += distance {
			up := int(above[i])
			toLeft, toUp := up-corner, left-corner
			toCorner := abs(toLeft + toUp)
			toLeft, toUp = abs(toLeft), abs(toUp)
			nearest := corner
			if toUp <= toCorner {
				nearest = up
			}
			if toLeft <= min(toUp, toCorner) {
				nearest = left
			}
			left, corner = int(row[i]+byte(nearest)), up
			row[i] = byte(left)
		}
	}
}

// abs has no branch: the signs of differences are random.
func abs(v int) int {
	sign := v >> 63
	return v ^ sign - sign
}
