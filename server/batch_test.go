package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A tagEngine's images are one byte, and so are their embeddings. It records
// what it is given.
type tagEngine struct {
	maxBatch, devices int
	embed             func(ctx context.Context, in []byte) error // nil: takes no time

	mu      sync.Mutex
	batches []string // "output:images"
	forget  bool     // records nothing
}

func (e *tagEngine) Prepare(_ context.Context, dst, img []byte, _ PrepareOptions) error {
	dst[0] = img[0]
	return nil
}

func (e *tagEngine) Embed(ctx context.Context, output string, n int, in []byte, out []float32) error {
	e.mu.Lock()
	if !e.forget {
		e.batches = append(e.batches, output+":"+string(in))
	}
	e.mu.Unlock()
	if len(in) != n || len(out) != n {
		panic("Embed called outside its contract")
	}
	if e.embed != nil {
		if err := e.embed(ctx, in); err != nil {
			return err
		}
	}
	for i, tag := range in {
		out[i] = float32(tag)
	}
	return nil
}

func (e *tagEngine) Info() Info {
	return Info{Device: "tags", Outputs: map[string][]int{"a": {1}, "b": {1}}, MaxBatch: e.maxBatch, InBytes: 1}
}

func (e *tagEngine) Devices() []Device { return make([]Device, e.devices) }

func (e *tagEngine) wantBatches(t *testing.T, want ...string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Equal(e.batches, want) {
		t.Errorf("batches %q, want %q", e.batches, want)
	}
	e.batches = nil
}

// A bench is a batcher of a tagEngine in a bubble of fake time.
type bench struct {
	*testing.T
	*batcher
	engine    *tagEngine
	frames    *framePool
	tickets   *ticketPool
	admission admission
	start     time.Time
}

// inBubble runs f with a batcher of e.
func inBubble(t *testing.T, e *tagEngine, c Config, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, e, c)
		defer b.close()
		f(b)
		synctest.Wait()
		if n := b.admission.images.Load(); n != 0 {
			t.Errorf("%d images are still held", n)
		}
	})
}

func newBench(t *testing.T, e *tagEngine, c Config) *bench {
	if c.ComputeTimeout == 0 {
		c.ComputeTimeout = time.Hour
	}
	c.Logger = slog.New(slog.DiscardHandler)
	s := &Server{engine: e, info: e.Info()}
	b := &bench{
		T: t, engine: e, frames: newFramePool(1), start: time.Now(),
		batcher: newBatcher(context.Background(), e, c, newMetrics(s), func(bool) {}),
	}
	b.tickets = newTicketPool(&b.admission)
	return b
}

// put queues a request of an image a byte of tags.
func (b *bench) put(ctx context.Context, output, tags string) *ticket {
	b.admission.images.Add(int64(len(tags)))
	tk := b.tickets.get(ctx, nil, len(tags), 1, 0)
	tk.begin()
	q := b.queueOf(output)
	for i := range tags {
		tk.items[i].frame = b.frames.get()
		tk.items[i].frame.pixels[0] = tags[i]
		b.add(q, &tk.items[i])
	}
	return tk
}

// want waits for a request and fails the test unless it has its embeddings, each
// at its place, after that time since the start.
func (b *bench) want(tk *ticket, tags string, after time.Duration) {
	b.Helper()
	if err := errors.Join(tk.wait(), tk.failure()); err != nil {
		b.Errorf("images %s: %v", tags, err)
	}
	for i, v := range tk.vectors {
		if v != float32(tags[i]) {
			b.Errorf("images %s: embedding %d is that of %c", tags, i, rune(v))
		}
	}
	if took := time.Since(b.start); took != after {
		b.Errorf("images %s: done after %v, want %v", tags, took, after)
	}
	tk.release()
}

func (b *bench) wantError(tk *ticket, want error) {
	b.Helper()
	err := tk.wait()
	if err == nil {
		err = tk.failure()
	}
	if !errors.Is(err, want) {
		b.Errorf("error %v, want %v", err, want)
	}
	tk.release()
}

const ms = time.Millisecond

func TestBatchForming(t *testing.T) {
	slow := func(context.Context, []byte) error { time.Sleep(10 * ms); return nil }

	t.Run("a full batch goes at once", func(t *testing.T) {
		e := &tagEngine{maxBatch: 4}
		inBubble(t, e, Config{MaxQueueDelay: 5 * ms}, func(b *bench) {
			b.want(b.put(b.Context(), "a", "1234"), "1234", 0)
			e.wantBatches(t, "a:1234")
		})
	})
	t.Run("one that is not full waits", func(t *testing.T) {
		e := &tagEngine{maxBatch: 4}
		inBubble(t, e, Config{MaxQueueDelay: 5 * ms}, func(b *bench) {
			one := b.put(b.Context(), "a", "1")
			time.Sleep(3 * ms)
			two := b.put(b.Context(), "a", "2")
			b.want(one, "1", 5*ms)
			b.want(two, "2", 5*ms)
			e.wantBatches(t, "a:12")
		})
	})
	t.Run("unless there is no delay", func(t *testing.T) {
		e := &tagEngine{maxBatch: 4, embed: slow}
		inBubble(t, e, Config{}, func(b *bench) {
			one := b.put(b.Context(), "a", "1")
			synctest.Wait()
			two, three := b.put(b.Context(), "a", "2"), b.put(b.Context(), "a", "3")
			b.want(one, "1", 10*ms)
			b.want(three, "3", 20*ms)
			b.want(two, "2", 20*ms)
			e.wantBatches(t, "a:1", "a:23")
		})
	})
	t.Run("large requests are split, small ones joined", func(t *testing.T) {
		e := &tagEngine{maxBatch: 4, embed: slow}
		inBubble(t, e, Config{MaxQueueDelay: 5 * ms}, func(b *bench) {
			large, small, last := b.put(b.Context(), "a", "123456"), b.put(b.Context(), "a", "7"), b.put(b.Context(), "a", "89")
			b.want(large, "123456", 20*ms)
			b.want(small, "7", 20*ms)
			b.want(last, "89", 30*ms)
			e.wantBatches(t, "a:1234", "a:5678", "a:9")
			if large.batch != 4 || large.computed.length() != 20*ms || large.waited != 10*ms {
				t.Errorf("the large request was in a batch of %d, computed in %v, waited %v", large.batch, large.computed.length(), large.waited)
			}
		})
	})
	t.Run("outputs do not mix, the oldest goes first", func(t *testing.T) {
		e := &tagEngine{maxBatch: 2, embed: slow}
		inBubble(t, e, Config{MaxQueueDelay: 5 * ms}, func(b *bench) {
			first := b.put(b.Context(), "b", "1")
			time.Sleep(ms)
			full := b.put(b.Context(), "a", "23") // takes the only worker until 11 ms
			time.Sleep(ms)
			later := b.put(b.Context(), "a", "45")
			b.want(full, "23", 11*ms)
			b.want(first, "1", 21*ms)
			b.want(later, "45", 31*ms)
			e.wantBatches(t, "a:23", "b:1", "a:45")
		})
	})
	t.Run("devices share a queue, each as fast as it is", func(t *testing.T) {
		var call atomic.Int32
		e := &tagEngine{maxBatch: 1, devices: 2}
		var slowest sync.Mutex
		e.embed = func(context.Context, []byte) error {
			if call.Add(1) == 1 {
				slowest.Lock()
				defer slowest.Unlock()
				time.Sleep(40 * ms)
				return nil
			}
			time.Sleep(10 * ms)
			return nil
		}
		inBubble(t, e, Config{}, func(b *bench) {
			b.want(b.put(b.Context(), "a", "12345"), "12345", 40*ms)
			if n := len(e.batches); n != 5 {
				t.Errorf("%d batches", n)
			}
		})
	})
}

// TestDelayEnds has delays that end while a worker is about to wait for their
// end. One that nobody notices would leave a lone image until the next one comes.
func TestDelayEnds(t *testing.T) {
	b := newBench(t, &tagEngine{maxBatch: 4, forget: true}, Config{MaxQueueDelay: time.Microsecond})
	defer b.close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range 5000 {
		tk := b.put(ctx, "a", "1")
		if err := tk.wait(); err != nil {
			t.Fatalf("image %d: %v", i, err)
		}
		tk.release()
	}
}

func TestDroppedBeforeCompute(t *testing.T) {
	e := &tagEngine{maxBatch: 2, embed: func(context.Context, []byte) error { time.Sleep(10 * ms); return nil }}
	inBubble(t, e, Config{MaxQueueDelay: ms}, func(b *bench) {
		ctx, cancel := context.WithCancel(b.Context())
		hasty, stop := context.WithTimeout(b.Context(), 5*ms)
		defer stop()
		running := b.put(b.Context(), "a", "12")
		cancelled, late := b.put(ctx, "a", "345"), b.put(hasty, "a", "6")
		last := b.put(b.Context(), "a", "78")
		failed := b.put(b.Context(), "a", "9")
		failed.fail(errAbandoned)
		synctest.Wait()
		cancel()
		b.wantError(cancelled, context.Canceled)
		b.wantError(late, context.DeadlineExceeded)
		if took := time.Since(b.start); took != 5*ms {
			t.Errorf("the deadline of 5 ms was told after %v", took)
		}
		b.want(running, "12", 10*ms)
		b.want(last, "78", 20*ms)
		b.wantError(failed, errAbandoned)
		e.wantBatches(t, "a:12", "a:78")
	})
}

// TestRetry has an image that brings down every batch it is in.
func TestRetry(t *testing.T) {
	broken := errors.New("device lost")
	for name, fault := range map[string]func() error{
		"error": func() error { return broken },
		"panic": func() error { panic(broken) },
	} {
		t.Run(name, func(t *testing.T) {
			e := &tagEngine{maxBatch: 4, embed: func(_ context.Context, in []byte) error {
				if slices.Contains(in, 'X') {
					return fault()
				}
				return nil
			}}
			inBubble(t, e, Config{MaxQueueDelay: ms}, func(b *bench) {
				one, bad, two := b.put(b.Context(), "a", "1"), b.put(b.Context(), "a", "X"), b.put(b.Context(), "a", "23")
				b.want(one, "1", 0)
				b.want(two, "23", 0)
				b.wantError(bad, errEngineFailed)
				e.wantBatches(t, "a:1X23", "a:1", "a:X", "a:2", "a:3")
			})
		})
	}
	t.Run("once in a while", func(t *testing.T) {
		calls := 0
		e := &tagEngine{maxBatch: 4, embed: func(context.Context, []byte) error {
			if calls++; calls == 1 {
				return broken
			}
			return nil
		}}
		inBubble(t, e, Config{MaxQueueDelay: ms}, func(b *bench) {
			b.want(b.put(b.Context(), "a", "12"), "12", ms)
			e.wantBatches(t, "a:12", "a:1", "a:2")
		})
	})
}

// TestStuck has engines that do not come back.
func TestStuck(t *testing.T) {
	config := Config{ComputeTimeout: 50 * ms}
	t.Run("another device takes over", func(t *testing.T) {
		var release chan struct{} // made in the bubble
		e := &tagEngine{maxBatch: 4, devices: 2}
		var calls atomic.Int32
		e.embed = func(context.Context, []byte) error {
			if calls.Add(1) == 1 {
				<-release
			}
			return nil
		}
		inBubble(t, e, config, func(b *bench) {
			release = make(chan struct{})
			one := b.put(b.Context(), "a", "1")
			synctest.Wait()
			b.want(b.put(b.Context(), "a", "2"), "2", 0) // by the other device
			b.want(one, "1", 50*ms)
			if b.allStuck() {
				t.Error("all devices are said to be stuck")
			}
			close(release)
			synctest.Wait()
			if b.stuck != 0 {
				t.Error("the device has come back and is not counted")
			}
		})
	})
	t.Run("no device is left", func(t *testing.T) {
		var release chan struct{}
		e := &tagEngine{maxBatch: 4, embed: func(ctx context.Context, in []byte) error {
			if in[0] == 'X' {
				<-ctx.Done() // when the batch is given up
				<-release
			}
			return nil
		}}
		inBubble(t, e, config, func(b *bench) {
			release = make(chan struct{})
			stuck := b.put(b.Context(), "a", "X")
			synctest.Wait()
			waiting := b.put(b.Context(), "a", "2")
			b.wantError(stuck, errStuck)
			b.wantError(waiting, errStuck)
			if took := time.Since(b.start); took != 50*ms {
				t.Errorf("given up after %v", took)
			}
			b.wantError(b.put(b.Context(), "a", "3"), errStuck) // at once
			if !b.allStuck() {
				t.Error("the device is not said to be stuck")
			}
			close(release)
			synctest.Wait()
			b.want(b.put(b.Context(), "a", "4"), "4", 50*ms)
		})
	})
}

func TestBatcherClose(t *testing.T) {
	inBubble(t, &tagEngine{maxBatch: 4}, Config{MaxQueueDelay: time.Hour}, func(b *bench) {
		waiting := b.put(b.Context(), "a", "1")
		b.close()
		b.wantError(waiting, errDraining)
		b.wantError(b.put(b.Context(), "a", "2"), errDraining)
	})
}

func TestQueue(t *testing.T) {
	var q queue
	var want []*item
	for i := range 100 { // grows while its start lies anywhere
		it := &item{}
		if i%3 == 0 {
			q.pushFront(it)
			want = slices.Insert(want, 0, it)
		} else {
			q.pushBack(it)
			want = append(want, it)
		}
		if i%5 == 0 {
			if q.popFront() != want[0] {
				t.Fatal("another item came out")
			}
			want = want[1:]
		}
	}
	for _, it := range want {
		if q.popFront() != it {
			t.Fatal("the order is lost")
		}
	}
	if q.n != 0 {
		t.Errorf("%d items are left", q.n)
	}
}

// TestClientGone closes a client's connection while its images wait.
func TestClientGone(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{MaxClientBatchSize: 8})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go c.server.Serve(ln)
	img := picture(t, 1)
	entered, release := make(chan struct{}, 8), make(chan struct{})
	e.onEmbed = func(context.Context, int) error { entered <- struct{}{}; <-release; return nil }
	var wg sync.WaitGroup
	wg.Go(func() { c.do("POST", "/api/embed", img).want(200) })
	<-entered

	body, contentType := encodeForm(t, [][]byte{img, img, img}, nil)
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /api/embed HTTP/1.1\r\nHost: vith\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", contentType, len(body), body)
	for c.server.batcher.waiting() < 3 {
		time.Sleep(ms)
	}
	conn.Close()
	time.Sleep(20 * ms) // until the kernel has told the other end
	close(release)
	wg.Wait()
	c.wantNothingHeld()
	if !slices.Equal(e.batches, []int{1}) {
		t.Errorf("batches %v: images were computed for nobody", e.batches)
	}
	if n := count(c.server.metrics.images[imageCanceled]); n != 3 {
		t.Errorf("%d images count as canceled, want 3", n)
	}
}
