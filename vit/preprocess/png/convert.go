package png

import "fmt"

// A converter writes len(dst)/3 pixels of a scanline, from x on, as R, G, B.
type converter func(dst, line []byte, x int)

// converter returns that of the image.
func (d *Decoder) converter() (converter, error) {
	size, step := d.bitsPerPixel/8, d.depth/8 // bytes of a pixel and of a sample
	switch d.colorType {
	case trueColor, colorAlpha:
		if d.bitsPerPixel == 24 {
			return func(dst, line []byte, x int) { copy(dst, line[3*x:]) }, nil
		}
		return pick(size, step, 2*step), nil
	case grayAlpha:
		return pick(size, 0, 0), nil
	case gray:
		if d.depth == 16 {
			return pick(size, 0, 0), nil
		}
		return d.look(grays(d.depth)), nil
	}
	n := len(d.palette)
	if n == 0 || n%3 != 0 || n > 3<<d.depth {
		return nil, fmt.Errorf("png: a palette of %d bytes for indices of %d bits", n, d.depth)
	}
	table := grays(8)
	for i := range n / 3 {
		copy(table[i][:], d.palette[3*i:])
	}
	return d.look(table), nil
}

// pick takes three bytes of each pixel of size bytes: the first, and those at
// green and blue.
func pick(size, green, blue int) converter {
	return func(dst, line []byte, x int) {
		line = line[x*size:]
		for i := range len(dst) / 3 {
			p, q := line[i*size:][:size], dst[3*i:][:3:3]
			q[0], q[1], q[2] = p[0], p[green], p[blue]
		}
	}
}

// look takes from the table what indices of up to 8 bits say. The leftmost pixel
// of a byte is in its high bits.
func (d *Decoder) look(table *[256][3]byte) converter {
	depth := d.depth
	mask := byte(1<<depth - 1)
	return func(dst, line []byte, x int) {
		for i := range len(dst) / 3 {
			at := (x + i) * depth
			index := line[at>>3] >> (8 - depth - at&7) & mask
			copy(dst[3*i:3*i+3], table[index][:])
		}
	}
}

// grays are the colours of gray samples: the largest is white.
func grays(depth int) *[256][3]byte {
	table := new([256][3]byte)
	for i := range 1 << depth {
		v := byte(i * 255 / (1<<depth - 1))
		table[i] = [3]byte{v, v, v}
	}
	return table
}
