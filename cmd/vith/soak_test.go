//go:build full

package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"image"
	"io"
	"math/rand/v2"
	"net"
	nethttp "net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"vith/bench/http"
)

// TestSoak has a server under load for VITH_SOAK, 10 minutes by default. A quarter of the inputs are damaged; beside those
// who wait for their answers there are clients who cut their uploads, send or read slowly, or leave. Every answer is
// checked, and in the end the server holds what it held in the beginning: no goroutine and no file more, no request, and
// no more heap than the collector's view of the same state may differ by.
func TestSoak(t *testing.T) {
	duration, err := time.ParseDuration(cmp.Or(os.Getenv("VITH_SOAK"), "10m"))
	if err != nil {
		t.Fatalf("VITH_SOAK: %v", err)
	}
	s := serve(t, "--pprof", "127.0.0.1:0", "--max-queue-size", "64", "--max-client-batch-size", "32")
	photos, err := http.Photographs([]http.Size{{Point: image.Pt(640, 480), Weight: 6}, {Point: image.Pt(64, 48), Weight: 3}, {Point: image.Pt(1632, 1224), Weight: 1}})
	if err != nil {
		t.Fatal(err)
	}
	load := func(duration time.Duration) {
		t.Helper()
		forms := []http.Options{
			{Send: http.Raw, Accept: http.JSON}, {Send: http.Multipart, Accept: http.Base64, Batch: 5},
			{Send: http.JSON, Accept: http.JSON, Batch: 3}, {Send: http.Raw, Accept: http.NPY},
		}
		for _, o := range forms {
			o.URL, o.Images, o.Bad, o.Time = s.url, photos, 0.25, duration/time.Duration(len(forms))
			o.Levels = []http.Level{{Concurrency: 6}}
			r, err := http.Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range r.Points {
				n := p.Requests
				t.Logf("%s to %s: %+v, %.1f images/s", o.Send, o.Accept, n, p.ImagesPerSecond)
				if p.Server == nil {
					t.Errorf("%s to %s: GET /metrics failed in the end", o.Send, o.Accept)
				}
				if n.Wrong+n.Lost+n.Failed > 0 || n.Right == 0 || n.Rejected == 0 && o.Batch == 0 || p.Inexact > 0 {
					t.Errorf("%+v, %v", n, p.Reasons)
				}
			}
		}
	}

	var rude [len(rudeness)]atomic.Int64
	everybody := func(duration time.Duration) (loaded gauges) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		for kind, behave := range rudeness {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(kind)))
				for ctx.Err() == nil {
					behave(ctx, s, photos[random.IntN(len(photos))].Data, random)
					rude[kind].Add(1)
				}
			})
		}
		load(duration)
		return s.gauges(t)
	}
	early := everybody(duration / 5)
	start := s.settled(t, gauges{}) // with all that is started when it is first needed
	late := everybody(duration * 4 / 5)
	end := s.settled(t, start)
	for kind := range rude {
		n := rude[kind].Load()
		t.Logf("rude client %d: %d times", kind, n)
		if n == 0 {
			t.Errorf("rude client %d did not come", kind)
		}
	}
	t.Logf("start %+v\nearly %+v\nlate %+v\nend %+v", start, early, late, end)
	// What requests may hold together, and a quarter for all else: what leaks with every image has no ceiling.
	if late.memory > 5<<28 {
		t.Errorf("memory has grown from %d to %d MiB", early.memory>>20, late.memory>>20)
	}
	if end.heap > start.heap+heapMargin {
		t.Errorf("the heap has grown from %d to %d KiB, by more than %d", start.heap>>10, end.heap>>10, heapMargin>>10)
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	if code, logs := s.wait(); code != 0 || strings.Contains(logs, "panic") {
		t.Errorf("exit %d\n%s", code, logs)
	}
}

// heapMargin is ten times what the heap grew by in a minute, and less than 150 bytes for each request of ten.
const heapMargin = 4 << 20

// rudeness is what clients do that servers do not like, each time on a connection of its own.
var rudeness = [...]func(ctx context.Context, s *running, image []byte, random *rand.Rand){
	func(_ context.Context, s *running, image []byte, random *rand.Rand) { // cuts the upload
		s.rude(func(conn net.Conn) { conn.Write(upload(image)[:random.IntN(len(image))]) })
	},
	func(_ context.Context, s *running, image []byte, random *rand.Rand) { // leaves when all is sent
		s.rude(func(conn net.Conn) {
			conn.Write(upload(image))
			time.Sleep(time.Duration(random.IntN(5)) * time.Millisecond)
		})
	},
	func(ctx context.Context, s *running, image []byte, random *rand.Rand) { // sends bit by bit
		s.rude(func(conn net.Conn) {
			whole := upload(image)
			for i := 0; i < len(whole) && ctx.Err() == nil; i += len(whole)/20 + 1 {
				if _, err := conn.Write(whole[i:min(i+len(whole)/20+1, len(whole))]); err != nil {
					return
				}
				time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
			}
			if ctx.Err() == nil { // else the server waits for the rest
				bufio.NewReader(conn).ReadByte()
			}
		})
	},
	func(ctx context.Context, s *running, image []byte, random *rand.Rand) { // reads bit by bit, and not to the end
		s.rude(func(conn net.Conn) {
			conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			conn.Write(upload(image))
			for range random.IntN(20) {
				if _, err := io.CopyN(io.Discard, conn, 100); err != nil || ctx.Err() != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	},
	func(_ context.Context, s *running, _ []byte, random *rand.Rand) { // does not speak HTTP
		s.rude(func(conn net.Conn) {
			noise := make([]byte, random.IntN(4096))
			for i := range noise {
				noise[i] = byte(random.Uint32())
			}
			conn.Write(noise)
			time.Sleep(10 * time.Millisecond)
		})
	},
}

// upload asks for all tokens of an image, which is a large answer, and for nothing after it: whoever reads on where the
// answer is a short error would else wait for the server's idle timeout.
func upload(image []byte) []byte {
	return append(fmt.Appendf(nil, "POST /api/embed?output=penultimate HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", len(image)), image...)
}

func (s *running) rude(behave func(net.Conn)) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		return // the checks of answers tell whether the server lives
	}
	defer conn.Close()
	behave(conn)
}

// gauges are what a server holds.
type gauges struct {
	goroutines, files, images, bytes, memory int64
	heap                                     int64 // of the last collection and since, bytes
}

func (s *running) gauges(t *testing.T) gauges {
	t.Helper()
	res, err := nethttp.Get(s.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	value := func(name string) int64 {
		if families[name] == nil {
			t.Fatalf("no metric %s", name)
		}
		return int64(families[name].GetMetric()[0].GetGauge().GetValue())
	}
	return gauges{
		goroutines: value("go_goroutines"), files: value("process_open_fds"),
		images: value("vith_inflight_images"), bytes: value("vith_inflight_bytes"), memory: value("process_resident_memory_bytes"),
		heap: value("go_memstats_heap_alloc_bytes"),
	}
}

// settled waits until the server holds no request, and no more goroutines and files than it did then. Without a then it
// waits until there are no fewer of them any more, and returns the fewest: one look may see a connection that is about to
// go. The heap is that after two collections, of which the first only ages sync.Pools.
func (s *running) settled(t *testing.T, then gauges) gauges {
	t.Helper()
	const (
		patience = 3 * time.Minute // longer than any timeout of the server
		looks    = 25              // a second apart: fasthttp keeps an idle worker for up to 20 s
	)
	now := s.gauges(t)
	fewest, unchanged := now, 0
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(time.Second) {
		nethttp.DefaultClient.CloseIdleConnections()
		now = s.gauges(t)
		last := fewest
		fewest = now
		fewest.goroutines, fewest.files = min(last.goroutines, now.goroutines), min(last.files, now.files)
		if unchanged++; fewest.goroutines < last.goroutines || fewest.files < last.files {
			unchanged = 0
		}
		calm := unchanged >= looks
		if then != (gauges{}) {
			calm = fewest.goroutines <= then.goroutines && fewest.files <= then.files
		}
		if calm && now.images == 0 && now.bytes == 0 {
			for range 2 {
				if _, err := s.profile("heap?gc=1"); err != nil {
					t.Fatal(err)
				}
			}
			fewest.heap = s.gauges(t).heap
			return fewest
		}
	}
	goroutines, err := s.profile("goroutine?debug=1")
	if err != nil {
		goroutines = []byte(err.Error())
	}
	t.Errorf("after %v without a client the server holds %+v, in the beginning %+v\n%s", patience, now, then, goroutines)
	return now
}

// profile returns one of the server's profiles.
func (s *running) profile(name string) ([]byte, error) {
	res, err := nethttp.Get(regexp.MustCompile(`http://127\.0\.0\.1:\d+/debug/pprof/`).FindString(s.said) + name)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != nethttp.StatusOK {
		err = fmt.Errorf("%s: %s", name, res.Status)
	}
	return body, err
}
