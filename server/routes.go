package server

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// A route is one endpoint. To add one, write a row here and a handler in a file
// of its own.
type route struct {
	method string
	path   string // {name} stands for one segment
	about  string // for GET /api
	access access
	handle func(*Server, *request) error
}

type access int

const (
	protected access = iota // needs an API key, if the server has any
	open                    // for everybody
)

var routes []route

func init() { // a literal would refer to itself through the handler of GET /api
	routes = []route{
		{"GET", "/", "the web page", open, asset("index.html", "text/html; charset=utf-8")},
		{"GET", "/page/style.css", "", open, asset("style.css", "text/css; charset=utf-8")},
		{"GET", "/page/app.js", "", open, asset("app.js", "text/javascript; charset=utf-8")},
		{"GET", "/page/icon.svg", "", open, asset("icon.svg", "image/svg+xml")},

		{"GET", "/api", "model, limits and endpoints", protected, (*Server).describe},
		{"POST", "/api", "the same as POST /api/embed", protected, (*Server).embed},
		{"POST", "/api/embed", "images in, vectors out", protected, (*Server).embed},
		{"POST", "/api/similarity", "images in, matrix of cosines out", protected, (*Server).similarity},
		{"GET", "/api/info", "model digest, preprocessing id, precision, device, version", protected, (*Server).describeModel},
		{"GET", "/api/devices", "devices, with their memory by owner", protected, (*Server).describeDevices},

		{"GET", "/health", "the same as GET /health/ready", open, (*Server).healthReady},
		{"GET", "/health/live", "200 while the process runs", open, (*Server).healthLive},
		{"GET", "/health/ready", "200 when the model answers, else 503", open, (*Server).healthReady},

		{"GET", "/api/stats", "", protected, unavailable},
		{"POST", "/api/jobs", "", protected, unavailable},
		{"GET", "/api/jobs/{id}", "", protected, unavailable},
		{"DELETE", "/api/jobs/{id}", "", protected, unavailable},
		{"GET", "/api/jobs/{id}/result", "", protected, unavailable},
		{"POST", "/v1/embeddings", "", protected, unavailable},
		{"POST", "/embeddings", "", protected, unavailable},
		{"GET", "/v1/models", "", protected, unavailable},
		{"GET", "/metrics", "", open, unavailable},
		{"GET", "/openapi.json", "", protected, unavailable},
		{"GET", "/docs", "", protected, unavailable},
	}
}

// unavailable answers for an endpoint that this version does not have.
func unavailable(_ *Server, r *request) error {
	return &apiError{
		status: fasthttp.StatusNotImplemented, code: "not_available",
		message: string(r.Method()) + " " + string(r.Path()) + " is not available in this version; GET /api lists what is",
	}
}

// match reports whether the route's path is that of a request.
func (rt *route) match(path string) bool {
	if !strings.Contains(rt.path, "{") {
		return rt.path == path
	}
	pattern := rt.path
	for {
		want, restPattern, more := strings.Cut(pattern, "/")
		have, restPath, moreToo := strings.Cut(path, "/")
		if more != moreToo || want != have && (have == "" || !strings.HasPrefix(want, "{")) {
			return false
		}
		if !more {
			return true
		}
		pattern, path = restPattern, restPath
	}
}

// find returns the route of a request, or the error that says why it is
// refused: no key, no such path, no such method.
func (s *Server) find(ctx *fasthttp.RequestCtx) (*route, error) {
	path, method := string(ctx.Path()), string(ctx.Method())
	if method == fasthttp.MethodHead {
		method = fasthttp.MethodGet
	}
	var found *route
	var allow []string
	guard := protected
	for i := range routes {
		rt := &routes[i]
		if !rt.match(path) {
			continue
		}
		guard = rt.access
		allow = append(allow, rt.method)
		if rt.method == fasthttp.MethodGet {
			allow = append(allow, fasthttp.MethodHead)
		}
		if rt.method == method {
			found = rt
		}
	}
	if guard == protected && !s.keys.admits(string(ctx.Request.Header.Peek("Authorization"))) {
		return nil, errUnauthorized
	}
	if len(allow) == 0 {
		return nil, &apiError{
			status: fasthttp.StatusNotFound, code: "not_found",
			message: "there is no " + path + "; GET /api lists what there is",
		}
	}
	if found == nil {
		return nil, &apiError{
			status: fasthttp.StatusMethodNotAllowed, code: "method_not_allowed",
			message: path + " takes " + strings.Join(allow, ", ") + ", not " + string(ctx.Method()),
			allow:   strings.Join(allow, ", "),
		}
	}
	return found, nil
}

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

// writeError replaces the response by what err is to the client.
func writeError(ctx *fasthttp.RequestCtx, err error) {
	e := asAPIError(err)
	ctx.Response.ResetBody()
	writeJSON(ctx, e.status, struct {
		Error *apiError    `json:"error"`
		Data  []failedItem `json:"data,omitempty"`
	}{e, e.data})
	switch e.status {
	case fasthttp.StatusUnauthorized:
		ctx.Response.Header.Set("WWW-Authenticate", `Bearer realm="vith"`)
	case fasthttp.StatusMethodNotAllowed:
		ctx.Response.Header.Set("Allow", e.allow)
	case fasthttp.StatusTooManyRequests, fasthttp.StatusServiceUnavailable:
		ctx.Response.Header.Set("Retry-After", "1")
	}
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
