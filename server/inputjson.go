package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A jsonShape is what an endpoint's JSON looks like.
type jsonShape struct {
	images  string // the field with the images
	read    func(p *jsonParser, limit int) ([]input, error)
	options map[string]kind // the other fields; what is not named is ignored
}

var embedShape = jsonShape{"images", (*jsonParser).images, optionKinds}

// parseJSON returns the images of a JSON body and takes its other fields as
// options. The body is read once, value by value: nothing in it can make the
// server allocate more than a small multiple of the body, or decode more images
// than limit.
func parseJSON(body []byte, shape jsonShape, limit int, o *options) (in []input, err error) {
	p := jsonParser{dec: json.NewDecoder(bytes.NewReader(body))}
	if err := p.open('{', "the body", "an object"); err != nil {
		return nil, err
	}
	for p.dec.More() {
		name, err := p.token()
		if err != nil {
			return nil, err
		}
		if name == shape.images {
			if in, err = shape.read(&p, limit); err != nil {
				return nil, err
			}
			continue
		}
		if err := p.value(); err != nil {
			return nil, err
		}
		if kind, ok := shape.options[name.(string)]; ok {
			if err := o.setJSON(name.(string), kind, p.raw); err != nil {
				return nil, err
			}
		}
	}
	if _, err := p.token(); err != nil { // the closing brace
		return nil, err
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, malformedJSON(errors.New("there is more after the object"))
	}
	return in, nil
}

func malformedJSON(err error) *apiError {
	return badRequest("malformed_json", "the body is not valid JSON: %v", err)
}

// A jsonParser reads the tokens and values of one body.
type jsonParser struct {
	dec *json.Decoder
	raw json.RawMessage // the last value
}

func (p *jsonParser) token() (json.Token, error) {
	t, err := p.dec.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, malformedJSON(err)
	}
	return t, nil
}

// open reads the token that opens an object or array.
func (p *jsonParser) open(want json.Delim, name, kind string) error {
	t, err := p.token()
	if err != nil {
		return err
	}
	if t != want {
		return invalidValue(name, "must be %s", kind)
	}
	return nil
}

// value reads the next value into p.raw.
func (p *jsonParser) value() error {
	p.raw = p.raw[:0]
	if err := p.dec.Decode(&p.raw); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return malformedJSON(err)
	}
	return nil
}

func (p *jsonParser) images(limit int) ([]input, error) {
	if err := p.open('[', "images", "a list"); err != nil {
		return nil, err
	}
	return p.list("images", limit, (*jsonParser).image)
}

// list reads the rest of a list, each value of it with read.
func (p *jsonParser) list(name string, limit int, read func(p *jsonParser, name string) (input, error)) ([]input, error) {
	in := []input{}
	for p.dec.More() {
		if len(in) == limit {
			return nil, tooManyImages(limit)
		}
		if err := p.value(); err != nil {
			return nil, err
		}
		image, err := read(p, fmt.Sprintf("%s[%d]", name, len(in)))
		if err != nil {
			return nil, err
		}
		in = append(in, image)
	}
	_, err := p.token() // the closing bracket
	return in, err
}

// image reads p.raw as one image: text, or an object with id and data.
func (p *jsonParser) image(name string) (in input, err error) {
	var text []byte
	switch p.raw[0] {
	case '"':
		text, err = unquote(p.raw)
		if err != nil {
			return in, malformedJSON(err)
		}
		return textInput(text), nil
	case '{':
		var object struct {
			ID   string          `json:"id"`
			Data json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(p.raw, &object); err != nil {
			return in, invalidValue(name+".id", "must be a string")
		}
		if len(object.Data) == 0 || object.Data[0] != '"' {
			return in, invalidValue(name+".data", "must be a string")
		}
		if text, err = unquote(object.Data); err != nil {
			return in, malformedJSON(err)
		}
		in = textInput(text)
		in.id = object.ID
		return in, nil
	}
	return in, invalidValue(name, `must be a string or {"id":...,"data":...}`)
}

// unquote returns the text of a JSON string, in place where nothing is escaped,
// as in all base64.
func unquote(raw []byte) ([]byte, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	var text string
	err := json.Unmarshal(raw, &text)
	return []byte(text), err
}

// setJSON gives the option of that name the value of a JSON field, which must be
// of that kind.
func (o *options) setJSON(name string, want kind, raw json.RawMessage) error {
	if string(raw) == "null" {
		return nil
	}
	have := kindNumber
	text := raw
	switch raw[0] {
	case '"':
		have = kindString
		var err error
		if text, err = unquote(raw); err != nil {
			return malformedJSON(err)
		}
	case 't', 'f':
		have = kindBool
	case '{', '[':
		have = ""
	}
	if have != want {
		return invalidValue(name, "must be %s", want)
	}
	return o.set(name, string(text))
}
