package server

import (
	"strings"

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

var (
	routes        []route
	exactRoutes   = map[string][]*route{} // by path
	patternRoutes []*route                // with {name} in their path
)

func init() { // a literal would refer to itself through the handler of GET /api
	routes = []route{
		{"GET", "/", "the web page", open, asset("index.html", "text/html; charset=utf-8")},
		{"GET", "/page/style.css", "", open, asset("style.css", "text/css; charset=utf-8")},
		{"GET", "/page/app.js", "", open, asset("app.js", "text/javascript; charset=utf-8")},
		{"GET", "/page/docs.js", "", open, asset("docs.js", "text/javascript; charset=utf-8")},
		{"GET", "/page/icon.svg", "", open, asset("icon.svg", "image/svg+xml")},

		{"GET", "/docs", "the API, with examples to copy", protected, (*Server).document},
		{"GET", "/openapi.json", "the API as OpenAPI 3.1", protected, (*Server).specify},
		{"GET", "/api", "model, limits and endpoints", protected, (*Server).describe},
		{"POST", "/api", "the same as POST /api/embed", protected, (*Server).embed},
		{"POST", "/api/embed", "images in, vectors out", protected, (*Server).embed},
		{"POST", "/api/similarity", "images in, matrix of cosines out", protected, (*Server).similarity},
		{"POST", "/v1/embeddings", "images in, vectors out, as OpenAI's API has it", protected, (*Server).embedOpenAI},
		{"POST", "/embeddings", "the same as POST /v1/embeddings", protected, (*Server).embedOpenAI},
		{"GET", "/v1/models", "the one model that is served", protected, (*Server).listModels},
		{"GET", "/api/info", "model digest, preprocessing id, precision, device, version", protected, (*Server).describeModel},
		{"GET", "/api/devices", "devices, with their memory by owner", protected, (*Server).describeDevices},

		{"GET", "/api/stats", "queue, batches and latency since the start", protected, (*Server).describeStats},
		{"GET", "/metrics", "the same for Prometheus, with all else there is to measure", open, (*Server).exposeMetrics},

		{"GET", "/health", "the same as GET /health/ready", open, (*Server).healthReady},
		{"GET", "/health/live", "200, or 503 when no device comes back and a restart is what helps", open, (*Server).healthLive},
		{"GET", "/health/ready", "200 when the model answers, else 503", open, (*Server).healthReady},

		{"POST", "/api/jobs", "", protected, unavailable},
		{"GET", "/api/jobs/{id}", "", protected, unavailable},
		{"DELETE", "/api/jobs/{id}", "", protected, unavailable},
		{"GET", "/api/jobs/{id}/result", "", protected, unavailable},
	}
	for i := range routes {
		rt := &routes[i]
		if strings.Contains(rt.path, "{") {
			patternRoutes = append(patternRoutes, rt)
			continue
		}
		exactRoutes[rt.path] = append(exactRoutes[rt.path], rt)
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

// works reports whether requests of the route do work, which a server that shuts
// down refuses and finishes, and not only look at what there is.
func (rt *route) works() bool { return rt.method != fasthttp.MethodGet }

// label names the route in metrics.
func (rt *route) label() string {
	if rt == nil {
		return "none"
	}
	return rt.path
}

// routesOf returns the routes with that path, one a method.
func routesOf(path []byte) []*route {
	if list := exactRoutes[string(path)]; list != nil {
		return list
	}
	var list []*route
	for _, rt := range patternRoutes {
		if rt.match(string(path)) {
			list = append(list, rt)
		}
	}
	return list
}

// find returns the route of a request, or the error that says why it is
// refused: no key, no such path, no such method.
func (s *Server) find(ctx *fasthttp.RequestCtx) (*route, error) {
	list := routesOf(ctx.Path())
	if (len(list) == 0 || list[0].access == protected) && !s.keys.admits(ctx.Request.Header.Peek("Authorization")) {
		return nil, errUnauthorized
	}
	for _, rt := range list {
		if string(ctx.Method()) == rt.method || rt.method == fasthttp.MethodGet && ctx.IsHead() {
			return rt, nil
		}
	}
	if len(list) == 0 {
		return nil, &apiError{
			status: fasthttp.StatusNotFound, code: "not_found",
			message: "there is no " + string(ctx.Path()) + "; GET /api lists what there is",
		}
	}
	var allow []string
	for _, rt := range list {
		allow = append(allow, rt.method)
		if rt.method == fasthttp.MethodGet {
			allow = append(allow, fasthttp.MethodHead)
		}
	}
	return nil, &apiError{
		status: fasthttp.StatusMethodNotAllowed, code: "method_not_allowed",
		message: string(ctx.Path()) + " takes " + strings.Join(allow, ", ") + ", not " + string(ctx.Method()),
		allow:   strings.Join(allow, ", "),
	}
}
