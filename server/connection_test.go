package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestDrain shuts down while a request is under way.
func TestDrain(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{})
	img := picture(t, 1)
	c.get("/health/ready").want(200)
	entered, release := make(chan struct{}), make(chan struct{})
	e.onEmbed = func(context.Context, int) error { close(entered); <-release; return nil }

	underWay := make(chan reply)
	go func() { underWay <- c.do("POST", "/api/embed", img) }()
	<-entered
	stopped := make(chan error)
	go func() { stopped <- c.server.Shutdown(context.Background()) }()
	for !c.server.gate.isClosed() {
		time.Sleep(time.Millisecond)
	}
	for _, path := range []string{"/health/ready", "/health"} {
		c.get(path).wantError(503, "draining")
	}
	c.get("/health/live").want(200)
	c.get("/api").want(200)
	r := c.do("POST", "/api/embed", img)
	r.wantError(503, "draining")
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	select {
	case err := <-stopped:
		t.Fatalf("Shutdown returned %v with a request under way", err)
	default:
	}
	close(release)
	(<-underWay).want(200)
	c.http.CloseIdleConnections()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := <-c.served; err != nil {
		t.Error(err)
	}
	if _, err := c.dial(); err == nil {
		t.Error("the listener is still open")
	}
}

// TestShutdownGivesUp shuts down while the engine hangs.
func TestShutdownGivesUp(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{})
	entered, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	e.onEmbed = func(context.Context, int) error { close(entered); <-release; return nil }
	underWay := make(chan reply)
	go func() { underWay <- c.do("POST", "/api/embed", picture(t, 1)) }()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown returned %v, want the context's error", err)
	}
	(<-underWay).wantError(503, "draining")
	c.http.CloseIdleConnections()
}

// TestRefusalIsReadable sends a whole large body before it reads, over TCP,
// where an early close would destroy the answer.
func TestRefusalIsReadable(t *testing.T) {
	s, err := New(newFakeEngine(), Config{MaxBodySize: 1 << 20, APIKeys: []string{"key"}})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(ln)
	defer s.Shutdown(t.Context())

	const large = 16 << 20
	chunked := bytes.Repeat([]byte("10000\r\n"+strings.Repeat("x", 1<<16)+"\r\n"), large>>16)
	f := func(name, header string, body []byte, status int) {
		t.Helper()
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		request := "POST /api/embed HTTP/1.1\r\nHost: vith\r\n" + header + "\r\n"
		if _, err := c.Write(append([]byte(request), body...)); err != nil {
			t.Fatalf("%s: sending: %v", name, err)
		}
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%s: reading: %v", name, err)
		}
		r := readReply(t, response).want(status)
		if r.header.Get("Connection") != "close" && !response.Close {
			t.Errorf("%s: the connection stays open", name)
		}
		r.decode()
		if n, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: read %d bytes, %v after the answer", name, n, err)
		}
	}
	auth := "Authorization: Bearer key\r\n"
	f("length", auth+fmt.Sprintf("Content-Length: %d\r\n", large), make([]byte, large), 413)
	f("chunked", auth+"Transfer-Encoding: chunked\r\n", append(chunked, "0\r\n\r\n"...), 413)
	f("no key", fmt.Sprintf("Content-Length: %d\r\n", large), make([]byte, large), 401)
	f("large header", "X: "+strings.Repeat("x", 1<<20)+"\r\n", nil, 431)
}

// exchange writes a request to a connection as it stands and reads the replies.
func exchange(t *testing.T, c *client, request string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := c.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

func nextReply(t *testing.T, r *bufio.Reader) reply {
	t.Helper()
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return readReply(t, response)
}

func TestExpectContinue(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{MaxBodySize: 1 << 20})
	img := picture(t, 1)
	head := "POST %s HTTP/1.1\r\nHost: vith\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"

	conn, r := exchange(t, c, fmt.Sprintf(head, "/api/embed", len(img)))
	nextReply(t, r).want(100)
	conn.Write(img)
	nextReply(t, r).want(200)

	_, r = exchange(t, c, fmt.Sprintf(head, "/api/embed", 1<<30))
	nextReply(t, r).wantError(413, "body_too_large")
	_, r = exchange(t, c, fmt.Sprintf(head, "/nothing", 100))
	nextReply(t, r).wantError(404, "not_found")
}

// TestSlowBody sends a body in pieces: first steadily, then without an end.
func TestSlowBody(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{ReadTimeout: 500 * time.Millisecond})
	img := picture(t, 1)
	head := fmt.Sprintf("POST /api/embed HTTP/1.1\r\nHost: vith\r\nContent-Length: %d\r\n\r\n", len(img))

	conn, r := exchange(t, c, head)
	for i := 0; i < len(img); i += 100 {
		conn.Write(img[i:min(i+100, len(img))])
		time.Sleep(time.Millisecond)
	}
	nextReply(t, r).want(200)

	conn, r = exchange(t, c, head)
	conn.Write(img[:100])
	nextReply(t, r).wantError(408, "request_timeout")

	_, r = exchange(t, c, "POST /api/embed HTTP/1.1\r\nHost")
	nextReply(t, r).wantError(408, "request_timeout")
}

// TestSlowReader asks for a large answer and does not read it.
func TestSlowReader(t *testing.T) {
	const values = 4 << 20 // 16 MiB, more than sockets keep for a reader
	e := newFakeEngine()
	e.info.Outputs = map[string][]int{"pooled": {values}}
	c := serve(t, e, Config{WriteTimeout: 50 * time.Millisecond})
	img := picture(t, 1)
	conn, r := exchange(t, c, fmt.Sprintf("POST /api/embed HTTP/1.1\r\nHost: vith\r\nAccept: application/octet-stream\r\nContent-Length: %d\r\n\r\n%s", len(img), img))
	response, err := http.ReadResponse(r, nil) // so that it is under way
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%v, %v", response, err)
	}
	for c.server.admission.bytes.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := io.Copy(io.Discard, response.Body); err == nil || n >= 4*values {
		t.Errorf("read %d bytes, %v; want the answer cut off", n, err)
	}
	c.wantNothingHeld()
	c.do("POST", "/api/embed", []byte("bad")).wantError(415, "unsupported_image_format")
}

func TestBrokenHTTP(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{})
	for _, request := range []string{
		"nonsense\r\n\r\n",
		"POST /api/embed HTTP/1.1\r\nHost: vith\r\nContent-Length: x\r\n\r\n",
	} {
		_, r := exchange(t, c, request)
		nextReply(t, r).wantError(400, "malformed_request")
	}
	conn, r := exchange(t, c, "POST /api/embed HTTP/1.1\r\nHost: vith\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nzz\r\n")
	nextReply(t, r).wantError(400, "incomplete_body")
	conn.Close()
}

// TestKeepAlive refuses a request whose body was read and uses the connection
// again, with a chunked one.
func TestKeepAlive(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{})
	img := picture(t, 1)
	conn, r := exchange(t, c, "POST /api/embed HTTP/1.1\r\nHost: vith\r\nContent-Length: 3\r\n\r\nbad")
	nextReply(t, r).wantError(415, "unsupported_image_format")
	fmt.Fprintf(conn, "POST /api/embed HTTP/1.1\r\nHost: vith\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(img), img)
	nextReply(t, r).want(200)
	io.WriteString(conn, "GET /health/live HTTP/1.1\r\nHost: vith\r\n\r\n")
	nextReply(t, r).want(200)
}
