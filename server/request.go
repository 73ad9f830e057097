package server

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// A request is one request on its way through the server.
type request struct {
	*fasthttp.RequestCtx
	start    time.Time
	bodyRead bool // the body was read to its end
}

// handle answers one request.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	r := &request{RequestCtx: ctx, start: time.Now()}
	id := requestID(ctx)
	ctx.Response.Header.Set("x-request-id", id)

	err := s.serve(r)
	if err != nil {
		writeError(ctx, err)
	}
	if ctx.Request.IsBodyStream() && !r.bodyRead {
		closeLingering(ctx)
	}
	total := time.Since(r.start)
	ctx.Response.Header.Set("x-total-time", millis(total))
	s.logRequest(ctx, id, total, err)
}

func (s *Server) serve(r *request) (err error) {
	defer catch(&err)
	rt, err := s.find(r.RequestCtx)
	if err != nil {
		return err
	}
	if rt.method != fasthttp.MethodGet {
		if !s.gate.enter() {
			return errDraining
		}
		defer s.gate.leave()
	}
	return rt.handle(s, r)
}

func (s *Server) logRequest(ctx *fasthttp.RequestCtx, id string, total time.Duration, err error) {
	level := slog.LevelDebug
	switch status := ctx.Response.StatusCode(); {
	case status == fasthttp.StatusInternalServerError:
		level = slog.LevelError
	case status > fasthttp.StatusInternalServerError:
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{
		slog.String("method", string(ctx.Method())),
		slog.String("path", string(ctx.Path())),
		slog.Int("status", ctx.Response.StatusCode()),
		slog.Duration("total", total),
		slog.String("request_id", id),
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	s.log.LogAttrs(s.work, level, "request", attrs...)
}

// handleMalformed answers what fasthttp could not read as a request.
func (s *Server) handleMalformed(ctx *fasthttp.RequestCtx, err error) {
	answer := badRequest("malformed_request", "the request could not be read as HTTP/1.1")
	_, small := errors.AsType[*fasthttp.ErrSmallBuffer](err)
	switch {
	case small:
		answer = &apiError{
			status: fasthttp.StatusRequestHeaderFieldsTooLarge, code: "header_too_large",
			message: "the request's header is larger than " + strconv.Itoa(s.http.ReadBufferSize) + " bytes",
		}
	case isTimeout(err):
		answer = errSlowBody
	}
	ctx.Response.Header.Set("x-request-id", requestID(ctx))
	writeError(ctx, answer)
	closeLingering(ctx)
}

// handleExpect answers Expect: 100-continue, before the client sends a body that
// would be refused. fasthttp sends the response as it stands when the status is
// not 100.
func (s *Server) handleExpect(ctx *fasthttp.RequestCtx) int {
	_, err := s.find(ctx)
	if err == nil && s.gate.isClosed() {
		err = errDraining
	}
	if err == nil {
		err = s.checkBodySize(ctx.Request.Header.ContentLength())
	}
	if err == nil {
		return fasthttp.StatusContinue
	}
	ctx.Response.Header.Set("x-request-id", requestID(ctx))
	writeError(ctx, err)
	closeLingering(ctx)
	return ctx.Response.StatusCode()
}

// closeLingering closes the connection after the response, for a request whose
// body was not read.
func closeLingering(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	if c, ok := ctx.Conn().(*conn); ok {
		c.linger.Store(true)
	}
}

// requestID returns the client's x-request-id if it is short and plain, else a
// new one.
func requestID(ctx *fasthttp.RequestCtx) string {
	const longest = 128
	id := ctx.Request.Header.Peek("x-request-id")
	plain := len(id) > 0 && len(id) <= longest
	for _, c := range id {
		plain = plain && c > ' ' && c < 0x7f
	}
	if plain {
		return string(id)
	}
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// millis formats d as whole milliseconds, for a header.
func millis(d time.Duration) string {
	return strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10)
}
