package server

import (
	"bufio"
	"fmt"
	"io"
	"mime"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"vith/server/answer"
)

// embed answers POST /api/embed.
func (s *Server) embed(r *request) error {
	in, o, raw, err := s.readInputs(r)
	if err != nil {
		return err
	}
	form := negotiate(string(r.Request.Header.Peek("Accept")))
	if form != formJSON { // there is no place for errors and crops
		o.failFast, o.crop = true, false
	}
	shape, err := s.check(o)
	if err != nil {
		return err
	}
	t, err := s.run(r, in, o, shape)
	if err != nil {
		return err
	}
	timing := t.timing(r.start)
	s.setHeaders(r, t, timing)
	if e := imageFailure(t, o.failFast, raw); e != nil {
		return e
	}
	a := s.answer(t, o, shape)
	a.Timing = &timing
	r.SetContentType(string(form))
	switch form {
	case formRaw:
		return send(r, a, a.WriteRaw)
	case formNPY:
		return send(r, a, a.WriteNPY)
	}
	return send(r, a, a.WriteJSON)
}

// answer returns the embeddings of a ticket with what there is to say about
// them.
func (s *Server) answer(t *ticket, o options, shape []int) *answer.Answer {
	return &answer.Answer{
		Model:         s.config.ModelName,
		ModelDigest:   s.info.ModelDigest,
		Preprocessing: s.info.Preprocessing,
		Device:        s.info.Device,
		Precision:     s.info.Precision,
		Output:        o.output,
		Shape:         shape,
		Normalized:    o.normalize,
		Synthetic:     s.info.Synthetic,
		Base64:        o.base64,
		Data:          t.results,
	}
}

// setHeaders says what the images went through.
func (s *Server) setHeaders(r *request, t *ticket, timing answer.Timing) {
	h := &r.Response.Header
	h.Set("x-vith-batch-size", strconv.Itoa(t.largestBatch()))
	h.Set("x-vith-model-digest", s.info.ModelDigest)
	h.Set("x-vith-preprocessing", s.info.Preprocessing)
	h.Set("x-queue-time", millis(timing.Queue))
	h.Set("x-preprocess-time", millis(timing.Preprocess))
	h.Set("x-inference-time", millis(timing.Compute))
}

// streamAbove is the size of the vectors, in bytes, above which an answer is
// encoded while it is sent instead of before: no Content-Length, but no copy of
// it in memory either.
const streamAbove = 4 << 20

// send writes the answer as the response's body.
func send(r *request, a *answer.Answer, write func(io.Writer) error) error {
	if a.RawSize() <= streamAbove {
		return write(r.Response.BodyWriter())
	}
	t := r.ticket
	t.hold()
	r.SetBodyStreamWriter(func(w *bufio.Writer) {
		defer t.release()
		write(w) // fails when the client has gone
	})
	return nil
}

// imageFailure returns the answer of a request none of whose images has an embedding,
// or one has none and the request was to fail then; nil if there is something to
// answer with. With one image, or the first bad one at fault, the error is that
// image's own.
func imageFailure(t *ticket, failFast, raw bool) *apiError {
	usable := t.usable()
	if usable == len(t.results) || usable > 0 && !failFast {
		return nil
	}
	var data []failedItem
	for _, it := range t.results {
		if it.Err != nil {
			data = append(data, failedItem{it.Index, it.ID, it.Image, it.Err})
			if failFast {
				break // there may be others, or they may not have been looked at
			}
		}
	}
	if !failFast && len(t.results) > 1 {
		e := badRequest("no_usable_image", "none of the %d images could be used; the error of each is in data", len(t.results))
		e.data = data
		return e
	}
	first := data[0]
	e := badRequest(first.Err.Code, "%s", first.Err.Message)
	e.data = data
	switch {
	case len(t.results) > 1:
		e.param = fmt.Sprintf("images[%d]", first.Index)
	case first.Err.Code == codeImageTooLarge:
		e.status = fasthttp.StatusRequestEntityTooLarge
	case first.Err.Code == codeUnsupportedFormat && raw:
		e.status = fasthttp.StatusUnsupportedMediaType
	}
	return e
}

// A failedItem is an image's place in an answer without embeddings.
type failedItem struct {
	Index int           `json:"index"`
	ID    string        `json:"id,omitempty"`
	Image string        `json:"image,omitempty"`
	Err   *answer.Error `json:"error,omitempty"`
}

// A form is the media type of an answer.
type form string

const (
	formJSON form = "application/json"
	formRaw  form = "application/octet-stream"
	formNPY  form = "application/x-npy"
)

// negotiate returns the form that an Accept header likes best: the highest q,
// then the first named. A header that names none of ours gets JSON.
func negotiate(accept string) form {
	best, bestQ := formJSON, 0.0
	for part := range strings.SplitSeq(accept, ",") {
		mediaType, params, err := mime.ParseMediaType(part)
		if err != nil || !slices.Contains([]form{formJSON, formRaw, formNPY}, form(mediaType)) {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			q, _ = strconv.ParseFloat(text, 64) // what is no number is not liked
		}
		if q > bestQ {
			best, bestQ = form(mediaType), q
		}
	}
	return best
}
