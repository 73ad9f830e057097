package server

import (
	"errors"
	"io"
	"slices"
	"time"
)

const (
	// slowestBody is the rate, in bytes a second, at which a client must send
	// when Config.ReadTimeout is over.
	slowestBody = 16 << 10

	// bodyStart is the memory that a body gets on its Content-Length's word
	// alone; from there on it grows with what arrives.
	bodyStart = 256 << 10
)

func (s *Server) checkBodySize(n int) error {
	if n > s.config.MaxBodySize {
		return tooLarge("body_too_large", "the body is larger than %d bytes (--max-body-size); send fewer images at once", s.config.MaxBodySize)
	}
	return nil
}

// readBody returns the request's body. The memory is the request's, and admitted
// as it grows.
func (s *Server) readBody(r *request) ([]byte, error) {
	length := r.Request.Header.ContentLength()
	if err := s.checkBodySize(length); err != nil {
		return nil, err
	}
	stream := r.RequestBodyStream()
	if stream == nil {
		return nil, nil
	}
	body := slices.Grow(r.body, min(max(length, 0), bodyStart)+1)
	defer func() { r.body = body }()
	for {
		if err := s.checkBodySize(len(body)); err != nil {
			return nil, err
		}
		body = slices.Grow(body, 1)
		if more := cap(body) - int(r.held); more > 0 {
			if err := s.holdBytes(r, more); err != nil {
				return nil, err
			}
		}
		sent := time.Duration(len(body)) * time.Second / slowestBody
		r.Conn().SetReadDeadline(r.start.Add(s.config.ReadTimeout + sent))

		n, err := stream.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			r.bodyRead = true
			return body, s.checkBodySize(len(body))
		case isTimeout(err):
			return nil, errSlowBody
		default:
			return nil, badRequest("incomplete_body", "the body ended before its length: %v", err)
		}
	}
}
