package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"strings"

	"github.com/valyala/fasthttp"

	"vith/server/answer"
)

// openaiShape is the body of OpenAI's POST /v1/embeddings, where inputs are
// images. What else that API has, such as user, is ignored.
var openaiShape = jsonShape{"input", (*jsonParser).openaiInput, map[string]kind{
	"model": kindString, "encoding_format": kindString, "dimensions": kindNumber,
}}

// embedOpenAI answers POST /v1/embeddings in OpenAI's shape, with the server's
// own output and normalisation. That shape has no place for an image's error, so
// the first bad image fails the request.
//
// Source: OpenAI API reference, "Create embeddings".
func (s *Server) embedOpenAI(r *request) error {
	body, err := s.readBody(r)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return badRequest("empty_body", "the body is empty; send JSON with an input")
	}
	mediaType, _, _ := mime.ParseMediaType(string(r.Request.Header.ContentType()))
	if mediaType != "application/json" {
		return &apiError{
			status: fasthttp.StatusUnsupportedMediaType, code: "unsupported_media_type",
			message: fmt.Sprintf("the Content-Type is %q; it must be application/json", mediaType),
		}
	}
	o := s.defaultOptions()
	o.failFast = true
	in, err := parseJSON(body, openaiShape, s.config.MaxClientBatchSize, &o)
	if err != nil {
		return err
	}
	if len(in) == 0 {
		e := badRequest("no_images", "the input is empty; send one image or a list of images")
		e.param = "input"
		return e
	}
	if err := s.holdInputs(r, in); err != nil {
		return err
	}
	shape, err := s.check(o)
	if err != nil {
		return err
	}
	t, err := s.run(r, in, o, shape)
	if err != nil {
		return err
	}
	s.setHeaders(r, t, t.timing(r.start))
	if e := imageFailure(t, o.failFast, false); e != nil {
		e.param = fmt.Sprintf("input[%d]", e.data[0].Index)
		return e
	}
	a := s.answer(t, o, shape)
	r.SetContentType(string(formJSON))
	return send(r, a, a.WriteOpenAI)
}

// openaiInput reads one image or a list of them.
func (p *jsonParser) openaiInput(limit int) ([]input, error) {
	t, err := p.token()
	if err != nil {
		return nil, err
	}
	if text, ok := t.(string); ok {
		return []input{openaiImage([]byte(text))}, nil
	}
	if t != json.Delim('[') {
		return nil, invalidValue("input", "must be a string or a list of strings: images as data URIs")
	}
	return p.list("input", limit, func(p *jsonParser, name string) (input, error) {
		if p.raw[0] != '"' {
			return input{}, invalidValue(name, "must be a string: an image as a data URI")
		}
		text, err := unquote(p.raw)
		if err != nil {
			return input{}, malformedJSON(err)
		}
		return openaiImage(text), nil
	})
}

// openaiImage reads a data URI or URL. Clients of this API are used to send
// text, which is not taken for base64.
func openaiImage(text []byte) input {
	scheme, _, _ := bytes.Cut(text[:min(len(text), 8)], []byte(":"))
	switch strings.ToLower(string(scheme)) {
	case "data", "http", "https":
		return textInput(text)
	}
	return input{err: &answer.Error{Code: "not_an_image", Message: "the input is text; this model takes images, as data:image/jpeg;base64,..."}}
}

// listModels answers GET /v1/models.
func (s *Server) listModels(r *request) error {
	type model struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		OwnedBy string `json:"owned_by"`
	}
	return writeJSON(r.RequestCtx, fasthttp.StatusOK, struct {
		Object string  `json:"object"`
		Data   []model `json:"data"`
	}{"list", []model{{s.config.ModelName, "model", s.started.Unix(), "vith"}}})
}
