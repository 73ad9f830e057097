// Package server turns images into embeddings over HTTP and shows them on a web
// page. It knows the model only through the Engine interface.
//
// A request passes through these files in order: conn.go accepts the
// connection, request.go takes the request, routes.go finds and guards its
// handler, body.go reads what was sent, input.go and its two formats find the
// images in it, options.go what is asked of them, run.go prepares them and
// batch.go turns them into vectors together with those of other requests,
// embed.go answers. What a request holds on its way is admitted by admission.go
// and hangs on its ticket. Whatever goes wrong on the way is an apiError of
// errors.go.
//
// PAINS.md lists what users of such servers suffer from, with what is done about
// each here and the tests that hold it.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"time"

	"github.com/valyala/fasthttp"

	"vith/server/cache"
	"vith/server/fetch"
)

// A Server serves one Engine. Its methods are safe for concurrent use.
type Server struct {
	engine Engine
	info   Info
	config Config
	keys   keyring
	log    *slog.Logger

	http      fasthttp.Server
	metrics   *metrics
	gate      gate // requests that do work
	admission admission
	slots     chan struct{} // a place for each image being prepared, over all requests
	frames    *framePool
	tickets   *ticketPool
	batcher   *batcher
	memory    *memory        // nil: no cache
	fetcher   *fetch.Fetcher // nil: URLs are not fetched
	fetches   chan struct{}  // a place for each URL being fetched, over all requests
	ready     readiness
	started   time.Time

	// work is the parent of every request's context; stopWork ends what is
	// still running when Shutdown runs out of patience.
	work     context.Context
	stopWork context.CancelFunc
}

// New returns a Server of e. It fails if c does not fit the model. Shutdown ends
// what it starts.
func New(e Engine, c Config) (*Server, error) {
	info := e.Info()
	c, err := c.withDefaults(info)
	if err != nil {
		return nil, err
	}
	s := &Server{
		engine:    e,
		info:      info,
		config:    c,
		keys:      newKeyring(c.APIKeys),
		log:       c.Logger,
		admission: admission{maxImages: int64(c.MaxQueueSize), maxBytes: int64(c.MaxInflightBytes)},
		slots:     make(chan struct{}, runtime.GOMAXPROCS(0)),
		frames:    newFramePool(info.InBytes),
		fetches:   make(chan struct{}, fetchesOfServer),
		ready:     readiness{probing: make(chan struct{}, 1)},
		started:   time.Now(),
	}
	if c.CacheBytes > 0 || c.CacheDir != "" {
		kept, err := cache.New(c.CacheBytes, c.CacheDir, c.Logger)
		if err != nil {
			return nil, fmt.Errorf("server: %w", err)
		}
		s.memory = newMemory(kept, info, c.Variant)
	}
	if c.FetchURLs {
		s.fetcher = fetch.New()
	}
	s.tickets = newTicketPool(&s.admission)
	s.metrics = newMetrics(s)
	s.work, s.stopWork = context.WithCancel(context.Background())
	s.batcher = newBatcher(s.work, e, c, s.metrics, s.ready.note)
	s.http = fasthttp.Server{
		Name:                         "vith",
		Handler:                      s.handle,
		ErrorHandler:                 s.handleMalformed,
		ExpectHandler:                s.handleExpect,
		ReadBufferSize:               16 << 10, // and so the largest header
		WriteBufferSize:              16 << 10,
		ReadTimeout:                  c.ReadTimeout,
		IdleTimeout:                  2 * time.Minute,
		MaxRequestBodySize:           1, // body.go reads and limits bodies; this is what fasthttp reads ahead
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		CloseOnShutdown:              true,
		Logger:                       fasthttpLog{c.Logger},
	}
	return s, nil
}

// Serve answers the connections of ln until Shutdown, then returns nil.
func (s *Server) Serve(ln net.Listener) error {
	return s.http.Serve(listener{ln, s.config.WriteTimeout})
}

// Shutdown ends the server gracefully. From its call on GET /health/ready is
// 503 and new work is refused with 503; requests under way are finished, then
// the listeners are closed. When ctx ends first, what is still running is
// cancelled and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	drained := s.gate.close(ctx)
	if drained != nil {
		s.stopWork()
	}
	err := errors.Join(drained, s.http.ShutdownWithContext(ctx))
	s.stopWork()
	s.batcher.close()
	if s.memory != nil {
		s.memory.cache.Close()
	}
	return err
}

// fasthttpLog passes fasthttp's own complaints, which are about connections,
// to a slog.Logger.
type fasthttpLog struct{ log *slog.Logger }

func (l fasthttpLog) Printf(format string, args ...any) {
	l.log.Warn("connection: " + fmt.Sprintf(format, args...))
}
