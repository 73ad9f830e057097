package server

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"testing"
	"time"
)

// A client talks to a Server over a socket, as clients do.
type client struct {
	t      *testing.T
	server *Server
	http   *http.Client
	ln     net.Listener
	served chan error // what Serve returned
}

// serve starts a Server for the duration of the test.
func serve(t *testing.T, e Engine, c Config) *client {
	t.Helper()
	s, err := New(e, c)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cl := &client{t: t, server: s, ln: ln, served: make(chan error, 1)}
	go func() { cl.served <- s.Serve(ln) }()
	transport := &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return cl.dial() },
	}
	cl.http = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return cl
}

func (c *client) dial() (net.Conn, error) { return net.Dial("tcp", c.ln.Addr().String()) }

// wantNothingHeld fails the test if what requests held is not given back soon
// after their answers.
func (c *client) wantNothingHeld() {
	c.t.Helper()
	a := &c.server.admission
	for range 1000 {
		if a.images.Load() == 0 && a.bytes.Load() == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	c.t.Errorf("%d images and %d bytes are still held", a.images.Load(), a.bytes.Load())
}

// A reply is a response that was read to its end.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

// do sends a request; header is pairs of name and value.
func (c *client) do(method, path string, body []byte, header ...string) reply {
	c.t.Helper()
	request, err := http.NewRequest(method, "http://vith"+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := c.http.Do(request)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return readReply(c.t, response)
}

func readReply(t *testing.T, response *http.Response) reply {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{t, response.StatusCode, response.Header, body}
}

func (c *client) get(path string, header ...string) reply {
	c.t.Helper()
	return c.do("GET", path, nil, header...)
}

// json posts a value, or JSON text, to /api/embed.
func (c *client) json(v any, header ...string) reply {
	c.t.Helper()
	body, ok := v.(string)
	if !ok {
		encoded, err := json.Marshal(v)
		if err != nil {
			c.t.Fatal(err)
		}
		body = string(encoded)
	}
	return c.do("POST", "/api/embed", []byte(body), append(header, "Content-Type", "application/json")...)
}

// form posts files, and fields as pairs of name and value, to a path.
func (c *client) form(path string, files [][]byte, fields []string, header ...string) reply {
	c.t.Helper()
	body, contentType := encodeForm(c.t, files, fields)
	return c.do("POST", path, body, append(header, "Content-Type", contentType)...)
}

func encodeForm(t *testing.T, files [][]byte, fields []string) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		if err := w.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	for i, file := range files {
		name := string(rune('a' + i))
		part, err := w.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {`form-data; name="` + name + `"; filename="` + name + `.png"`},
			"Content-Type":        {"image/png"},
		})
		if err != nil {
			t.Fatal(err)
		}
		part.Write(file)
	}
	w.Close()
	return b.Bytes(), w.FormDataContentType()
}

// want fails the test if the reply has another status.
func (r reply) want(status int) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status %d, want %d: %.300s", r.status, status, r.body)
	}
	return r
}

// An embedded is the JSON answer of /api/embed, success or not.
type embedded struct {
	Model         string
	ModelDigest   string `json:"model_digest"`
	Preprocessing string
	Device        string
	Precision     string
	Output        string
	Dim           int
	Normalized    bool
	Synthetic     *bool
	Data          []struct {
		Index     int
		ID        *string
		Image     *string
		Shape     []int
		Crop      string
		Embedding json.RawMessage
		Error     *struct{ Code, Message string }
	}
	Timing map[string]float64 `json:"timing_ms"`
	Error  *struct {
		Code, Message, Type string
		Param               *string
	}
}

func (r reply) decode() (e embedded) {
	r.t.Helper()
	if got := r.header.Get("Content-Type"); got != "application/json" {
		r.t.Fatalf("Content-Type %q, want application/json", got)
	}
	if err := json.Unmarshal(r.body, &e); err != nil {
		r.t.Fatalf("%v in %.300s", err, r.body)
	}
	return e
}

// wantError fails the test unless the reply is that error, in the shape that
// every error has.
func (r reply) wantError(status int, code string) embedded {
	r.t.Helper()
	e := r.want(status).decode()
	if e.Error == nil || e.Error.Code != code || e.Error.Message == "" || e.Error.Type == "" {
		r.t.Fatalf("error %.300s, want code %s with message and type", r.body, code)
	}
	if r.header.Get("x-request-id") == "" {
		r.t.Fatal("no x-request-id")
	}
	return e
}

func (e embedded) vector(t *testing.T, i int) (v []float32) {
	t.Helper()
	if err := json.Unmarshal(e.Data[i].Embedding, &v); err != nil {
		t.Fatalf("item %d: %v", i, err)
	}
	return v
}

// picture returns a PNG that is different for every seed.
func picture(t testing.TB, seed int) []byte {
	t.Helper()
	return sizedPicture(t, seed, 23, 17)
}

func sizedPicture(t testing.TB, seed, width, height int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.Set(x, y, color.RGBA{uint8(x*7 + seed*31), uint8(y*11 ^ seed*5), uint8(x*y + seed), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// wantVector returns what the engine makes of an image when nothing lies
// between them.
func wantVector(t *testing.T, e *fakeEngine, output string, img []byte) []float32 {
	t.Helper()
	pixels := make([]byte, e.info.InBytes)
	if err := e.Prepare(t.Context(), pixels, img, PrepareOptions{MaxPixels: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	v := make([]float32, size(e.info.Outputs[output]))
	if err := e.Embed(t.Context(), output, 1, pixels, v); err != nil {
		t.Fatal(err)
	}
	e.mu.Lock()
	e.batches = nil
	e.mu.Unlock()
	return v
}
