package server

import (
	"encoding/json"
	"fmt"

	"github.com/valyala/fasthttp"
)

// describe answers GET /api: what a client needs to know to use the server.
func (s *Server) describe(r *request) error {
	type limits struct {
		MaxClientBatchSize int   `json:"max_client_batch_size"` // images
		MaxBodySize        int   `json:"max_body_size"`         // bytes
		MaxImagePixels     int   `json:"max_image_pixels"`
		RequestTimeoutMS   int64 `json:"request_timeout_ms"`
	}
	type endpoint struct {
		Method string `json:"method"`
		Path   string `json:"path"`
		About  string `json:"about"`
	}
	var endpoints []endpoint
	for _, rt := range routes {
		if rt.about != "" {
			endpoints = append(endpoints, endpoint{rt.method, rt.path, rt.about})
		}
	}
	return writeJSON(r.RequestCtx, fasthttp.StatusOK, struct {
		Info
		Model     string     `json:"model"`
		Output    string     `json:"output"`
		Normalize bool       `json:"normalize"`
		Limits    limits     `json:"limits"`
		Endpoints []endpoint `json:"endpoints"`
	}{
		Info: s.info, Model: s.config.ModelName,
		Output: s.config.Output, Normalize: s.config.Normalize,
		Limits: limits{
			s.config.MaxClientBatchSize, s.config.MaxBodySize, s.config.MaxImagePixels,
			s.config.RequestTimeout.Milliseconds(),
		},
		Endpoints: endpoints,
	})
}

// describeModel answers GET /api/info.
func (s *Server) describeModel(r *request) error {
	return writeJSON(r.RequestCtx, fasthttp.StatusOK, struct {
		Info
		Model   string `json:"model"`
		Version        // under version, commit, go, tags
	}{s.info, s.config.ModelName, s.config.Version})
}

// describeDevices answers GET /api/devices.
func (s *Server) describeDevices(r *request) error {
	return writeJSON(r.RequestCtx, fasthttp.StatusOK, struct {
		Devices []Device `json:"devices"`
	}{s.engine.Devices()})
}

// writeJSON makes v the response's body.
func writeJSON(ctx *fasthttp.RequestCtx, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode an answer: %w", err)
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
	return nil
}
