// Package hub downloads checkpoints from the Hugging Face hub into the cache that the hub's own tools use, so that each
// finds what the other has pulled.
//
// Of a repository the weights are taken that package loader prefers (model.safetensors, its shards, or
// open_clip_model.safetensors) and the configurations beside them; pickles never are. A file is written as
// blobs/ETAG.incomplete, which a later pull goes on with, and gets its name once its length and its sha256 are those that
// the hub states. Two pulls of a file, also one by the hub's own tools, wait for each other.
//
// A tower can be pulled without the rest of its file: then only its bytes are asked for, and written with a header of
// their own. The hub has no checksum for such a part, so that only lengths, the ranges that the server says it sends and
// the constancy of its ETag are checked.
//
// Whatever a server does, the token goes to the endpoint alone, and never into a message.
//
// Source: https://huggingface.co/docs/huggingface_hub/guides/download and .../guides/manage-cache.
package hub

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vith/loader"
)

// A Client pulls from one hub into one cache. It pulls one repository at a time.
type Client struct {
	Endpoint *url.URL
	Token    string // may be ""
	Cache    string // folder; need not exist

	Notify   func(text string)       // is told why a pull waits; may be nil
	Progress func(done, total int64) // is told the bytes of all files together; may be nil

	transport http.RoundTripper
	pause     func(context.Context, time.Duration) error
	free      func(dir string) (int64, error) // bytes left on its disk
}

// FromEnvironment makes a client from HF_ENDPOINT, HF_HUB_CACHE, HF_HOME, HF_TOKEN and HF_TOKEN_PATH, with the defaults of
// the hub's own tools. Proxies are those of HTTPS_PROXY and NO_PROXY.
func FromEnvironment() (*Client, error) {
	address := strings.TrimRight(cmp.Or(os.Getenv("HF_ENDPOINT"), "https://huggingface.co"), "/")
	endpoint, err := url.Parse(address)
	if err != nil || endpoint.Scheme != "http" && endpoint.Scheme != "https" || endpoint.Host == "" {
		return nil, fmt.Errorf("HF_ENDPOINT is not the address of a hub: it must be like https://huggingface.co")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	return &Client{Endpoint: endpoint, Token: userToken(), Cache: loader.HubCache(), transport: transport, pause: sleep, free: freeSpace}, nil
}

// userToken is that of HF_TOKEN, or what logging in with the hub's tools has left in a file.
func userToken() string {
	for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"} {
		if t := strings.TrimSpace(os.Getenv(name)); t != "" {
			return t
		}
	}
	path := cmp.Or(os.Getenv("HF_TOKEN_PATH"), filepath.Join(loader.HubHome(), "token"))
	saved, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(saved))
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// freeSpace is what the user may still write to the disk of an existing folder, in bytes.
func freeSpace(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}

func (c *Client) notify(format string, args ...any) {
	if c.Notify != nil {
		c.Notify(fmt.Sprintf(format, args...))
	}
}

// Size writes a number of bytes for people, in the decimal units of the hub's pages.
func Size(bytes int64) string {
	for _, unit := range []struct {
		name  string
		bytes float64
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if float64(bytes) >= unit.bytes {
			return fmt.Sprintf("%.3g %s", float64(bytes)/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", bytes)
}
