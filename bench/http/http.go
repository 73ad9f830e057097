// Package http measures a server of embeddings under load and checks what it
// answers.
//
// # Load
//
// A level of load is a rate or a concurrency. A rate is an open loop: requests
// are due by a schedule, whatever became of those before, as from many users who
// do not know of each other. Each is sent over a free connection, a new one if
// there is none and there may be more, and its latency counts from when it was
// due; reports have it from when it was sent as well. A server that
// stalls is thus charged for all that would have come meanwhile, not only for
// the request that it stalled on: there is no coordinated omission. A
// concurrency is a closed loop: so many clients each send when they have their
// answer. It finds what a server can do at most, and says nothing about latency
// under a load that does not wait.
//
// Counts are of the requests that were due in the measured time, and all of
// these are waited for: right + rejected + refused + failed + wrong + lost =
// offered. Images a second are those whose vectors came in that time.
//
// # Answers
//
// Before anything is measured each image is sent alone, and every vector that
// follows is compared with that first one. A vector with other bits is right if
// it is near to the first one and nearer than to that of any other image; how
// far such vectors were is reported, since on a GPU they may differ by the size
// of the batch. On a CPU there should be none.
//
// # The server's own figures
//
// Time in queue, preparation and forward pass, batch sizes, CPU time and memory
// are those of the server's GET /metrics, as differences between the start of the
// measured time and its last answer. On a machine that does other work too, CPU time a request is the
// figure to trust.
//
// # CSV
//
// The first columns are those of NVIDIA's perf_analyzer, in microseconds, so
// that what reads its reports reads these: Concurrency or Request Rate,
// Inferences/Second, Client Send, Network+Server Send/Recv, Server Queue, Server
// Compute Input (preparation), Server Compute Infer (forward pass), Server
// Compute Output (always 0: it is part of Network+Server), Client Recv, p50, p90,
// p95 and p99 latency. Columns of our own follow.
package http

import (
	"context"
	"fmt"
	"net/url"
	"runtime/debug"
	"time"

	"vith/bench/machine"
)

// Options are what to measure.
type Options struct {
	URL    string // of the server
	APIKey string // "": none

	Images []Image
	Bad    float64 // share of images that nobody can read, 0 to 1
	Batch  int     // images a request; 0 is 1
	Send   Form    // how images are sent; "" is Raw, with one image a request, else Multipart
	Accept Form    // how vectors are answered; "" is JSON
	Seed   uint64  // of the order of images, and of arrivals

	Levels  []Level
	Poisson bool          // arrivals at random, not evenly spaced
	Warmup  time.Duration // load that is not measured, before each level
	Time    time.Duration // measured for each level; 0 is 5 s
	Timeout time.Duration // for each request from when it is due; 0 is 60 s

	// Connections at a rate; 0 is 4096. Requests that find all of them busy wait in the generator, which counts as their
	// latency: with fewer than fit into the server's queue it is not seen to refuse any.
	MaxConnections int

	Progress func(level string) // told of each level that begins; nil: nobody
}

// A Level is a load: one of its fields is not zero.
type Level struct {
	Concurrency int     // clients that wait for their answers
	Rate        float64 // requests a second
	OfCapacity  float64 // rate as a share of what the server reaches at CapacityConcurrency
}

// CapacityConcurrency is the closed loop that finds a server's capacity.
const CapacityConcurrency = 32

func (l Level) String() string {
	switch {
	case l.Concurrency > 0:
		return fmt.Sprintf("%d clients", l.Concurrency)
	case l.OfCapacity > 0 && l.Rate > 0:
		return fmt.Sprintf("%.0f%%: %.4g/s", 100*l.OfCapacity, l.Rate)
	case l.OfCapacity > 0:
		return fmt.Sprintf("%.0f%%", 100*l.OfCapacity)
	}
	return fmt.Sprintf("%.6g/s", l.Rate)
}

// Run measures each level. It fails if the server cannot be reached or does not
// embed one of the images, and with ctx's error when that ends.
func Run(ctx context.Context, o Options) (Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Report{}, fmt.Errorf("bench: %w", err)
	}
	base, err := url.Parse(o.URL)
	if err != nil || base.Host == "" {
		return Report{}, fmt.Errorf("bench: the server %q is not a URL such as http://localhost:7860", o.URL)
	}
	g := &generator{Options: o, target: newTarget(base, o)}
	if err := g.prepare(ctx); err != nil {
		return Report{}, fmt.Errorf("bench: %w", err)
	}
	r := Report{
		Date: time.Now().UTC(), Machine: machine.This(), Model: g.about(ctx),
		Send: o.Send, Accept: o.Accept, Batch: o.Batch, BadShare: g.badShare(), Poisson: o.Poisson,
		Images: g.mix.describe(),
	}
	capacity := 0.0 // requests a second
	for _, level := range o.Levels {
		if level.OfCapacity > 0 && capacity == 0 {
			p, err := g.measure(ctx, Level{Concurrency: CapacityConcurrency})
			if err != nil {
				return r, fmt.Errorf("bench: %w", err)
			}
			// What was begun in the measured time, by the time that it took: there is some even if the time is shorter
			// than an answer.
			if capacity = float64(p.Requests.Right+p.Requests.Rejected) / p.Elapsed; capacity == 0 {
				return r, fmt.Errorf("bench: the server answered nothing to %d clients", CapacityConcurrency)
			}
			r.Points = append(r.Points, p)
		}
		if level.OfCapacity > 0 {
			level.Rate = level.OfCapacity * capacity
		}
		p, err := g.measure(ctx, level)
		if err != nil {
			return r, fmt.Errorf("bench: %w", err)
		}
		r.Points = append(r.Points, p)
	}
	return r, nil
}

func (o Options) withDefaults() (Options, error) {
	if o.Batch == 0 {
		o.Batch = 1
	}
	if o.Send == "" {
		o.Send = Raw
		if o.Batch > 1 {
			o.Send = Multipart
		}
	}
	if o.Accept == "" {
		o.Accept = JSON
	}
	if o.Time == 0 {
		o.Time = 5 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 4096
	}
	switch {
	case o.Batch > 1 && o.Send == Raw:
		return o, fmt.Errorf("a raw body is one image, not %d", o.Batch)
	case len(o.Images) == 0:
		return o, fmt.Errorf("there are no images to send")
	case o.Bad < 0 || o.Bad >= 1:
		return o, fmt.Errorf("the share of bad images is %v; it must be from 0 to below 1", o.Bad)
	}
	return o, nil
}

// settle gives memory that an earlier level used back, so that it is not counted
// for the next one.
func settle() { debug.FreeOSMemory() }
