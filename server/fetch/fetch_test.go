package fetch

import (
	"bytes"
	"context"
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
	"time"
)

func TestPublic(t *testing.T) {
	f := func(want bool, addrs ...string) {
		t.Helper()
		for _, text := range addrs {
			if got := public(netip.MustParseAddr(text).Unmap()); got != want {
				t.Errorf("%s is public: %v", text, got)
			}
		}
	}
	f(true, "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
		"192.167.255.255", "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8")
	f(false, "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
		"172.31.255.255", "192.0.0.192", "192.0.2.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9",
		"224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "fc00::1", "fd00:ec2::254",
		"fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1", "5f00::1")
	if public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// A world is an internet of one web server that has every public address, and
// anything but the internet behind the others.
type world struct {
	names  map[string][]string
	dialed []string
}

func newWorld(t *testing.T, h http.HandlerFunc) (*world, *Fetcher) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	w := &world{names: map[string][]string{}}
	return w, NewOn(
		func(_ context.Context, host string) ([]netip.Addr, error) {
			var addrs []netip.Addr
			for _, text := range w.names[host] {
				addrs = append(addrs, netip.MustParseAddr(text))
			}
			if addr, err := netip.ParseAddr(host); err == nil {
				addrs = append(addrs, addr)
			}
			if addrs == nil {
				return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
			}
			return addrs, nil
		},
		func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			w.dialed = append(w.dialed, addr.String())
			var d net.Dialer
			return d.DialContext(ctx, "tcp", s.Listener.Addr().String())
		},
	)
}

func free(int) error { return nil }

func TestGet(t *testing.T) {
	body := bytes.Repeat([]byte("image"), 100_000)
	w, f := newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Referer") != "" || r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "" {
			t.Errorf("the request tells too much: %v", r.Header)
		}
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(rw, r, "http://second.example/image", http.StatusFound)
		case "/untyped":
			rw.Header()["Content-Type"] = nil
			rw.Write(body)
		default:
			rw.Header().Set("Content-Type", "image/png")
			rw.Write(body)
		}
	})
	w.names["first.example"] = []string{"10.0.0.1", "8.8.8.8"}
	w.names["second.example"] = []string{"2606:4700::1111"}
	for path, dialed := range map[string][]string{
		"http://first.example/image":     {"8.8.8.8:80"},
		"http://first.example:443/image": {"8.8.8.8:443"},
		"http://first.example/redirect":  {"8.8.8.8:80", "[2606:4700::1111]:80"},
		"http://9.9.9.9/untyped":         {"9.9.9.9:80"},
	} {
		w.dialed = nil
		held := 0
		got, err := f.Get(t.Context(), path, len(body), func(n int) error { held += n; return nil })
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%s: %d bytes, %v", path, len(got), err)
		}
		if !slices.Equal(w.dialed, dialed) || held < len(body) {
			t.Errorf("%s: dialed %v, want %v; held %d", path, w.dialed, dialed, held)
		}
	}
}

func TestRefused(t *testing.T) {
	var target string // of the redirect
	w, f := newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			rw.Header().Set("Location", target)
			rw.WriteHeader(http.StatusFound)
		case "/loop":
			http.Redirect(rw, r, "/loop", http.StatusFound)
		case "/html":
			rw.Header().Set("Content-Type", "text/html")
			io.WriteString(rw, "<html>")
		case "/missing":
			http.Error(rw, "no", http.StatusNotFound)
		case "/large":
			rw.Header().Set("Content-Type", "image/png")
			rw.Write(make([]byte, 1001))
		case "/endless":
			rw.Header().Set("Content-Type", "image/png")
			for {
				if _, err := rw.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		}
	})
	w.names["good.example"] = []string{"8.8.8.8"}
	w.names["rebound.example"] = []string{"127.0.0.1", "::1", "169.254.169.254", "::ffff:10.0.0.1"}
	g := func(address string, dials int) {
		t.Helper()
		w.dialed = nil
		b, err := f.Get(t.Context(), address, 1000, free)
		if _, ok := errors.AsType[*Refused](err); !ok || b != nil {
			t.Errorf("%s: %d bytes, %v", address, len(b), err)
		}
		if len(w.dialed) != dials {
			t.Errorf("%s: dialed %v", address, w.dialed)
		}
	}
	bad := []string{
		"http://127.0.0.1/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://169.254.169.254/latest/meta-data", "http://rebound.example/",
		"http://10.0.0.1:80/", "https://192.168.1.1/", "http://0.0.0.0/", "http://[fd00:ec2::254]/",
		"file:///etc/passwd", "ftp://good.example/", "gopher://good.example/", "http://", "http:good.example",
		"http://user:secret@good.example/", "http://good.example:22/", "http://good.example:8080/", "http://good.example:0/",
	}
	for _, address := range bad {
		g(address, 0)
		target = address
		g("http://good.example/redirect", 1)
	}
	g("http://good.example/%zz", 0)
	g("http://good.example/html", 1)
	g("http://good.example/missing", 1)
	g("http://good.example/large", 1)
	g("http://good.example/endless", 1)
	g("http://good.example/loop", Redirects+1)
	target = ""
	g("http://good.example/redirect", 1)
}

func TestFailures(t *testing.T) {
	release := make(chan struct{})
	w, f := newWorld(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "image/png")
		switch r.URL.Path {
		case "/cut":
			rw.Header().Set("Content-Length", "100")
			rw.Write(make([]byte, 50))
		case "/slow":
			rw.Write([]byte("x"))
			rw.(http.Flusher).Flush()
			<-release
		}
	})
	defer close(release)
	w.names["good.example"] = []string{"8.8.8.8"}
	g := func(what string, ctx context.Context, address string, hold func(int) error, want error) {
		t.Helper()
		b, err := f.Get(ctx, address, 1000, hold)
		if err == nil || b != nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %d bytes, %v", what, len(b), err)
		}
	}
	g("no such host", t.Context(), "http://none.example/", free, nil)
	g("cut", t.Context(), "http://good.example/cut", free, io.ErrUnexpectedEOF)
	full := fmt.Errorf("full")
	g("no memory", t.Context(), "http://good.example/cut", func(int) error { return full }, full)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	g("slow", ctx, "http://good.example/slow", free, context.DeadlineExceeded)

	_, err := f.Get(t.Context(), "http://127.0.0.1/", 1000, free)
	if err == nil || strings.Contains(err.Error(), "127") {
		t.Errorf("%v tells what it must not", err)
	}
}
