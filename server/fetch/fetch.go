// Package fetch gets images from public addresses of the internet on behalf of
// people who must not get anything else with it: every address is checked before
// it is dialled, for each redirect anew, and size, time and type are bounded.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Limits of one fetch.
const (
	Timeout   = 10 * time.Second
	Redirects = 5
)

// A Refused is an error for a URL that is not fetched, by rule. Its text is for
// whoever sent the URL: it tells nothing about this network.
type Refused struct{ reason string }

func (e *Refused) Error() string { return e.reason }

func refuse(format string, args ...any) error { return &Refused{fmt.Sprintf(format, args...)} }

// A Fetcher is safe for concurrent use.
type Fetcher struct {
	client http.Client

	// The network.
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	dial   func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
}

// New returns a Fetcher of public addresses.
func New() *Fetcher {
	var dialer net.Dialer
	return NewOn(
		func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
		func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", addr.String())
		},
	)
}

// NewOn returns a Fetcher on a network of which it is given two functions: what
// addresses a host has, and a connection to one.
func NewOn(lookup func(context.Context, string) ([]netip.Addr, error), dial func(context.Context, netip.AddrPort) (net.Conn, error)) *Fetcher {
	f := &Fetcher{lookup: lookup, dial: dial}
	f.client = http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would dial for us, unchecked
			DialContext:            f.dialPublic,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // images are, and a small answer stays small
			DisableKeepAlives:      true,
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > Redirects {
				return refuse("the URL redirects more than %d times", Redirects)
			}
			r.Header.Del("Referer")
			return checkURL(r.URL)
		},
	}
	return f
}

// Get returns what is at a URL: an image, by its type, of at most maxBytes. Before
// it uses memory it asks hold, with a number of bytes, and hands on its error.
// An error is a *Refused, ctx's, hold's, or that of the network.
func (f *Fetcher) Get(ctx context.Context, address string, maxBytes int, hold func(n int) error) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, refuse("the URL cannot be parsed")
	}
	if err := checkURL(u); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, refuse("the URL cannot be requested")
	}
	request.Header.Set("User-Agent", "vith")
	request.Header.Set("Accept", "image/*")
	response, err := f.client.Do(request)
	if err != nil {
		if refused, ok := errors.AsType[*Refused](err); ok {
			return nil, refused
		}
		return nil, fmt.Errorf("fetch: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, refuse("the URL answers with status %d", response.StatusCode)
	}
	if err := checkType(response.Header.Get("Content-Type")); err != nil {
		return nil, err
	}
	if response.ContentLength > int64(maxBytes) {
		return nil, refuse("the file at the URL has %d bytes; at most %d are fetched", response.ContentLength, maxBytes)
	}
	return readAll(response.Body, maxBytes, hold)
}

// checkURL holds a URL, given or redirected to, to the rules that need no look
// at the network.
func checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return refuse("the URL is not http or https")
	case u.User != nil:
		return refuse("the URL has a user name in it")
	case u.Hostname() == "":
		return refuse("the URL has no host")
	case u.Port() != "" && u.Port() != "80" && u.Port() != "443":
		return refuse("the URL has port %s; only 80 and 443 are fetched from", u.Port())
	}
	return nil
}

// checkType refuses what says of itself that it is no image.
func checkType(contentType string) error {
	mediaType, _, _ := mime.ParseMediaType(contentType)
	switch {
	case contentType == "", strings.HasPrefix(mediaType, "image/"),
		mediaType == "application/octet-stream", mediaType == "binary/octet-stream": // as object stores have it
		return nil
	}
	return refuse("the file at the URL is not an image but %q", mediaType)
}

func readAll(r io.Reader, maxBytes int, hold func(n int) error) ([]byte, error) {
	const step = 256 << 10
	var b []byte
	for {
		if len(b) == cap(b) {
			grow := max(step, len(b))
			if err := hold(grow); err != nil {
				return nil, err
			}
			b = append(make([]byte, 0, len(b)+grow), b...)
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if len(b) > maxBytes {
			return nil, refuse("the file at the URL has more than %d bytes", maxBytes)
		}
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, fmt.Errorf("fetch: %w", err)
		}
	}
}

// dialPublic dials a host at an address that was just checked, so that it
// matters neither what the name meant before nor what it will mean.
func (f *Fetcher) dialPublic(ctx context.Context, _, hostPort string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	port, err := net.LookupPort("tcp", portText)
	if err != nil {
		return nil, err
	}
	addrs, err := f.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	err = refuse("the host of the URL is not a public address")
	for _, addr := range addrs {
		addr = addr.Unmap()
		if !public(addr) {
			continue
		}
		var c net.Conn
		if c, err = f.dial(ctx, netip.AddrPortFrom(addr, uint16(port))); err == nil {
			return c, nil
		}
	}
	return nil, err
}
