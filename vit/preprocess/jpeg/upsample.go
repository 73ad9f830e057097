package jpeg

// A component at half the resolution in a direction is interpolated with a
// triangle filter, 3/4 of the nearer sample and 1/4 of the farther one, whose
// rounding alternates between up and down (jdsample.c). Horizontally that needs
// more than 2 samples. Everything else is replicated.

// upsample returns row y of the image in component c, columns x0 to x1. It
// writes to buf, or returns the samples themselves if there is nothing to do.
func (o *output) upsample(c *component, y int, buf []byte) []byte {
	across, down := o.d.hMax/c.h, o.d.vMax/c.v
	switch {
	case across == 1 && down == 1:
		return c.row(y)[o.x0:o.x1]
	case across == 2 && down == 1 && c.width > 2:
		a, b, skip := o.range2(c)
		o.d.Tier.H2V1(buf, c.row(y)[a:b])
		return buf[skip:][:o.x1-o.x0]
	case across == 1 && down == 2:
		o.d.Tier.H1V2(buf, c.row(y / 2)[o.x0:o.x1], c.row(neighbour(y))[o.x0:o.x1], uint16(1+y&1))
		return buf[:o.x1-o.x0]
	case across == 2 && down == 2 && c.width > 2:
		a, b, skip := o.range2(c)
		o.d.Tier.H2V2(buf, c.row(y / 2)[a:b], c.row(neighbour(y))[a:b])
		return buf[skip:][:o.x1-o.x0]
	}
	buf = buf[:o.x1-o.x0]
	row := c.row(y / down)
	for i := range buf {
		buf[i] = row[(o.x0+i)/across]
	}
	return buf
}

// row is row y of the component, of those in memory. Rows outside the image
// repeat its first and last one.
func (c *component) row(y int) []byte {
	y = min(max(y, 0), c.height-1) % (2 * c.v * 8)
	return c.samples[y*c.stride:][:c.stride]
}

// neighbour is the farther of the two rows of half resolution around row y.
func neighbour(y int) int {
	if y&1 == 0 {
		return y/2 - 1
	}
	return y/2 + 1
}

// range2 is the range of samples of half resolution that the window's columns
// depend on, and how many columns these make before the window.
func (o *output) range2(c *component) (first, end, skip int) {
	first = max(o.x0/2-1, 0)
	end = min((o.x1-1)/2+2, c.width)
	return first, end, o.x0 - 2*first
}
