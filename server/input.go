package server

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"strings"

	"vith/server/answer"
)

// An input is one image of a request as it was sent, or the reason why there
// are no bytes to decode.
type input struct {
	id   string // the client's name for it
	name string // file name
	data []byte // encoded image
	url  string // where it is, if it is not here
	err  *answer.Error
}

// readInputs reads the images and options of a request. raw means that the
// whole body is one image.
func (s *Server) readInputs(r *request) (in []input, o options, raw bool, err error) {
	o = s.defaultOptions()
	if err := o.setQuery(r.QueryArgs()); err != nil {
		return nil, o, false, err
	}
	body, err := s.readBody(r)
	if err != nil {
		return nil, o, false, err
	}
	if len(body) == 0 {
		return nil, o, false, badRequest("empty_body", "the body is empty; send an image, a form of images or JSON")
	}
	// A type that cannot be parsed names no format that we know of, so what
	// follows is taken for an image.
	mediaType, params, _ := mime.ParseMediaType(string(r.Request.Header.ContentType()))
	switch mediaType {
	case "multipart/form-data":
		in, err = parseForm(body, params["boundary"], s.config.MaxClientBatchSize, &o)
	case "application/json":
		in, err = parseJSON(body, embedShape, s.config.MaxClientBatchSize, &o)
	default:
		return []input{{data: body}}, o, true, nil
	}
	if err == nil && len(in) == 0 {
		err = badRequest("no_images", "the request has no images")
	}
	if err != nil {
		return nil, o, false, err
	}
	return in, o, false, s.holdInputs(r, in)
}

// holdInputs admits the memory of images that are copies of what the body has.
func (s *Server) holdInputs(r *request, in []input) error {
	n := 0
	for i := range in {
		n += len(in[i].data)
	}
	return s.holdBytes(r, n)
}

func tooManyImages(limit int) *apiError {
	return tooLarge("too_many_images", "the request has more than %d images (--max-client-batch-size); send several requests", limit)
}

// textInput returns the image in a data URI, in bare base64 or at a URL, which is
// still to be fetched.
func textInput(text []byte) (in input) {
	scheme, rest, ok := bytes.Cut(text, []byte(":"))
	if ok {
		switch strings.ToLower(string(scheme[:min(len(scheme), 8)])) {
		case "data":
			header, payload, ok := bytes.Cut(rest, []byte(","))
			if !ok || !strings.HasSuffix(strings.ToLower(string(header)), ";base64") {
				in.err = &answer.Error{Code: "invalid_data_uri", Message: "the data URI is not of the form data:TYPE;base64,DATA"}
				return in
			}
			text = payload
		case "http", "https":
			in.url = string(text)
			return in
		}
	}
	data, err := decodeBase64(text)
	if err != nil {
		in.err = &answer.Error{Code: "invalid_base64", Message: fmt.Sprintf("the image is not base64: %v", err)}
		return in
	}
	in.data = data
	return in
}

// decodeBase64 decodes either alphabet of RFC 4648, padded or not, with or
// without line breaks.
func decodeBase64(text []byte) ([]byte, error) {
	encoding := base64.RawStdEncoding
	if bytes.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	return encoding.AppendDecode(nil, bytes.TrimRight(text, "=\r\n"))
}
