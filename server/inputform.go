package server

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"
)

// parseForm returns the files of a multipart/form-data body, under whatever
// names, and takes its other fields as options.
func parseForm(body []byte, boundary string, limit int, o *options) ([]input, error) {
	if boundary == "" {
		return nil, badRequest("malformed_form", "the Content-Type of the form has no boundary")
	}
	var in []input
	form := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := form.NextRawPart()
		if errors.Is(err, io.EOF) {
			return in, nil
		}
		if err != nil {
			return nil, badRequest("malformed_form", "the form cannot be read: %v", err)
		}
		if isFile(part) && len(in) == limit {
			return nil, tooManyImages(limit)
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return nil, badRequest("malformed_form", "the form cannot be read: %v", err)
		}
		if isFile(part) {
			in = append(in, input{name: part.FileName(), data: data})
			continue
		}
		if err := o.set(part.FormName(), string(data)); err != nil {
			return nil, err
		}
	}
}

// isFile tells an image from a field: it has a file name, or a type that is not
// text.
func isFile(part *multipart.Part) bool {
	if part.FileName() != "" {
		return true
	}
	mediaType, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
	return mediaType != "" && !strings.HasPrefix(mediaType, "text/")
}
