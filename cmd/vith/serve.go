package main

import (
	"context"
	"fmt"
	"math"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"vith/server"
)

// serveFlags are what serve has besides the shared flags.
type serveFlags struct {
	modelFlags
	addr, name, pidFile, pprof       string
	keys                             cli.StringSlice
	clientBatch, queue, body, pixels int
	queueDelay                       time.Duration
	cacheSize                        int
	cacheDir, urlFetch               string
	requestTimeout, exitTimeout      time.Duration
	later                            []*laterFlag
}

func serveCommand() *cli.Command {
	var s serveFlags
	return &cli.Command{
		Name:  "serve",
		Usage: "HTTP API and web page on :7860",
		Description: `Loads the model, then answers until SIGTERM or Ctrl-C: requests under way are finished,
new ones refused. A second signal stops at once; vith stop does the same from elsewhere.
When every GPU has failed it ends with code 3: only another process gets them to work again.
The web page is at /, a description of the API at /api. With --api-key, all but the page,
health and metrics needs the key.

Examples:
  vith serve --model synth:vit-tiny/1
  vith serve --model model.safetensors --addr 127.0.0.1:8080 --normalize
  curl -s --data-binary @cat.jpg http://localhost:7860/api/embed`,
		Flags: s.flags(),
		Action: func(c *cli.Context) error {
			if _, err := arguments(c, 0, 0); err != nil {
				return err
			}
			if err := s.check(c); err != nil {
				return err
			}
			return s.run(c)
		},
	}
}

func (s *serveFlags) flags() []cli.Flag {
	batch := s.batchFlag("max-batch")
	batch.Aliases, batch.EnvVars = []string{"batch"}, append(batch.EnvVars, env("batch"))
	list := []cli.Flag{
		newFlag(&s.addr, "addr", ":7860", "`HOST:PORT` listen here", text),
		newFlag(&s.name, "served-model-name", "", "`NAME` what requests may call the model; default its own name", text),
		&cli.StringSliceFlag{Name: "api-key", EnvVars: []string{env("api-key")}, Destination: &s.keys,
			Usage: "`KEY` what requests must send, or a file with one a line; repeatable"},
		batch,
		newFlag(&s.queueDelay, "max-queue-delay", "2ms", "`TIME` longest wait of an image for others to share its batch", zeroOr(duration)),
		newFlag(&s.queue, "max-queue-size", "1024", "`N` most images under way; beyond it requests are refused", between(1, 1<<30)),
		newFlag(&s.clientBatch, "max-client-batch-size", "256", "`N` most images in one request", between(1, 1<<20)),
		newFlag(&s.body, "max-body-size", "64MiB", "`SIZE` largest request", size),
		newFlag(&s.pixels, "max-image-pixels", "89478485", "`N` largest image, width x height", between(1, math.MaxInt32)),
		newFlag(&s.cacheSize, "cache-size", "0", "`SIZE` memory for vectors of images that come again", zeroOr(size)),
		newFlag(&s.cacheDir, "cache-dir", "", "`FOLDER` those vectors are kept here as well, over restarts", text),
		newFlag(&s.urlFetch, "url-fetch", "off", "`RULE` images named by URL: off, or public addresses", oneOf("off", "public")),
		newFlag(&s.memory, "memory-limit", "", "`SIZE` memory to use of each GPU; default what is free", size),
		newFlag(&s.requestTimeout, "request-timeout", "30s", "`TIME` longest work on a request", duration),
		newFlag(&s.exitTimeout, "exit-timeout", "30s", "`TIME` longest wait for requests under way when stopping", duration),
		newFlag(&s.pprof, "pprof", "", "`HOST:PORT` of this machine alone, such as 127.0.0.1:6060, for Go's profiles", loopback),
		newFlag(&s.pidFile, "pid-file", "", "`FILE` for vith stop; default vith-PORT.pid in $XDG_RUNTIME_DIR or /tmp", text),
	}
	list = append(list, s.modelFlags.flags()...)
	for _, f := range []struct{ name, only, usage string }{
		{"callbacks", "off", "`RULE` callbacks of jobs"},
		{"callback-secret", "", "`KEY` signs callbacks"},
		{"queue", "embedded", "`QUEUE` jobs wait here"},
		{"job-ttl", "24h", "`TIME` results of jobs are kept"},
		{"data-dir", "", "`FOLDER` jobs are kept here"},
	} {
		l := &laterFlag{name: f.name, only: f.only}
		s.later = append(s.later, l)
		list = append(list, newFlag(&l.value, f.name, f.only, f.usage+": not available in this version", text))
	}
	return list
}

// zeroOr reads what parse reads, and 0.
func zeroOr[T any](parse func(string) (T, error)) func(string) (T, error) {
	return func(s string) (T, error) {
		if s == "0" {
			var zero T
			return zero, nil
		}
		return parse(s)
	}
}

// A laterFlag belongs to what this version has not: it takes the value that leaves it off, and no other.
type laterFlag struct{ name, only, value string }

// check reports flags that do not go together or ask for what is not there.
func (s *serveFlags) check(c *cli.Context) error {
	for _, l := range s.later {
		if l.value != l.only {
			return unusablef("--%s is not available in this version of vith: leave it out", l.name) // its value may be a secret
		}
	}
	return s.modelFlags.check(c)
}

func (s *serveFlags) run(c *cli.Context) error {
	ctx, log := c.Context, s.logger()
	keys, err := apiKeys(s.keys.Value())
	if err != nil {
		return usagef(c, "%w", err)
	}
	start := time.Now()
	model, err := s.load(c, log, nil, false) // requests choose whether to normalise
	if ctx.Err() != nil {
		return nil // asked to stop before there was anything to stop
	}
	if err != nil {
		return err
	}
	defer model.Close()
	engine := newEngine(model)
	logModel(log, engine, time.Since(start))

	srv, err := server.New(engine, server.Config{
		ModelName: s.name, Output: s.output, Normalize: s.normalize,
		MaxClientBatchSize: s.clientBatch, MaxQueueSize: s.queue, MaxQueueDelay: s.queueDelay, MaxBodySize: s.body, MaxImagePixels: s.pixels,
		CacheBytes: s.cacheSize, CacheDir: s.cacheDir, FetchURLs: s.urlFetch == "public",
		Variant:        fmt.Sprintf("%+v gelu %s residual %s", model.Config(), model.GELU, model.Residual),
		RequestTimeout: s.requestTimeout, APIKeys: keys, Version: buildVersion(), Logger: log,
	})
	if err != nil {
		return unusablef("%w", err)
	}
	if s.pprof != "" {
		stop, err := serveProfiles(log, s.pprof)
		if err != nil {
			return err
		}
		defer stop()
	}
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		return listenError(s.addr, err)
	}
	defer ln.Close()
	pid, err := s.writePID(log, ln.Addr())
	if err != nil {
		return err
	}
	defer pid.remove()

	log.Info("serving", "url", browseURL(ln.Addr()), "pid", os.Getpid(), "api_keys", len(keys))
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	var failed error
	select {
	case err := <-served:
		return fmt.Errorf("the server ended by itself: %w", err)
	case <-model.Down():
		failed = unusablef("no device is left, and only another process gets them to work again: %w", model.Err(0))
		log.Error("stopping: no device is left; whoever watches over this process should start it again", "error", model.Err(0))
	case <-ctx.Done():
	}
	signal.Reset(os.Interrupt, syscall.SIGTERM) // before anybody can tell that it stops: the next one stops it at once
	log.Info("stopping: requests under way are finished", "within", s.exitTimeout)
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.exitTimeout)
	defer cancel()
	if err := srv.Shutdown(patience); err != nil && failed == nil {
		return &exitError{exitFailed, fmt.Errorf("requests were unfinished after %v and are cut off: %w", s.exitTimeout, err)}
	}
	log.Info("stopped")
	return failed
}
