package http

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
)

// An outcome is what became of a request.
type outcome int

const (
	right    outcome = iota // each good image has its vector, each bad one its error
	rejected                // for its bad images, as it must be
	refused                 // 429
	failed                  // another status than is due
	wrong                   // a vector that is not its image's, or none where there must be one
	lost                    // no answer
	outcomes
)

// near is the largest distance of a vector from the first one of its image,
// relative to its norm. bf16 may differ by 1 - cos = 6e-4 from float32, which is
// sqrt(2 x 6e-4) = 0.035.
const near = 0.05

// A known is what an image's first answer was.
type known struct {
	vector []float32
	text   []byte // as it stands in a JSON answer: a list or a string
}

// A checker judges answers. Safe for concurrent use once it knows all images.
type checker struct {
	accept Form
	mix    *mix
	known  []known // by image; the bad ones have none
}

// learn keeps an image's first answer.
func (c *checker) learn(image, status int, body []byte) error {
	name := c.mix.images[image].Name
	if status != http.StatusOK {
		return fmt.Errorf("the server answered image %s with %d: %.200s", name, status, body)
	}
	items, err := parse(c.accept, body)
	if err != nil {
		return fmt.Errorf("the answer to image %s: %w", name, err)
	}
	if c.accept == Raw {
		items = []item{{vector: floats(body)}}
	}
	if len(items) != 1 || len(items[0].vector) == 0 {
		return fmt.Errorf("the answer to image %s has %d vectors, want 1: %.200s", name, len(items), body)
	}
	for i, k := range c.known {
		if k.vector != nil && distance(items[0].vector, k.vector) == 0 {
			return fmt.Errorf("images %s and %s have the same vector, so that one could not be told from the other: leave one out",
				c.mix.images[i].Name, name)
		}
	}
	c.known[image] = known{items[0].vector, items[0].text}
	return nil
}

// A verdict is an outcome with what there is to say about it.
type verdict struct {
	outcome outcome
	images  int     // with their vectors
	inexact int     // of them: with other bits than the first time
	worst   float64 // relative distance of those from the first ones
	why     string  // for anything but right, rejected and refused
}

// judge returns what became of a request for those images.
func (c *checker) judge(images []int, status int, body []byte) verdict {
	good := 0
	for _, at := range images {
		if at < c.mix.good {
			good++
		}
	}
	strict := c.accept == Raw || c.accept == NPY // the first bad image fails the request
	reject := good == 0 || strict && good < len(images)
	switch {
	case status == http.StatusTooManyRequests:
		return verdict{outcome: refused}
	case status == http.StatusOK && !reject:
		if good == len(images) && c.same(images, body) {
			return verdict{outcome: right, images: good}
		}
		return c.compare(images, body)
	case reject && (status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge || status == http.StatusUnsupportedMediaType):
		return verdict{outcome: rejected}
	case status == http.StatusOK:
		return verdict{outcome: wrong, why: "vectors for an image that nobody can read"}
	}
	return verdict{outcome: failed, why: fmt.Sprintf("%d %s", status, errorCode(body))}
}

// errorCode returns the code in an error's answer.
func errorCode(body []byte) string {
	var a struct {
		Error struct{ Code string }
	}
	if json.Unmarshal(body, &a) != nil || a.Error.Code == "" {
		return "without a code"
	}
	return a.Error.Code
}

// same reports whether the answer has, bit for bit, the images' first vectors and
// no others. It is quick, and enough for nearly all answers.
func (c *checker) same(images []int, body []byte) bool {
	switch c.accept {
	case Raw, NPY:
		rows := body
		if c.accept == NPY {
			rows = npyRows(body)
		}
		for _, at := range images {
			want := c.known[at].vector
			if len(rows) < 4*len(want) || !equalLE(rows[:4*len(want)], want) {
				return false
			}
			rows = rows[4*len(want):]
		}
		return len(rows) == 0
	}
	field := []byte(`"embedding":`)
	for _, at := range images {
		_, rest, ok := bytes.Cut(body, field)
		if !ok || !bytes.HasPrefix(rest, c.known[at].text) {
			return false
		}
		body = rest[len(c.known[at].text):]
	}
	return !bytes.Contains(body, field)
}

func equalLE(b []byte, v []float32) bool {
	for i, x := range v {
		if binary.LittleEndian.Uint32(b[4*i:]) != math.Float32bits(x) {
			return false
		}
	}
	return true
}

// compare judges an answer 200 by all that is in it.
func (c *checker) compare(images []int, body []byte) (v verdict) {
	amiss := func(format string, args ...any) verdict {
		v.outcome, v.why = wrong, fmt.Sprintf(format, args...)
		return v
	}
	items, err := parse(c.accept, body)
	if err != nil {
		return amiss("an answer that cannot be read: %v", err)
	}
	if c.accept == Raw {
		items = nil
		for _, at := range images {
			n := min(4*len(c.known[at].vector), len(body))
			items = append(items, item{vector: floats(body[:n])})
			body = body[n:]
		}
		if len(body) > 0 {
			return amiss("%d bytes more than the images' vectors", len(body))
		}
	}
	if len(items) != len(images) {
		return amiss("%d vectors for %d images", len(items), len(images))
	}
	for i, at := range images {
		name, it := c.mix.images[at].Name, items[i]
		switch {
		case at >= c.mix.good && it.code != "":
			continue
		case at >= c.mix.good:
			return amiss("a vector for the bad image %s", name)
		case it.code != "":
			return amiss("the error %s for the good image %s", it.code, name)
		}
		d := distance(it.vector, c.known[at].vector)
		for other, k := range c.known {
			if other != at && k.vector != nil && distance(it.vector, k.vector) < d {
				return amiss("the vector of image %s for image %s", c.mix.images[other].Name, name)
			}
		}
		if !(d <= near) {
			return amiss("a vector of image %s at distance %.2g from its first one", name, d)
		}
		v.images++
		if d > 0 {
			v.inexact++
			v.worst = max(v.worst, d)
		}
	}
	return v
}

// distance is the norm of a - b, relative to that of b; NaN if they are not alike
// in length.
func distance(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.NaN()
	}
	diff, norm := 0.0, 0.0
	for i, x := range b {
		d := float64(a[i]) - float64(x)
		diff += d * d
		norm += float64(x) * float64(x)
	}
	if diff == 0 {
		return 0
	}
	return math.Sqrt(diff / norm)
}

// An item is one image's part of an answer.
type item struct {
	vector []float32
	text   []byte
	code   string // of its error; "": none
}

// parse reads an answer in JSON or NPY; one in Raw does not say where a vector
// ends.
func parse(accept Form, body []byte) ([]item, error) {
	switch accept {
	case Raw:
		return nil, nil
	case NPY:
		rows, columns, err := npyShape(body)
		if err != nil {
			return nil, err
		}
		values := floats(npyRows(body))
		if len(values) != rows*columns {
			return nil, fmt.Errorf("npy of %d values says that it has %d x %d", len(values), rows, columns)
		}
		var items []item
		for i := range rows {
			items = append(items, item{vector: values[i*columns : (i+1)*columns]})
		}
		return items, nil
	}
	var a struct {
		Data []struct {
			Index     int
			Embedding json.RawMessage
			Error     struct{ Code string }
		}
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	var items []item
	for i, d := range a.Data {
		if d.Index != i {
			return nil, fmt.Errorf("item %d has index %d", i, d.Index)
		}
		it := item{text: d.Embedding, code: d.Error.Code}
		if it.code == "" {
			vector, err := numbers(accept, d.Embedding)
			if err != nil {
				return nil, fmt.Errorf("item %d: %w", i, err)
			}
			it.vector = vector
		}
		items = append(items, it)
	}
	return items, nil
}

// numbers reads an embedding in JSON.
func numbers(accept Form, text []byte) (v []float32, err error) {
	if accept == JSON {
		return v, json.Unmarshal(text, &v)
	}
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(s)
	return floats(b), err
}

// floats reads little-endian float32.
func floats(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

const npyMagic = "\x93NUMPY\x01\x00"

// npyRows returns what follows the header of a file of version 1.0.
func npyRows(b []byte) []byte {
	if len(b) < 10 || string(b[:8]) != npyMagic {
		return nil
	}
	end := 10 + int(binary.LittleEndian.Uint16(b[8:]))
	return b[min(end, len(b)):]
}

// npyShape returns the images of a file and the values of each.
func npyShape(b []byte) (rows, columns int, err error) {
	values := npyRows(b)
	if values == nil {
		return 0, 0, errors.New("not npy 1.0")
	}
	header := b[10 : len(b)-len(values)]
	_, shape, ok := bytes.Cut(header, []byte("'shape': ("))
	if !ok {
		return 0, 0, fmt.Errorf("npy without a shape: %q", header)
	}
	shape, _, _ = bytes.Cut(shape, []byte(")"))
	columns = 1
	for i, field := range bytes.Split(bytes.TrimSuffix(shape, []byte(",")), []byte(",")) {
		n := 0
		if _, err := fmt.Sscan(string(field), &n); err != nil {
			return 0, 0, fmt.Errorf("npy of shape (%s)", shape)
		}
		if i == 0 {
			rows = n
		} else {
			columns *= n
		}
	}
	return rows, columns, nil
}
