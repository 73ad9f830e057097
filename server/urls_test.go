package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vith/server/fetch"
)

// TestURLs fetches images from an internet that is one server, at every public
// address.
func TestURLs(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{FetchURLs: true, MaxBodySize: 1 << 16, RequestTimeout: 500 * ms})
	img := picture(t, 1)
	stop := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/cat.png":
			w.Header().Set("Content-Type", "image/png")
			w.Write(img)
		case "/text.png":
			w.Header().Set("Content-Type", "image/png")
			io.WriteString(w, "no image")
		case "/large":
			w.Header().Set("Content-Type", "image/png")
			w.Write(make([]byte, 1<<17))
		case "/private":
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
		case "/never":
			<-stop
		}
	}))
	defer web.Close()
	defer close(stop)
	c.server.fetcher = fetch.NewOn(
		func(_ context.Context, host string) ([]netip.Addr, error) {
			if addr, err := netip.ParseAddr(host); err == nil {
				return []netip.Addr{addr}, nil
			}
			if host != "images.example" {
				return nil, errors.New("the resolver at 10.1.2.3 knows no such host")
			}
			return []netip.Addr{netip.MustParseAddr("8.8.8.8")}, nil
		},
		func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", web.Listener.Addr().String())
		})

	want := wantVector(t, e, "pooled", img)
	codes := map[string]string{
		"http://images.example/cat.png":  "",
		"HTTP://images.example/cat.png":  "",
		"http://images.example/text.png": "unsupported_image_format",
		"http://images.example/large":    "url_refused",
		"http://images.example/private":  "url_refused",
		"http://127.0.0.1/":              "url_refused",
		"http://nowhere.example/":        "url_failed",
	}
	var urls []string
	for u := range codes {
		urls = append(urls, u)
	}
	urls = slices.Concat(urls, urls, urls) // more than are fetched at once
	r := c.json(map[string]any{"images": urls}).want(200)
	got := r.decode()
	for i, u := range urls {
		code := ""
		if got.Data[i].Error != nil {
			code = got.Data[i].Error.Code
		}
		if code != codes[u] || code == "" && !slices.Equal(got.vector(t, i), want) {
			t.Errorf("%s: code %q, want %q", u, code, codes[u])
		}
	}
	if strings.Contains(string(r.body), "10.1.2.3") {
		t.Errorf("the answer tells of the network: %s", r.body)
	}
	var answer openaiAnswer
	body := fmt.Sprintf(`{"input":[%q]}`, "http://images.example/cat.png")
	if err := json.Unmarshal(c.openai("/v1/embeddings", body).want(200).body, &answer); err != nil || len(answer.Data) != 1 {
		t.Errorf("%v, %d embeddings", err, len(answer.Data))
	}
	c.json(map[string]any{"images": []string{"http://images.example/never"}}).wantError(504, "deadline_exceeded")
	c.wantNothingHeld()
}
