package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A freeEngine's work costs nothing, so that what is measured is the server.
type freeEngine struct {
	info Info
	row  []float32
}

func newFreeEngine(maxBatch int) *freeEngine {
	e := &freeEngine{info: Info{
		Model: "free", ModelDigest: "sha256:0", Preprocessing: "free", Device: "cpu", Precision: "fp32",
		ImageSize: 224, InBytes: 3 * 224 * 224, Outputs: map[string][]int{"pooled": {1280}}, MaxBatch: maxBatch,
	}}
	random := rand.New(rand.NewPCG(1, 2))
	for range 1280 {
		e.row = append(e.row, float32(random.NormFloat64()))
	}
	return e
}

func (*freeEngine) Prepare(context.Context, []byte, []byte, PrepareOptions) error { return nil }
func (e *freeEngine) Info() Info                                                  { return e.info }
func (e *freeEngine) Devices() []Device                                           { return nil }

func (e *freeEngine) Embed(_ context.Context, _ string, n int, _ []byte, out []float32) error {
	for i := range n {
		copy(out[i*len(e.row):], e.row)
	}
	return nil
}

// A load is a server on a port of this machine, and a request to it as bytes.
type load struct {
	addr    string
	request string
	conn    net.Conn
	answer  *bufio.Reader
}

// newLoad serves e while a benchmark runs. header is that of the requests, body
// what they send to /api/embed.
func newLoad(b *testing.B, e Engine, c Config, header string, body []byte) *load {
	b.Helper()
	s, err := New(e, c)
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go s.Serve(ln)
	b.Cleanup(func() { s.Shutdown(context.Background()) })
	l := &load{addr: ln.Addr().String()}
	l.request = fmt.Sprintf("POST /api/embed HTTP/1.1\r\nHost: vith\r\n%sContent-Length: %d\r\n\r\n%s", header, len(body), body)
	l.connect(b)
	return l
}

func (l *load) connect(b *testing.B) {
	b.Helper()
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	l.conn, l.answer = conn, bufio.NewReaderSize(conn, 64<<10)
}

// one sends the request and reads its answer, with as little work as can be.
func (l *load) one(b *testing.B) {
	if _, err := io.WriteString(l.conn, l.request); err != nil {
		b.Error(err)
		return
	}
	length := 0
	for first := true; ; first = false {
		line, err := l.answer.ReadSlice('\n')
		if err != nil {
			b.Error(err)
			return
		}
		if first && !strings.HasPrefix(string(line), "HTTP/1.1 200 ") {
			b.Errorf("answer %s", line)
			return
		}
		if value, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		}
		if len(line) == 2 {
			break
		}
	}
	l.answer.Discard(length)
}

// answers are the forms of answer worth measuring.
var answers = []struct{ name, header string }{
	{"raw", "Accept: application/octet-stream\r\n"},
	{"base64", "Content-Type: multipart/form-data; boundary=x\r\n"},
	{"json", ""},
}

func answerBody(name string) []byte {
	if name == "base64" {
		return []byte("--x\r\nContent-Disposition: form-data; name=encoding_format\r\n\r\nbase64\r\n" +
			"--x\r\nContent-Disposition: form-data; name=a; filename=a\r\n\r\nimage\r\n--x--\r\n")
	}
	return []byte("image")
}

// BenchmarkRequests measures requests of one small image from many connections
// at once, with generator and server on the same cores.
func BenchmarkRequests(b *testing.B) {
	for _, form := range answers {
		for _, conns := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("answer=%s/conns=%d", form.name, conns), func(b *testing.B) {
				l := newLoad(b, newFreeEngine(16), Config{}, form.header, answerBody(form.name))
				clients := []*load{l}
				for len(clients) < conns {
					more := *l
					more.connect(b)
					clients = append(clients, &more)
				}
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for i, c := range clients {
					wg.Go(func() {
						for range (b.N + i) / conns {
							c.one(b)
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
			})
		}
	}
}

// BenchmarkLatency sends requests at a fixed rate, whatever becomes of those
// before, and counts each from when it was due: latency without coordinated
// omission. What GET /health/live takes in the same way is the generator's and
// the connection's share.
func BenchmarkLatency(b *testing.B) {
	for _, path := range []string{"/health/live", "/api/embed"} {
		for _, rate := range []int{1000, 5000, 10000, 15000} {
			b.Run(fmt.Sprintf("path=%s/rate=%d", path, rate), func(b *testing.B) { benchmarkLatency(b, path, rate) })
		}
	}
}

func benchmarkLatency(b *testing.B, path string, rate int) {
	const conns = 32
	l := newLoad(b, newFreeEngine(16), Config{}, answers[0].header, answerBody("raw"))
	if path != "/api/embed" {
		l.request = "GET " + path + " HTTP/1.1\r\nHost: vith\r\n\r\n"
	}
	due := make(chan time.Time, 1<<16)
	took := make([][]time.Duration, conns)
	var wg sync.WaitGroup
	for i := range conns {
		c := *l
		c.connect(b)
		wg.Go(func() {
			for at := range due {
				c.one(b)
				took[i] = append(took[i], time.Since(at))
			}
		})
	}
	b.ResetTimer()
	start := time.Now()
	for sent := 0; sent < b.N; {
		for at := dueAt(start, sent, rate); sent < b.N && !at.After(time.Now()); at = dueAt(start, sent, rate) {
			due <- at
			sent++
		}
		time.Sleep(50 * time.Microsecond)
	}
	close(due)
	wg.Wait()
	all := slices.Concat(took...)
	slices.Sort(all)
	for _, q := range []float64{0.5, 0.9, 0.99} {
		b.ReportMetric(float64(all[int(q*float64(len(all)-1))].Microseconds()), fmt.Sprintf("p%g-us", 100*q))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

func dueAt(start time.Time, n, rate int) time.Time {
	return start.Add(time.Duration(n) * time.Second / time.Duration(rate))
}

// BenchmarkBatcher measures the batcher alone: prepared images through an engine
// that costs nothing.
func BenchmarkBatcher(b *testing.B) {
	for _, images := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("images=%d", images), func(b *testing.B) {
			s, err := New(newFreeEngine(64), Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Shutdown(context.Background())
			q := s.batcher.queueOf("pooled")
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					s.admission.admitImages(images)
					t := s.tickets.get(context.Background(), nil, images, 1280, 0)
					t.begin()
					for i := range t.items {
						t.items[i].frame = s.frames.get()
						s.batcher.add(q, &t.items[i])
					}
					if err := t.wait(); err != nil {
						b.Error(err)
					}
					t.release()
				}
			})
			b.ReportMetric(float64(b.N*images)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
