package answer

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"strconv"
	"sync"
	"time"
)

// flushAt is the number of buffered bytes at which a writer passes them on.
const flushAt = 16 << 10

// WriteJSON writes the answer as one JSON object, without a final newline.
func (a *Answer) WriteJSON(w io.Writer) error {
	s := newStream(w)
	b := append(s.b, '{')
	b = appendStringField(b, "model", a.Model)
	b = append(b, ',')
	b = appendStringField(b, "model_digest", a.ModelDigest)
	b = append(b, ',')
	b = appendStringField(b, "preprocessing", a.Preprocessing)
	b = append(b, ',')
	b = appendStringField(b, "device", a.Device)
	b = append(b, ',')
	b = appendStringField(b, "precision", a.Precision)
	b = append(b, ',')
	b = appendStringField(b, "output", a.Output)
	b = append(b, `,"dim":`...)
	b = strconv.AppendInt(b, int64(a.Dim()), 10)
	b = append(b, `,"normalized":`...)
	b = strconv.AppendBool(b, a.Normalized)
	if a.Synthetic {
		b = append(b, `,"synthetic":true`...)
	}
	b = append(b, `,"data":[`...)

	s.b = b
	for i := range a.Data {
		if i > 0 {
			s.b = append(s.b, ',')
		}
		a.item(s, &a.Data[i])
	}
	s.b = append(s.b, ']')
	if t := a.Timing; t != nil {
		s.b = append(s.b, `,"timing_ms":{"queue":`...)
		s.b = appendMillis(s.b, t.Queue)
		s.b = append(s.b, `,"preprocess":`...)
		s.b = appendMillis(s.b, t.Preprocess)
		s.b = append(s.b, `,"compute":`...)
		s.b = appendMillis(s.b, t.Compute)
		s.b = append(s.b, `,"total":`...)
		s.b = appendMillis(s.b, t.Total)
		s.b = append(s.b, '}')
	}
	s.b = append(s.b, '}')
	return s.close()
}

// WriteJSONLines writes each element of Data as one line of JSON.
func (a *Answer) WriteJSONLines(w io.Writer) error {
	s := newStream(w)
	for i := range a.Data {
		a.item(s, &a.Data[i])
		s.b = append(s.b, '\n')
	}
	return s.close()
}

func (a *Answer) item(s *stream, it *Item) {
	s.b = append(s.b, `{"index":`...)
	s.b = strconv.AppendInt(s.b, int64(it.Index), 10)
	switch {
	case it.ID != "":
		s.b = append(s.b, ',')
		s.b = appendStringField(s.b, "id", it.ID)
	case it.Image != "":
		s.b = append(s.b, ',')
		s.b = appendStringField(s.b, "image", it.Image)
	}
	if it.Err != nil {
		s.b = append(s.b, `,"error":{`...)
		s.b = appendStringField(s.b, "code", it.Err.Code)
		s.b = append(s.b, ',')
		s.b = appendStringField(s.b, "message", it.Err.Message)
		s.b = append(s.b, "}}"...)
		return
	}
	if len(a.Shape) > 1 {
		s.b = append(s.b, `,"shape":[`...)
		for i, d := range a.Shape {
			if i > 0 {
				s.b = append(s.b, ',')
			}
			s.b = strconv.AppendInt(s.b, int64(d), 10)
		}
		s.b = append(s.b, ']')
	}
	if it.Crop != "" {
		s.b = append(s.b, ',')
		s.b = appendStringField(s.b, "crop", it.Crop)
	}
	s.b = append(s.b, `,"embedding":`...)
	s.values(it.Embedding, a.Base64)
	s.b = append(s.b, '}')
}

// AppendFloat appends the shortest decimal that reads back as v. JSON has no
// NaN and no infinity: they become null.
func AppendFloat(dst []byte, v float32) []byte {
	if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, float64(v), 'g', -1, 32)
}

// AppendString appends s as a JSON string.
func AppendString(dst []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic("answer: json.Marshal of a string: " + err.Error()) // documented never to fail
	}
	return append(dst, quoted...)
}

func appendStringField(dst []byte, name, value string) []byte {
	dst = append(dst, '"')
	dst = append(dst, name...)
	dst = append(dst, `":`...)
	return AppendString(dst, value)
}

// appendMillis appends d in milliseconds with three decimals.
func appendMillis(dst []byte, d time.Duration) []byte {
	return strconv.AppendFloat(dst, float64(d)/float64(time.Millisecond), 'f', 3, 64)
}

// A stream is a buffer in front of a writer that remembers the first error.
type stream struct {
	w   io.Writer
	b   []byte
	err error
}

var streams = sync.Pool{New: func() any { return &stream{b: make([]byte, 0, 2*flushAt)} }}

func newStream(w io.Writer) *stream {
	s := streams.Get().(*stream)
	s.w, s.b, s.err = w, s.b[:0], nil
	return s
}

// close writes what is left and gives the stream back.
func (s *stream) close() error {
	err := s.flush()
	s.w = nil
	streams.Put(s)
	return err
}

func (s *stream) flush() error {
	if s.err == nil {
		_, s.err = s.w.Write(s.b)
	}
	s.b = s.b[:0]
	return s.err
}

func (s *stream) flushIfFull() {
	if len(s.b) >= flushAt {
		s.flush()
	}
}

// values writes an embedding as JSON.
func (s *stream) values(v []float32, asBase64 bool) {
	if asBase64 {
		s.base64(v)
	} else {
		s.numbers(v)
	}
}

func (s *stream) numbers(v []float32) {
	s.b = append(s.b, '[')
	for i, x := range v {
		if i > 0 {
			s.b = append(s.b, ',')
		}
		s.b = AppendFloat(s.b, x)
		s.flushIfFull()
	}
	s.b = append(s.b, ']')
}

// base64Group is a number of values whose bytes make whole base64 quanta, so
// that groups can be encoded one after the other.
const base64Group = 3 * 256

func (s *stream) base64(v []float32) {
	var raw [4 * base64Group]byte
	s.b = append(s.b, '"')
	for len(v) > 0 {
		n := min(len(v), base64Group)
		le := appendLE(raw[:0], v[:n])
		s.b = base64.StdEncoding.AppendEncode(s.b, le)
		s.flushIfFull()
		v = v[n:]
	}
	s.b = append(s.b, '"')
}

// raw writes the values as little-endian float32.
func (s *stream) raw(v []float32) {
	for len(v) > 0 {
		n := min(len(v), flushAt/4)
		s.b = appendLE(s.b, v[:n])
		s.flushIfFull()
		v = v[n:]
	}
}

func appendLE(dst []byte, v []float32) []byte {
	for _, x := range v {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
	}
	return dst
}
