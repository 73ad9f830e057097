package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"vith/server"
)

// serveFlags are what serve has besides the shared flags.
type serveFlags struct {
	modelFlags
	addr, name, pidFile              string
	keys                             cli.StringSlice
	clientBatch, queue, body, pixels int
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
The web page is at /, what the API has at /api, and --api-key closes all but the page.

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
		newFlag(&s.addr, "addr", ":7860", "`HOST:PORT` to listen on", text),
		newFlag(&s.name, "served-model-name", "", "`NAME` that requests may give; default the model's own", text),
		&cli.StringSliceFlag{Name: "api-key", EnvVars: []string{env("api-key")}, Destination: &s.keys,
			Usage: "`KEY` that requests must send, or a file with one a line; repeatable"},
		batch,
		newFlag(&s.queue, "max-queue-size", "1024", "`N` images waiting, beyond which requests are refused", between(1, 1<<30)),
		newFlag(&s.clientBatch, "max-client-batch-size", "256", "`N` images in one request, at most", between(1, 1<<20)),
		newFlag(&s.body, "max-body-size", "64MiB", "`SIZE` of a request, at most", size),
		newFlag(&s.pixels, "max-image-pixels", "89478485", "`N` pixels of an image, width x height, at most", between(1, 1<<40)),
		newFlag(&s.requestTimeout, "request-timeout", "30s", "`TIME` for a request", duration),
		newFlag(&s.exitTimeout, "exit-timeout", "30s", "`TIME` for requests under way when the server stops", duration),
		newFlag(&s.pidFile, "pid-file", "", "`FILE` that vith stop reads; default vith-PORT.pid in $XDG_RUNTIME_DIR or /tmp", text),
	}
	list = append(list, s.modelFlags.flags()...)
	for _, f := range []struct{ name, only, usage string }{
		{"max-queue-delay", "2ms", "`TIME` to wait for a fuller batch"},
		{"cache-size", "0", "`SIZE` of the cache of vectors"},
		{"cache-dir", "", "`FOLDER` for the cache of vectors"},
		{"url-fetch", "off", "`RULE` for images named by URL"},
		{"callbacks", "off", "`RULE` for callbacks of jobs"},
		{"callback-secret", "", "`KEY` that signs callbacks"},
		{"queue", "embedded", "`QUEUE` that jobs wait in"},
		{"job-ttl", "24h", "`TIME` that results of jobs are kept"},
		{"data-dir", "", "`FOLDER` for jobs"},
		{"memory-limit", "", "`SIZE` of a GPU's memory to use"},
	} {
		l := &laterFlag{name: f.name, only: f.only}
		s.later = append(s.later, l)
		list = append(list, newFlag(&l.value, f.name, f.only, f.usage+": not available in this version", text))
	}
	return list
}

// A laterFlag belongs to what this version has not: it takes the value that leaves it off, and no other.
type laterFlag struct{ name, only, value string }

// check reports flags that do not go together or ask for what is not there.
func (s *serveFlags) check(c *cli.Context) error {
	for _, l := range s.later {
		if l.value != l.only {
			return unusablef("--%s %s is not available in this version of vith: leave the flag out", l.name, l.value)
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
	model, err := s.load(c, log, nil)
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
		MaxClientBatchSize: s.clientBatch, MaxQueueSize: s.queue, MaxBodySize: s.body, MaxImagePixels: s.pixels,
		RequestTimeout: s.requestTimeout, APIKeys: keys, Version: buildVersion(), Logger: log,
	})
	if err != nil {
		return unusablef("%w", err)
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

	log.Info("serving", "url", browseURL(ln.Addr()), "pid", os.Getpid())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("the server ended by itself: %w", err)
	case <-ctx.Done():
	}
	log.Info("stopping: requests under way are finished", "within", s.exitTimeout)
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.exitTimeout)
	defer cancel()
	if err := srv.Shutdown(patience); err != nil {
		log.Warn("stopped with requests unfinished", "error", err)
		return nil
	}
	log.Info("stopped")
	return nil
}
