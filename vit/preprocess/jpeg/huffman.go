package jpeg

import "fmt"

// lookupBits is the length of the codes that one lookup decodes.
const lookupBits = 10

// A huffman is a decoding table (T.81, annex C and F.2.2.3).
//
// An entry of lookup, found with the next lookupBits bits of the data, is
//
//	value << 16 | symbol << 8 | total << 4 | length
//
// length is that of the code, 0 if it is longer than lookupBits. If the code
// and the extra bits that its symbol asks for fit in lookupBits, total is the
// length of both and value the signed number they make; otherwise total is 0.
type huffman struct {
	lookup [1 << lookupBits]uint32
	// For codes of each length: the largest, -1 if there is none, and what to
	// add to a code to get the index of its symbol.
	maxCode, offset [17]int32
	symbols         [256]byte
	maxSymbol       byte
}

// huffmanTables are the tables of a class; nil ones are not defined.
type huffmanTables [4]*huffman

// newHuffman makes a table from the counts and symbols of a DHT segment, and
// returns how many bytes they take.
func newHuffman(p []byte) (*huffman, int, error) {
	counts, n := p[:16], 0
	for _, c := range counts {
		n += int(c)
	}
	if n > 256 || len(p) < 16+n {
		return nil, 0, FormatError(fmt.Sprintf("Huffman table of %d codes in %d bytes", n, len(p)-16))
	}
	h := new(huffman)
	copy(h.symbols[:], p[16:16+n])
	code, k := int32(0), int32(0)
	for length := 1; length <= 16; length++ {
		h.maxCode[length] = -1
		h.offset[length] = k - code
		for range counts[length-1] {
			if code >= 1<<length-1 { // no code is all ones
				return nil, 0, FormatError("Huffman table with too many codes")
			}
			if length <= lookupBits {
				h.fill(uint32(code), length, h.symbols[k])
			}
			h.maxSymbol = max(h.maxSymbol, h.symbols[k])
			h.maxCode[length] = code
			code++
			k++
		}
		code <<= 1
	}
	return h, 16 + n, nil
}

// fill writes the entries of lookup that begin with code.
func (h *huffman) fill(code uint32, length int, symbol byte) {
	free := lookupBits - length // bits after the code
	first := code << free
	entry := uint32(symbol)<<8 | uint32(length)
	for rest := range uint32(1) << free {
		e := entry
		if size := int(symbol & 15); size > 0 && size <= free {
			value := extend(int32(rest>>(free-size)), uint(size))
			e |= uint32(uint16(value))<<16 | uint32(length+size)<<4
		}
		h.lookup[first+rest] = e
	}
}

// extend makes the signed number of size extra bits (T.81, F.2.2.1): those that
// begin with 0 are negative.
func extend(bits int32, size uint) int32 {
	if bits < 1<<(size-1) {
		return bits - 1<<size + 1
	}
	return bits
}

// symbol decodes the next symbol. At least 17 bits must be in the reservoir.
func (b *bitReader) symbol(h *huffman) byte {
	e := h.lookup[b.acc>>(64-lookupBits)]
	if length := uint(e & 15); length != 0 {
		b.skip(length)
		return byte(e >> 8)
	}
	return b.longSymbol(h)
}

// longSymbol decodes a symbol whose code is longer than lookupBits. Bits that
// are no code count as the symbol 0, and 17 of them are used up: libjpeg notices
// only then.
func (b *bitReader) longSymbol(h *huffman) byte {
	code := int32(b.acc >> 48)
	for length := lookupBits + 1; length <= 16; length++ {
		if c := code >> (16 - length); c <= h.maxCode[length] {
			b.skip(uint(length))
			return h.symbols[byte(c+h.offset[length])]
		}
	}
	b.skip(17)
	return 0
}
