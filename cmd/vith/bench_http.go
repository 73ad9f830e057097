package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"vith/bench/http"
	"vith/server"
)

// benchHTTPFlags are what bench http has besides the shared flags.
type benchHTTPFlags struct {
	modelFlags
	url, key, engine    string
	concurrency, rates  []http.Level
	sizes               []http.Size
	bad                 float64
	perRequest          int
	send, accept        string
	poisson             bool
	connections         int
	duration, warmup    time.Duration
	queueDelay          time.Duration
	queue               int
	format, note, saved string
}

// What the server is started with: nothing but the figures of interest.
const (
	engineModel    = "model"
	enginePrepared = "prepared"
	engineFree     = "free"
	engineNone     = "none"
)

func benchHTTPCommand() *cli.Command {
	var b benchHTTPFlags
	return &cli.Command{
		Name:      "http",
		Usage:     "a server under load, every answer checked",
		ArgsUsage: "[IMAGE...]",
		Description: `Sends photographs of its own, or the IMAGEs, to the server at --url, or to one that it starts in
this process with --model, and reports images a second, latency, and what became of each request.

--concurrency is a closed loop: so many clients that wait for their answers. --rate is an open
loop: requests are sent by the clock, whatever became of those before, and latency counts from
when each was due, so that a server that stalls is charged for all who would have waited. Rates
in % are of what the server reaches with 32 clients, which is measured first.

Each vector is compared with the first one of its image. Exits with 1 if one is another image's,
or if an answer is missing.

--engine free serves without a model, and costs nothing: what is left is HTTP and the batcher.
--engine prepared sends crops instead of photographs: what is left out is decoding.
--engine none is fasthttp with nothing behind it: what free takes longer is what the server adds.

Examples:
  vith bench http --url http://localhost:7860 --concurrency 1,4,16
  vith bench http --model synth:vit-tiny/1 --rate 50%,100%,200% --time 60s
  vith bench http --url http://localhost:7860 --rate 10:100:10 --bad 0.25 --format csv > sweep.csv
  vith bench http --model synth:vit-b-32/1 --sizes 640x480:9,4000x3000:1 --concurrency 16
  vith bench http --engine free --sizes 16x16 --accept raw --rate 10000 --connections 32`,
		Flags: b.flags(),
		Action: func(c *cli.Context) error {
			names, err := arguments(c, 0, unlimited)
			if err != nil {
				return err
			}
			if err := b.check(c); err != nil {
				return err
			}
			report, err := b.run(c, names)
			if err != nil {
				return err
			}
			return b.write(c, &report)
		},
	}
}

func (b *benchHTTPFlags) flags() []cli.Flag {
	list := []cli.Flag{
		newFlag(&b.url, "url", "", "`URL` of a running server; default: one is started", text),
		newFlag(&b.key, "api-key", "", "`KEY` that the server at --url wants", text),
		newFlag(&b.engine, "engine", engineModel, "`ENGINE` of the server started: model, prepared, free or none", oneOf(engineModel, enginePrepared, engineFree, engineNone)),
		newFlag(&b.concurrency, "concurrency", "", "`N,N` or START:END:STEP clients; default 1,4,16 if there is no --rate", http.ParseConcurrency),
		newFlag(&b.rates, "rate", "", "`N,N` or START:END:STEP requests a second, or N%,N% of capacity", http.ParseRates),
		newFlag(&b.sizes, "sizes", "", "`WxH:WEIGHT,WxH` of the photographs (default 640x480)", http.ParseSizes),
		newFlag(&b.bad, "bad", "0", "`SHARE` of images that are damaged, 0 to 0.99", share),
		newFlag(&b.perRequest, "images", "1", "`N` images in each request", between(1, 1<<20)),
		newFlag(&b.send, "send", "", "`FORM` of requests: raw (default for one image), multipart (for more) or json",
			oneOf(string(http.Raw), string(http.Multipart), string(http.JSON))),
		newFlag(&b.accept, "accept", string(http.JSON), "`FORM` of answers: json, base64, raw or npy",
			oneOf(string(http.JSON), string(http.Base64), string(http.Raw), string(http.NPY))),
		newSwitch(&b.poisson, "poisson", "requests of a --rate come at random, not evenly"),
		newFlag(&b.connections, "connections", "4096", "`N` at most for a --rate; a request that finds all busy is late", between(1, 1<<16)),
		newFlag(&b.duration, "time", "5s", "`TIME` that is measured of each load", duration),
		newFlag(&b.warmup, "warmup", "1s", "`TIME` of load before it", zeroOr(duration)),
		newFlag(&b.format, "format", "text", "`FORMAT` text, json, csv (perf_analyzer's columns) or markdown", oneOf("text", "json", "csv", "markdown")),
		newFlag(&b.saved, "save", "", "`FILE` that gets the report as JSON as well", text),
		newFlag(&b.note, "note", "", "`TEXT` for the report", text),
		b.batchFlag("max-batch"),
		newFlag(&b.queueDelay, "max-queue-delay", "2ms", "`TIME` of the server started, as for vith serve", zeroOr(duration)),
		newFlag(&b.queue, "max-queue-size", "1024", "`N` of the server started, as for vith serve", between(1, 1<<30)),
	}
	return append(list, b.modelFlags.flags()...)
}

// share reads a share that leaves something.
func share(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v <= 0.99) {
		return 0, fmt.Errorf("must be a share from 0 to 0.99")
	}
	return v, nil
}

// check reports flags that do not go together.
func (b *benchHTTPFlags) check(c *cli.Context) error {
	switch {
	case b.url != "" && (b.model != "" || b.engine != engineModel):
		return usagef(c, "--url is a server that runs; leave out --model and --engine, which start one")
	case b.costsNothing() && b.bad > 0:
		return usagef(c, "--engine %s takes anything for an image; leave out --bad", b.engine)
	case b.engine == engineNone && (b.accept != string(http.Raw) || b.send != "" && b.send != string(http.Raw) || b.perRequest > 1):
		return usagef(c, "--engine none knows raw bodies only: --accept raw, and neither --send nor --images")
	case b.send == string(http.Raw) && b.perRequest > 1:
		return usagef(c, "--send raw has one image a request, not %d: --send multipart or json", b.perRequest)
	}
	return b.modelFlags.check(c)
}

func (b *benchHTTPFlags) run(c *cli.Context, names []string) (report http.Report, err error) {
	ctx := c.Context
	options := http.Options{
		URL: b.url, APIKey: b.key, Bad: b.bad, Batch: b.perRequest, Send: http.Form(b.send), Accept: http.Form(b.accept),
		Levels: append(b.concurrency, b.rates...), Poisson: b.poisson, MaxConnections: b.connections, Warmup: b.warmup, Time: b.duration,
	}
	if len(options.Levels) == 0 {
		options.Levels = []http.Level{{Concurrency: 1}, {Concurrency: 4}, {Concurrency: 16}}
	}
	if options.Images, err = b.images(names); err != nil {
		return report, err
	}
	log := b.logger()
	options.Progress = func(level string) { log.Info("measuring", "load", level, "for", b.warmup+b.duration) }
	if b.url != "" {
		return http.Run(ctx, options)
	}

	if b.engine == engineNone {
		url, stop, err := http.ServeNothing()
		if err != nil {
			return report, unusablef("%w", err)
		}
		options.URL = url
		report, err = http.Run(ctx, options)
		report.InProcess = true
		return report, errors.Join(err, stop())
	}
	var engine server.Engine = http.NewFree()
	if b.engine != engineFree {
		model, err := b.load(c, log, nil, false)
		if err != nil {
			return report, err
		}
		defer model.Close()
		engine = newEngine(model)
	}
	if b.engine == enginePrepared {
		prepared := http.Prepared{Engine: engine}
		if options.Images, err = prepared.Images(ctx, options.Images); err != nil {
			return report, err
		}
		engine = prepared
	}
	quiet := logFlags{level: "warn", format: b.logFlags.format} // a line for each request would be measured too
	url, stop, err := http.Serve(engine, server.Config{
		Output: b.output, Normalize: b.normalize, MaxQueueDelay: b.queueDelay, MaxQueueSize: b.queue,
		MaxClientBatchSize: min(b.queue, max(256, b.perRequest)), Version: buildVersion(), Logger: quiet.logger(),
	})
	if err != nil {
		return report, unusablef("%w", err)
	}
	options.URL = url
	defer func() {
		if stopping := stop(); err == nil && stopping != nil {
			err = fmt.Errorf("the server that was measured does not stop: %w", stopping)
		}
	}()
	alone, err := b.alone(ctx, engine, nil)
	if err != nil {
		return report, err
	}
	if report, err = http.Run(ctx, options); err != nil {
		return report, err
	}
	report.InProcess = true
	report.Alone, err = b.alone(ctx, engine, alone) // again, since machines change
	return report, err
}

func (b *benchHTTPFlags) costsNothing() bool { return b.engine == engineFree || b.engine == engineNone }

// alone measures the engine without a server, unless it costs nothing.
func (b *benchHTTPFlags) alone(ctx context.Context, e server.Engine, list []http.Alone) ([]http.Alone, error) {
	if b.costsNothing() {
		return nil, nil
	}
	a, err := http.MeasureAlone(ctx, e, b.output, min(b.duration, 5*time.Second))
	return append(list, a), err
}

// images returns the named files, or photographs of the sizes that were asked for.
func (b *benchHTTPFlags) images(names []string) (list []http.Image, err error) {
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		list = append(list, http.Image{Name: filepath.Base(name), Data: data})
	}
	if len(names) > 0 {
		return list, nil
	}
	sizes := b.sizes
	if len(sizes) == 0 {
		if sizes, err = http.ParseSizes("640x480"); err != nil {
			return nil, err
		}
	}
	return http.Photographs(sizes)
}

// write writes the report, and fails if the server gave a wrong answer or none.
func (b *benchHTTPFlags) write(c *cli.Context, r *http.Report) error {
	r.Note = b.note
	var err error
	if b.format == "csv" {
		err = r.WriteCSV(c.App.Writer)
	} else {
		err = write(c.App.Writer, r, b.format)
	}
	if err != nil {
		return err
	}
	if b.saved != "" {
		f, err := os.Create(b.saved)
		if err != nil {
			return err
		}
		if err := write(f, r, "json"); err != nil {
			f.Close()
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	wrong, lost := 0, 0
	for _, p := range r.Points {
		wrong += p.Requests.Wrong
		lost += p.Requests.Lost
	}
	if wrong+lost > 0 {
		return fmt.Errorf("%d answers were wrong and %d requests got none", wrong, lost)
	}
	return nil
}
