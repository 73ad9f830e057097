package webp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A chunk of a RIFF file.
type chunk struct {
	id   string // four characters
	data []byte
}

// riffBody returns the chunks of a WebP file.
func riffBody(data []byte) ([]byte, error) {
	if len(data) < 12 {
		return nil, truncated("in the RIFF header")
	}
	if string(data[:4]) != "RIFF" || string(data[8:12]) != "WEBP" {
		return nil, errors.New("webp: no RIFF header of type WEBP")
	}
	size := int64(binary.LittleEndian.Uint32(data[4:]))
	if size < 4 {
		return nil, fmt.Errorf("webp: RIFF size %d", size)
	}
	if size > int64(len(data)-8) {
		return nil, truncated(fmt.Sprintf("after %d bytes; the RIFF header announces %d", len(data), size+8))
	}
	return data[12 : 8+size], nil
}

// nextChunk splits the first chunk off.
func nextChunk(data []byte) (c chunk, rest []byte, err error) {
	if len(data) < 8 {
		return chunk{}, nil, truncated("in a chunk header")
	}
	size := int64(binary.LittleEndian.Uint32(data[4:]))
	c.id = string(data[:4])
	data = data[8:]
	if size > int64(len(data)) {
		return chunk{}, nil, truncated(fmt.Sprintf("in chunk %q", c.id))
	}
	c.data = data[:size]
	padded := min(size+size&1, int64(len(data))) // the last chunk may lack its padding
	return c, data[padded:], nil
}

// truncated is the error for data that ends too early.
func truncated(where string) error {
	return fmt.Errorf("webp: the data ends %s: %w", where, io.ErrUnexpectedEOF)
}

func le16(p []byte) int { return int(binary.LittleEndian.Uint16(p)) }
func le24(p []byte) int { return int(p[0]) | int(p[1])<<8 | int(p[2])<<16 }
