package jpeg

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// acRefineReference refines a block as T.81, G.1.2.3 has it, bit by bit.
func acRefineReference(s *scan, h *huffman, block *[64]int16) {
	bit := func() bool { return s.bits.bits(1) != 0 }
	refine := func(c *int16) {
		if bit() && *c>>s.low&1 == 0 { // damage may have set it
			if *c < 0 {
				*c -= 1 << s.low
			} else {
				*c += 1 << s.low
			}
		}
	}
	k := s.first
	for ; s.eobRun == 0 && k <= s.last; k++ {
		symbol := symbolReference(&s.bits, h)
		run, value := int(symbol>>4), int16(0)
		switch {
		case symbol&15 != 0 && bit():
			value = 1
		case symbol&15 != 0:
			value = -1
		case run < 15:
			s.eobRun = 1 << run
			for i := run - 1; i >= 0; i-- {
				s.eobRun += s.bits.bits(1) << i
			}
		}
		if s.eobRun > 0 {
			break
		}
		for ; k <= s.last; k++ {
			if c := &block[naturalOrder[k]]; *c != 0 {
				refine(c)
			} else if run--; run < 0 {
				break
			}
		}
		if value != 0 {
			block[naturalOrder[k]] = value << s.low
		}
	}
	if s.eobRun == 0 {
		return
	}
	for ; k <= s.last; k++ {
		if c := &block[naturalOrder[k]]; *c != 0 {
			refine(c)
		}
	}
	s.eobRun--
}

// symbolReference decodes a symbol (T.81, F.2.2.3).
func symbolReference(b *bitReader, h *huffman) byte {
	code := int32(0)
	for length := 1; length <= 16; length++ {
		code = code<<1 | b.bits(1)
		if code <= h.maxCode[length] {
			return h.symbols[code+h.offset[length]]
		}
	}
	b.bits(1)
	return 0
}

// randomHuffman is a table of codes of many lengths. Common symbols are those of
// refinement; damaged tables have others.
func randomHuffman(t *testing.T, r *rand.Rand) *huffman {
	var counts [16]byte
	var symbols []byte
	for free, length := 1, 0; length < 16; length++ {
		free *= 2
		n := min(r.IntN(free), 8)
		if length == 15 {
			n = min(free-1, 100)
		}
		free -= n
		counts[length] = byte(n)
		for range n {
			symbol := byte(r.IntN(16))<<4 | byte(r.IntN(2))
			if r.IntN(8) == 0 {
				symbol = byte(r.Uint32())
			}
			symbols = append(symbols, symbol)
		}
	}
	h, _, err := newHuffman(append(counts[:], symbols...))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestACRefine(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		const blocks = 8
		data := make([]byte, 0, blocks*64*6)
		for len(data)+2 < cap(data) {
			v := byte(r.Uint32())
			if data = append(data, v); v == 0xff {
				data = append(data, 0)
			}
		}
		c := component{coefficients: make([]int16, 64*blocks), nonzero: make([]uint64, blocks)}
		s := &scan{first: 1 + r.IntN(63), low: uint(r.IntN(14)), bits: bitReader{data: data}, refiner: new(refiner)}
		s.last = s.first + r.IntN(64-s.first)
		s.parts = []part{{component: &c, ac: randomHuffman(t, r)}}
		for n := range blocks {
			for k, density := 1, r.IntN(65); k < 64; k++ {
				v := int16(r.IntN(31)-15) << min(s.low+1, 11)
				if damaged := r.IntN(50) == 0; damaged {
					v = int16(r.Uint32())
				}
				if v != 0 && r.IntN(64) < density {
					c.coefficients[64*n+int(naturalOrder[k])] = v
					c.nonzero[n] |= 1 << k
				}
			}
		}
		want, reference := slices.Clone(c.coefficients), *s
		s.refiner.init(s)
		for n := range blocks {
			s.acRefine(&s.parts[0], n)
			block := (*[64]int16)(want[64*n:])
			acRefineReference(&reference, s.parts[0].ac, block)
			if got := c.coefficients[64*n:][:64]; !slices.Equal(got, block[:]) {
				t.Fatalf("seed %d, coefficients %d to %d, bit %d, block %d:\n%d, want\n%d", seed, s.first, s.last, s.low, n, got, *block)
			}
			for k := 1; k < 64; k++ {
				if got := c.nonzero[n]>>k&1 != 0; got != (block[naturalOrder[k]] != 0) {
					t.Fatalf("seed %d, block %d: the mask %#x is wrong about coefficient %d", seed, n, c.nonzero[n], k)
				}
			}
			if s.eobRun != reference.eobRun {
				t.Fatalf("seed %d, block %d: %d blocks end, want %d", seed, n, s.eobRun, reference.eobRun)
			}
		}
		if got, want := s.bits.long(40), reference.bits.long(40); got != want {
			t.Fatalf("seed %d: the next bits are %x, want %x", seed, got, want)
		}
	}
}
