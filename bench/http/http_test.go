package http

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vith/server"
	"vith/server/answer"
	"vith/vit/preprocess"
)

// photographs are a few small ones.
func photographs(t *testing.T) []Image {
	t.Helper()
	list, err := Photographs([]Size{{image.Pt(32, 24), 1}})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// wantAll fails the test unless what became of all requests adds up.
func wantAll(t *testing.T, p Point) {
	t.Helper()
	n := p.Requests
	if sum := n.Right + n.Rejected + n.Refused + n.Failed + n.Wrong + n.Lost; sum != n.Offered || n.Offered == 0 {
		t.Errorf("%s: %d of %d requests are accounted for: %+v", p.Level, sum, n.Offered, n)
	}
}

// reading is a Free engine that reads images, so that bad ones are bad.
type reading struct{ *Free }

func (r reading) Prepare(ctx context.Context, dst, img []byte, o server.PrepareOptions) error {
	pixels := make([]byte, 3*224*224)
	if err := preprocess.Crop(ctx, pixels, img, preprocess.Options{Size: 224, MaxPixels: int64(o.MaxPixels)}); err != nil {
		return err
	}
	return r.Free.Prepare(ctx, dst, img, o)
}

// TestRun measures a server at every kind of load, in every form.
func TestRun(t *testing.T) {
	url, stop, err := Serve(reading{NewFree()}, server.Config{APIKeys: []string{"key"}})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for _, send := range []Form{Raw, Multipart, JSON} {
		for _, accept := range []Form{JSON, Base64, Raw, NPY} {
			batch := 3
			if send == Raw {
				batch = 1
			}
			r, err := Run(t.Context(), Options{
				URL: url, APIKey: "key", Images: photographs(t), Bad: 0.25, Batch: batch, Send: send, Accept: accept,
				Levels: []Level{{Concurrency: 2}, {Rate: 200}}, Poisson: true, Warmup: time.Millisecond, Time: 40 * time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			if r.BadShare != 0.25 || r.Model.Name != "free" || len(r.Images) != 4 || len(r.Points) != 2 {
				t.Errorf("%s, %s: %+v", send, accept, r)
			}
			for _, p := range r.Points {
				wantAll(t, p)
				n := p.Requests
				if n.Right+n.Rejected != n.Offered || p.Inexact != 0 || len(p.Reasons) > 0 {
					t.Errorf("%s, %s, %s: %+v %v", send, accept, p.Level, n, p.Reasons)
				}
				if p.Server == nil || p.Server.Requests == 0 || p.Server.MemoryEnd == 0 {
					t.Errorf("%s, %s, %s: the server says %+v", send, accept, p.Level, p.Server)
				}
			}
		}
	}
}

func TestCapacity(t *testing.T) {
	url, stop, err := Serve(NewFree(), server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	r, err := Run(t.Context(), Options{URL: url, Images: photographs(t), Levels: []Level{{OfCapacity: 0.1}, {OfCapacity: 0.2}}, Time: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Points) != 3 || r.Points[0].Concurrency != CapacityConcurrency {
		t.Fatalf("%d points: %+v", len(r.Points), r.Points)
	}
	for i, share := range []float64{0.1, 0.2} {
		if p := r.Points[i+1]; p.Rate != share*(float64(r.Points[0].Requests.Right)/r.Points[0].Elapsed) || p.OfCapacity != share {
			t.Errorf("%+v of %+v", p, r.Points[0])
		}
	}
}

// TestCapacityOfSlowServer has answers that take longer than the measured time:
// each client has one, and the server does no more than 32 in the time of one.
func TestCapacityOfSlowServer(t *testing.T) {
	const slow = 20 * time.Millisecond
	photos := photographs(t)
	url := stub(t, len(photos), func(int, http.ResponseWriter) bool { time.Sleep(slow); return false })
	r, err := Run(t.Context(), Options{URL: url, Images: photos, Levels: []Level{{OfCapacity: 1}}, Time: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Points[0].Requests; n.Right != CapacityConcurrency {
		t.Errorf("%+v, want one from each of %d clients", n, CapacityConcurrency)
	}
	if got, most := r.Points[1].Rate, CapacityConcurrency/slow.Seconds(); got > most {
		t.Errorf("%v requests a second of a server that does at most %v", got, most)
	}
}

// TestCancelled ends while requests wait for a server that never answers.
func TestCancelled(t *testing.T) {
	photos := photographs(t)
	for _, level := range []Level{{Concurrency: 2}, {Rate: 1}} {
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		url := stub(t, len(photos), func(int, http.ResponseWriter) bool { cancel(); <-release; return false })
		t.Cleanup(func() { close(release) }) // before the stub is closed, which waits for its handlers
		if _, err := Run(ctx, Options{URL: url, Images: photos, Levels: []Level{level}, Time: time.Hour, Timeout: time.Hour}); !errors.Is(err, context.Canceled) {
			t.Errorf("%v: %v", level, err)
		}
	}
}

// TestServerFigures leaves out what the benchmark itself asks for, and gives up
// figures only if there are none at the end.
func TestServerFigures(t *testing.T) {
	figures := func(embeds, scrapes int) gauge {
		t.Helper()
		g, err := readGauge(fmt.Appendf(nil, `# TYPE vith_requests_total counter
vith_requests_total{code="200",endpoint="/api/embed"} %d
vith_requests_total{code="429",endpoint="/api/embed"} 2
vith_requests_total{code="200",endpoint="/metrics"} %d
`, embeds, scrapes))
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	watched := func() *watch {
		w := &watch{from: figures(3, 1), stop: make(chan struct{}), end: make(chan struct{})}
		close(w.end)
		w.note(figures(5, 2), nil)
		w.note(nil, io.ErrUnexpectedEOF)
		return w
	}
	if s := watched().stopped(); s != nil {
		t.Errorf("without figures at the end: %+v", s)
	}
	w := watched()
	w.note(figures(10, 8), nil)
	if s := w.stopped(); s == nil || s.Requests != 7 {
		t.Errorf("%+v, want 7 requests", s)
	}
}

// stub starts a server that gives each body a vector of its own, unless handle,
// which sees a request's number after those by which the images are learnt, has
// answered.
func stub(t *testing.T, images int, handle func(n int, w http.ResponseWriter) (answered bool)) (url string) {
	t.Helper()
	var seen atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if r.Method != "POST" || err != nil {
			http.NotFound(w, r)
			return
		}
		if n := int(seen.Add(1)) - images; n > 0 && handle(n, w) {
			return
		}
		random := rand.New(rand.NewPCG(uint64(crc32.ChecksumIEEE(body)), 1))
		vector := make([]float32, dim)
		for i := range vector {
			vector[i] = random.Float32()
		}
		a := answer.Answer{Shape: []int{dim}, Data: []answer.Item{{Embedding: vector}}}
		a.WriteJSON(w)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestOpenLoop has a server that answers nobody before all requests have come:
// whoever waited for an answer before the next request would wait for ever.
func TestOpenLoop(t *testing.T) {
	const rate, seconds = 1000, 0.05
	photos := photographs(t)
	all := make(chan struct{})
	url := stub(t, len(photos), func(n int, _ http.ResponseWriter) bool {
		if n == rate*seconds {
			close(all)
		}
		<-all
		return false
	})
	r, err := Run(t.Context(), Options{URL: url, Images: photos, Levels: []Level{{Rate: rate}}, Time: time.Duration(seconds * float64(time.Second))})
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Points[0].Requests; n.Right != rate*seconds || n.Offered != n.Right {
		t.Errorf("%+v", n)
	}
}

// TestLatencyFromDue sends a request that was due long ago: it has waited for all
// that time, whoever was at fault.
func TestLatencyFromDue(t *testing.T) {
	photos := photographs(t)
	url := stub(t, len(photos), func(int, http.ResponseWriter) bool { return false })
	o, err := Options{URL: url, Images: photos}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	base, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	g := &generator{Options: o, target: newTarget(base, o)}
	if err := g.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := &run{generator: g, tally: newTally()}
	c := &client{target: &g.target}
	defer c.close()
	r.send(t.Context(), c, arrival{time.Now().Add(-10 * time.Second), r.following()})
	p := r.tally.point(Level{Rate: 1}, time.Second)
	if p.Latency.P50 < 10e6 || p.Late.P50 < 10e6 || p.Taken.P50 > p.Latency.P50-p.Late.P50+1e4 || p.Taken.Count != 1 || p.Requests.Right != 1 {
		t.Errorf("latency %v, late %v, taken %v µs, %+v", p.Latency, p.Late, p.Taken, p.Requests)
	}
}

// TestUnreliableServer counts what a bad server does.
func TestUnreliableServer(t *testing.T) {
	photos := photographs(t)
	hang := func(w http.ResponseWriter, answer string) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		io.WriteString(conn, answer)
		conn.Close()
	}
	url := stub(t, len(photos), func(n int, w http.ResponseWriter) bool {
		switch n % 6 {
		case 0:
			w.WriteHeader(http.StatusTooManyRequests)
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, `{"error":{"code":"internal_error"}}`)
		case 2:
			hang(w, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
		case 3:
			a := answer.Answer{Shape: []int{dim}, Data: []answer.Item{{Embedding: make([]float32, dim)}}}
			a.WriteJSON(w)
		default:
			return false
		}
		return true
	})
	r, err := Run(t.Context(), Options{URL: url, Images: photos, Levels: []Level{{Rate: 600}}, Time: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	p := r.Points[0]
	if want := (Counts{Offered: 30, Right: 10, Refused: 5, Failed: 5, Wrong: 5, Lost: 5}); p.Requests != want {
		t.Errorf("%+v, want %+v", p.Requests, want)
	}
	if p.Reasons["500 internal_error"] != 5 || p.Reasons["unexpected EOF"] != 5 || len(p.Reasons) < 3 {
		t.Errorf("reasons %v", p.Reasons)
	}
	if p.Server != nil {
		t.Errorf("a server without metrics says %+v", p.Server)
	}
}

// TestConnectionClosed has a server that closes every connection after an answer,
// without a word: the next request goes over another one.
func TestConnectionClosed(t *testing.T) {
	photos := photographs(t)
	url := stub(t, 0, func(int, http.ResponseWriter) bool { return false })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			req, err := http.ReadRequest(bufio.NewReader(conn))
			if err != nil {
				conn.Close()
				continue
			}
			behind, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				panic(err)
			}
			req.Close = false
			req.Write(behind)
			res, err := http.ReadResponse(bufio.NewReader(behind), req)
			if err != nil {
				panic(err)
			}
			res.Write(conn)
			conn.Close()
			behind.Close()
		}
	}()
	r, err := Run(t.Context(), Options{
		URL: "http://" + ln.Addr().String(), Images: photos, Levels: []Level{{Concurrency: 1}}, Time: 30 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	wantAll(t, r.Points[0])
	if n := r.Points[0].Requests; n.Right != n.Offered {
		t.Errorf("%+v %v", n, r.Points[0].Reasons)
	}
}

func TestRunRefuses(t *testing.T) {
	photos := photographs(t)
	url := stub(t, 0, func(int, http.ResponseWriter) bool { return false })
	f := func(o Options, want string) {
		t.Helper()
		o.Levels = []Level{{Concurrency: 1}}
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	f(Options{URL: url}, "no images")
	f(Options{URL: "7860", Images: photos}, `"7860"`)
	f(Options{URL: "http://127.0.0.1:1", Images: photos}, "127.0.0.1:1")
	f(Options{URL: url, Images: photos, Bad: 1}, "share of bad images is 1")
	f(Options{URL: url, Images: photos, Batch: 2, Send: Raw}, "one image, not 2")
	f(Options{URL: url, Images: photos, Send: "fax"}, `"fax"`)
	f(Options{URL: url, Images: append(photos, photos[0])}, "same vector")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(cancelled, Options{URL: url, Images: photos, Levels: []Level{{Rate: 1}}}); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
}

// TestImages holds the good images readable and the bad ones not.
func TestImages(t *testing.T) {
	dst := make([]byte, 3*224*224)
	read := func(i Image) error {
		return preprocess.Crop(t.Context(), dst, i.Data, preprocess.Options{Size: 224, MaxPixels: 89478485})
	}
	photos, err := Photographs([]Size{{image.Pt(640, 480), 3}, {image.Pt(17, 300), 1}})
	if err != nil {
		t.Fatal(err)
	}
	for i, photo := range photos {
		if photo.Weight != []float64{0.75, 0.25}[i/4] {
			t.Errorf("%s has weight %v", photo.Name, photo.Weight)
		}
		if err := read(photo); err != nil {
			t.Errorf("%s: %v", photo.Name, err)
		}
		if again, err := Photograph(image.Pt(640, 480), uint64(i+1)); i < 4 && (err != nil || !reflect.DeepEqual(again.Data, photo.Data)) {
			t.Errorf("%s is another one the second time: %v", photo.Name, err)
		}
	}
	bad, err := badImages()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bad {
		if read(b) == nil {
			t.Errorf("%s can be read", b.Name)
		}
	}

	m := &mix{images: append(photos, bad...), good: len(photos)}
	count := make([]int, len(m.images))
	for _, at := range m.draw(800, 0.25, rand.New(rand.NewPCG(1, 1))) {
		count[at]++
	}
	// 600 good ones, of weights 3/4 and 1/4 for each of four; 200 bad ones of five kinds.
	if want := []int{113, 113, 113, 113, 37, 37, 37, 37, 40, 40, 40, 40, 40}; !reflect.DeepEqual(count, want) {
		t.Errorf("drawn %v, want %v", count, want)
	}
}

func TestParse(t *testing.T) {
	concurrency := func(s string, want ...int) {
		t.Helper()
		levels, err := ParseConcurrency(s)
		var got []int
		for _, l := range levels {
			got = append(got, l.Concurrency)
		}
		if !reflect.DeepEqual(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	concurrency("1", 1)
	concurrency("1,4, 16", 1, 4, 16)
	concurrency("2:10:3", 2, 5, 8)
	concurrency("2:4", 2, 3, 4)
	for _, s := range []string{"", "0", "x", "1:2:3:4", "4:2:1", "1:2:0", "1;2", "50%", "1:1000000000:1", "-1"} {
		concurrency(s)
	}
	rates := func(s string, want ...Level) {
		t.Helper()
		if got, err := ParseRates(s); !reflect.DeepEqual(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	rates("100,0.5", Level{Rate: 100}, Level{Rate: 0.5})
	rates("50%,200%", Level{OfCapacity: 0.5}, Level{OfCapacity: 2})
	rates("100:100:1e-20", Level{Rate: 100})
	rates("0.1:0.3:0.1", Level{Rate: 0.1}, Level{Rate: 0.2}, Level{Rate: 0.3})
	rates("50%:150%:50%", Level{OfCapacity: 0.5}, Level{OfCapacity: 1}, Level{OfCapacity: 1.5})
	for _, s := range []string{"", "0", "-1", "50%,100", "1e9", "100:101:1e-20", "NaN", "Inf", "%"} {
		rates(s)
	}
	sizes := func(s string, want ...Size) {
		t.Helper()
		if got, err := ParseSizes(s); !reflect.DeepEqual(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	sizes("640x480", Size{image.Pt(640, 480), 1})
	sizes("1x2:3, 4x5:0.5", Size{image.Pt(1, 2), 3}, Size{image.Pt(4, 5), 0.5})
	for _, s := range []string{"", "640", "0x1", "1x-1", "1x1:0", "1x1:", "1x1:x", "x", "99999x1", "1x1:NaN"} {
		sizes(s)
	}
}
