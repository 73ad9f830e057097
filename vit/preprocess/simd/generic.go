package simd

// generic is the tier in portable Go.
var generic = Tier{
	Name:       "generic",
	IDCT:       idct,
	H2V1:       h2v1,
	H1V2:       h1v2,
	H2V2:       h2v2,
	RGB:        rgb,
	Interleave: interleave,
	Across:     across,
	Down:       down,
}

// limit saturates to 16 bits.
func limit(v int32) int32 { return min(max(v, -1<<15), 1<<15-1) }

// clamp saturates to a byte.
func clamp(v int32) byte {
	if uint32(v) > 255 {
		if v < 0 {
			return 0
		}
		return 255
	}
	return byte(v)
}
