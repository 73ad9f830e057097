package jpeg

import (
	"fmt"
	"sync"
)

// lookupBits is the length of the codes that one lookup decodes. Photos take a
// tenth more time with 9, and no less with 11 or 12.
const lookupBits = 10

// A huffman is a decoding table (T.81, annex C and F.2.2.3).
//
// An entry of lookup is found with the next lookupBits bits of the data:
//
//	value << 16 | symbol << 8 | bits
//
// If a code and the extra bits that its symbol asks for fit in lookupBits, value
// is the signed number that these make, which is never 0, and bits the length of
// both. If only the code fits, value is 0 and bits is its length. If not even
// the code fits the entry is 0.
type huffman struct {
	lookup [1 << lookupBits]uint32
	// For codes of each length: the largest, -1 if there is none, and what to
	// add to a code to get the index of its symbol.
	maxCode, offset [17]int32
	symbols         [256]byte
	maxSymbol       byte
}

// huffmans are tables that were used, for reuse.
var huffmans = sync.Pool{New: func() any { return new(huffman) }}

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
	h := huffmans.Get().(*huffman)
	*h = huffman{}
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
	entries := h.lookup[code<<free:][:1<<free]
	size := int(symbol & 15)
	if size == 0 || size > free {
		for i := range entries {
			entries[i] = uint32(symbol)<<8 | uint32(length)
		}
		return
	}
	same := len(entries) >> size // entries of equal extra bits
	for bits := range int32(1) << size {
		e := uint32(extend(bits, uint(size)))<<16 | uint32(symbol)<<8 | uint32(length+size)
		for i := range entries[:same] {
			entries[i] = e
		}
		entries = entries[same:]
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

// symbol returns the symbol at the top of acc, which has at least 17 bits, and
// the length of its code. e is the entry of lookup, which has no value.
func (h *huffman) symbol(acc uint64, e uint32) (symbol byte, length uint) {
	if e != 0 {
		return byte(e >> 8), uint(e & 63)
	}
	return h.longSymbol(acc)
}

// longSymbol is symbol for codes longer than lookupBits. Bits that are no code
// count as the symbol 0, and 17 of them are used up: libjpeg notices only then.
func (h *huffman) longSymbol(acc uint64) (symbol byte, length uint) {
	code := int32(acc >> 48)
	for length := lookupBits + 1; length <= 16; length++ {
		if c := code >> (16 - length); c <= h.maxCode[length] {
			return h.symbols[byte(c+h.offset[length])], uint(length)
		}
	}
	return 0, 17
}
