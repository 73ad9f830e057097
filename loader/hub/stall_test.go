package hub

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"
)

// A silent transport answers with a body that stops sending.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodHead {
		<-r.Context().Done() // not even headers
		return nil, r.Context().Err()
	}
	body, _ := io.Pipe()
	context.AfterFunc(r.Context(), func() { body.CloseWithError(r.Context().Err()) })
	return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: 100, Body: body, Request: r}, nil
}

// A server that goes silent is left after half a minute, and asked again with growing pauses.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{Endpoint: &url.URL{Scheme: "https", Host: "hub"}, Cache: t.TempDir(), transport: silent{}, pause: sleep, free: freeSpace}
		began := time.Now()
		failed(t, c, Request{ID: id}, "org/tower/model.safetensors: cannot download, tried 6 times: no byte for 30s")
		if took, want := time.Since(began), 6*stallAfter+(1+2+4+8+16)*firstPause; took != want {
			t.Errorf("gave up after %v, want %v", took, want)
		}
		began = time.Now()
		tr := &transfer{client: c, id: id, remote: &remote{name: "x", etag: "x", size: 100, url: c.Endpoint}, ranges: [][2]int64{{0, 100}}, progress: func(int64) {}}
		err := tr.run(t.Context(), t.TempDir()+"/x")
		if took, want := time.Since(began), 6*stallAfter+(1+2+4+8+16)*firstPause; err == nil || took != want {
			t.Errorf("gave up on a body after %v with %v, want %v", took, err, want)
		}
	})
}
