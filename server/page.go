package server

import (
	"crypto/sha256"
	"embed"
	"fmt"

	"github.com/valyala/fasthttp"
)

// pageFiles are the web page: plain files, no build step.
//
//go:embed page
var pageFiles embed.FS

// contentSecurityPolicy lets the page load its own files, show the images that
// a person gave it, and talk to this server; nothing else, and nobody may frame
// it.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// asset returns the handler of one of the page's files, of that media type. A browser asks again
// each time and gets the file only if it has changed.
func asset(name, mediaType string) func(*Server, *request) error {
	body, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		panic("server: " + err.Error()) // a file missing from the build
	}
	etag := fmt.Sprintf(`"%x"`, sha256.Sum256(body))
	return func(_ *Server, r *request) error {
		h := &r.Response.Header
		h.Set("ETag", etag)
		h.Set("Cache-Control", "no-cache")
		setPageHeaders(h)
		if string(r.Request.Header.Peek("If-None-Match")) == etag {
			r.SetStatusCode(fasthttp.StatusNotModified)
			return nil
		}
		r.SetContentType(mediaType)
		r.SetBody(body)
		return nil
	}
}

func setPageHeaders(h *fasthttp.ResponseHeader) {
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}
