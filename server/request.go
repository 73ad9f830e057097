package server

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// A request is one request on its way through the server.
type request struct {
	*fasthttp.RequestCtx
	start    time.Time
	id       []byte // as in x-request-id
	route    *route // nil: there is none for it
	body     []byte // memory for readBody
	bodyRead bool   // the body was read to its end
	held     int64  // admitted bytes of the body and the images in it
	ticket   *ticket
}

var requests = sync.Pool{New: func() any { return new(request) }}

// keepBody is the largest memory for a body that a request keeps for the next.
const keepBody = 1 << 20

// handle answers one request.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	r := requests.Get().(*request)
	*r = request{RequestCtx: ctx, start: time.Now(), id: appendRequestID(r.id[:0], ctx), body: r.body[:0]}
	ctx.Response.Header.SetBytesV("x-request-id", r.id)

	err := s.serve(r)
	if err != nil {
		writeError(ctx, err)
	}
	if ctx.Request.IsBodyStream() && !r.bodyRead {
		closeLingering(ctx)
	}
	total := time.Since(r.start)
	ctx.Response.Header.Set("x-total-time", millis(total))
	s.metrics.noteRequest(r.route, ctx.Response.StatusCode(), total)
	s.logRequest(r, total, err)

	if r.ticket != nil {
		r.ticket.release()
	}
	s.admission.release(0, r.held)
	if cap(r.body) > keepBody {
		r.body = nil
	}
	*r = request{id: r.id, body: r.body}
	requests.Put(r)
}

// holdBytes admits n more bytes for the request.
func (s *Server) holdBytes(r *request, n int) error {
	if !s.admission.admitBytes(r.held, int64(n)) {
		return s.tryLater(errMemoryFull)
	}
	r.held += int64(n)
	return nil
}

func (s *Server) serve(r *request) (err error) {
	defer catch(&err)
	if r.route, err = s.find(r.RequestCtx); err != nil {
		return err
	}
	if r.route.works() {
		if !s.gate.enter() {
			return errDraining
		}
		defer s.gate.leave()
	}
	return r.route.handle(s, r)
}

// logRequest writes a line of the access log: at level info for requests that do
// work, debug for those that only look, warn and error for the server's failures.
func (s *Server) logRequest(r *request, total time.Duration, err error) {
	status := r.Response.StatusCode()
	level := slog.LevelDebug
	switch {
	case status == fasthttp.StatusInternalServerError:
		level = slog.LevelError
	case status > fasthttp.StatusInternalServerError:
		level = slog.LevelWarn
	case r.route != nil && r.route.works():
		level = slog.LevelInfo
	}
	if !s.log.Enabled(s.work, level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 16),
		slog.String("request_id", string(r.id)),
		slog.String("remote", r.RemoteAddr().String()),
		slog.String("method", string(r.Method())),
		slog.String("path", string(r.Path())),
		slog.Int("status", status),
		slog.Duration("total", total),
	)
	if t := r.ticket; t != nil {
		timing := t.timing(r.start)
		attrs = append(attrs,
			slog.Int("images", t.images),
			slog.Int("bad", int(t.bad.Load())),
			slog.Int("batch", t.largestBatch()),
			slog.Duration("queue", timing.Queue),
			slog.Duration("preprocess", timing.Preprocess),
			slog.Duration("compute", timing.Compute),
		)
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
	ctx.Response.Header.SetBytesV("x-request-id", appendRequestID(nil, ctx))
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
	ctx.Response.Header.SetBytesV("x-request-id", appendRequestID(nil, ctx))
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

// appendRequestID appends the client's x-request-id if it is short and plain,
// else a new one.
func appendRequestID(dst []byte, ctx *fasthttp.RequestCtx) []byte {
	const longest = 128
	id := ctx.Request.Header.Peek("x-request-id")
	plain := len(id) > 0 && len(id) <= longest
	for _, c := range id {
		plain = plain && c > ' ' && c < 0x7f
	}
	if plain {
		return append(dst, id...)
	}
	var random [16]byte
	rand.Read(random[:]) // never fails
	return hex.AppendEncode(dst, random[:])
}

// millis formats d as whole milliseconds, for a header.
func millis(d time.Duration) string {
	return strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10)
}
