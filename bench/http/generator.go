package http

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A generator sends load to a server.
type generator struct {
	Options
	target   target
	mix      *mix
	requests []request
	checker  *checker
}

// prepare makes what is sent and learns the images' vectors.
func (g *generator) prepare(ctx context.Context) (err error) {
	g.mix = &mix{images: g.Images[:len(g.Images):len(g.Images)], good: len(g.Images)}
	if g.Bad > 0 {
		bad, err := badImages()
		if err != nil {
			return err
		}
		g.mix.images = append(g.mix.images, bad...)
	}
	if g.requests, err = g.target.requests(g.Options, g.mix); err != nil {
		return err
	}
	g.checker = &checker{accept: g.Accept, mix: g.mix, known: make([]known, len(g.mix.images))}
	c := client{target: &g.target}
	defer c.close()
	for i := range g.mix.good {
		rq, err := g.target.embed(g.Send, g.Accept, g.mix, []int{i})
		if err != nil {
			return err
		}
		deadline := time.Now().Add(g.Timeout)
		for {
			if _, err := c.do(ctx, rq, deadline); err != nil {
				return fmt.Errorf("the server at %s: %w", g.URL, err)
			}
			if c.answer.StatusCode() != http.StatusTooManyRequests || !sleepUntil(ctx, time.Now().Add(100*time.Millisecond)) {
				break
			}
		}
		if err := g.checker.learn(i, c.answer.StatusCode(), c.answer.Body()); err != nil {
			return err
		}
	}
	return nil
}

// badShare is the share of bad images among those of the requests as made.
func (g *generator) badShare() float64 {
	bad, all := 0, 0
	for _, rq := range g.requests {
		for _, at := range rq.images {
			all++
			if at >= g.mix.good {
				bad++
			}
		}
	}
	return float64(bad) / float64(all)
}

// A run is one level under way.
type run struct {
	*generator
	from, to time.Time // measured between these
	next     atomic.Int64
	tally    *tally
}

// measure puts a level of load on the server.
func (g *generator) measure(ctx context.Context, level Level) (Point, error) {
	if g.Progress != nil {
		g.Progress(level.String())
	}
	settle()
	from := time.Now().Add(g.Warmup)
	r := &run{generator: g, from: from, to: from.Add(g.Time), tally: newTally()}
	watching := make(chan *watch, 1)
	started := time.AfterFunc(g.Warmup, func() { watching <- g.follow(ctx) })
	var err error
	if level.Concurrency > 0 {
		err = r.closed(ctx, level.Concurrency)
	} else {
		err = r.open(ctx, level.Rate)
	}
	if err != nil {
		if !started.Stop() {
			(<-watching).stopped()
		}
		return Point{}, err
	}
	p := r.tally.point(level, g.Time)
	p.Elapsed = time.Since(r.from).Seconds()
	p.Server = (<-watching).stopped()
	return p, nil
}

// An arrival is a request that is due.
type arrival struct {
	due     time.Time
	request request
}

// following returns the next request of the order of all.
func (r *run) following() request {
	return r.requests[int(r.next.Add(1)-1)%len(r.requests)]
}

// closed sends from so many clients, each when it has its answer, and at least
// once in the measured time or as soon as it can after that.
func (r *run) closed(ctx context.Context, clients int) error {
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			c := &client{target: &r.target}
			defer c.close()
			for measured := false; ctx.Err() == nil; {
				now := time.Now()
				if measured && !now.Before(r.to) {
					return
				}
				measured = !now.Before(r.from)
				r.send(ctx, c, arrival{now, r.following()})
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// open sends so many requests a second, whatever becomes of those before.
func (r *run) open(ctx context.Context, rate float64) error {
	due := make(chan arrival, int(1.1*rate*(r.Warmup+r.Time).Seconds())+100) // room for all, so that the schedule does not wait
	var (
		wg      sync.WaitGroup
		clients int
		open    atomic.Int64 // requests that are due and not answered
	)
	client := func() {
		c := &client{target: &r.target}
		defer c.close()
		for a := range due {
			r.send(ctx, c, a)
			open.Add(-1)
		}
	}
	// This goroutine sleeps in the kernel and keeps what runs goroutines on a core meanwhile: there is to be one to spare, lest
	// a server in this process is short of it.
	cores := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(cores + 1)
	defer runtime.GOMAXPROCS(cores)
	random := rand.New(rand.NewPCG(r.Seed, 2))
	start := r.from.Add(-r.Warmup)
	elapsed := 0.0 // of the schedule, in intervals
	for ctx.Err() == nil {
		at := start.Add(time.Duration(elapsed / rate * float64(time.Second)))
		if !at.Before(r.to) {
			break
		}
		if r.Poisson {
			elapsed += random.ExpFloat64()
		} else {
			elapsed++
		}
		if !sleepUntil(ctx, at) {
			break
		}
		due <- arrival{at, r.following()}
		if int(open.Add(1)) > clients && clients < r.MaxConnections {
			clients++
			wg.Go(client)
		}
	}
	close(due)
	wg.Wait()
	return ctx.Err()
}

// sleepUntil returns at that time, or false when ctx has ended before.
func sleepUntil(ctx context.Context, at time.Time) bool {
	const alone = 10 * time.Millisecond // the longest sleep that does not look at ctx
	for {
		left := time.Until(at)
		switch {
		case left <= 0:
			return true
		case left <= alone:
			pause(left)
			return true
		}
		select {
		case <-time.After(left - alone/2):
		case <-ctx.Done():
			return false
		}
	}
}

// send sends a request and notes what became of it.
func (r *run) send(ctx context.Context, c *client, a arrival) {
	t, err := c.do(ctx, a.request, a.due.Add(r.Timeout))
	v := verdict{outcome: lost}
	if err == nil {
		v = r.checker.judge(a.request.images, c.answer.StatusCode(), c.answer.Body())
	} else {
		v.why = reason(err)
	}
	if ctx.Err() != nil {
		return // cut off by whoever wants no more of this
	}
	r.tally.note(a.due, t, v, !a.due.Before(r.from), t.ended.After(r.from) && !t.ended.After(r.to))
}

// reason names what kept an answer away, without addresses, so that reasons can
// be counted.
func reason(err error) string {
	if timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && timeout.Timeout() {
		return "no answer in time"
	}
	for unwrapped := errors.Unwrap(err); unwrapped != nil; unwrapped = errors.Unwrap(err) {
		err = unwrapped
	}
	return err.Error()
}
