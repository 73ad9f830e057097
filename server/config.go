package server

import (
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Config says how a Server behaves. A zero field takes its default.
type Config struct {
	ModelName string // name the model is served under; default Info().Model
	Output    string // embedding a request gets that names none; default pooled
	Normalize bool   // whether such a request's embedding is L2-normalised

	MaxClientBatchSize int           // images in one request; default 256
	MaxQueueSize       int           // images admitted and not yet answered; default 1024
	MaxQueueDelay      time.Duration // an image's wait for others to share its batch; 0: none
	MaxInflightBytes   int           // memory that requests hold together; default 1 GiB
	MaxBodySize        int           // bytes; default 64 MiB
	MaxImagePixels     int           // width x height of one image; default 89478485, as PIL
	RequestTimeout     time.Duration // from the body's last byte; default 30s
	ComputeTimeout     time.Duration // for one batch, before its device is given up; default twice RequestTimeout
	ReadTimeout        time.Duration // for the header, and for a body to start; default 30s
	WriteTimeout       time.Duration // for each 16 KiB or so of an answer; default 30s

	FetchURLs bool // whether images are fetched from public addresses for clients

	CacheBytes int    // memory for embeddings by image; 0: none
	CacheDir   string // folder for them, which survives restarts; "": none
	Variant    string // what else makes vectors differ than Info says; part of their key in the cache

	APIKeys []string // if any: Authorization: Bearer is required
	Version Version
	Logger  *slog.Logger // default: nothing is logged
}

// Version identifies the program, for GET /api/info.
type Version struct {
	Version string   `json:"version"`
	Commit  string   `json:"commit"`
	Go      string   `json:"go"`
	Tags    []string `json:"tags"` // build tags
}

// withDefaults returns c with every zero field filled, checked against the
// model that it is to serve.
func (c Config) withDefaults(info Info) (Config, error) {
	setDefault(&c.ModelName, info.Model)
	setDefault(&c.Output, "pooled")
	setDefault(&c.MaxClientBatchSize, 256)
	setDefault(&c.MaxQueueSize, 1024)
	setDefault(&c.MaxInflightBytes, 1<<30)
	setDefault(&c.MaxBodySize, 64<<20)
	setDefault(&c.MaxImagePixels, 89478485)
	setDefault(&c.RequestTimeout, 30*time.Second)
	setDefault(&c.ComputeTimeout, 2*c.RequestTimeout)
	setDefault(&c.ReadTimeout, 30*time.Second)
	setDefault(&c.WriteTimeout, 30*time.Second)
	setDefault(&c.Logger, slog.New(slog.DiscardHandler))
	if c.Version.Tags == nil {
		c.Version.Tags = []string{} // a list in JSON, not null
	}

	for _, limit := range []struct {
		name  string
		value int
	}{
		{"max client batch size", c.MaxClientBatchSize},
		{"max queue size", c.MaxQueueSize},
		{"max queue delay", int(c.MaxQueueDelay)},
		{"max inflight bytes", c.MaxInflightBytes},
		{"cache size", c.CacheBytes},
		{"max body size", c.MaxBodySize},
		{"max image pixels", c.MaxImagePixels},
		{"request timeout", int(c.RequestTimeout)},
		{"compute timeout", int(c.ComputeTimeout)},
		{"read timeout", int(c.ReadTimeout)},
		{"write timeout", int(c.WriteTimeout)},
	} {
		if limit.value < 0 {
			return c, fmt.Errorf("server: %s is %d; it must not be negative", limit.name, limit.value)
		}
	}
	if c.MaxClientBatchSize > c.MaxQueueSize {
		return c, fmt.Errorf("server: max client batch size is %d, but the queue takes %d images; such a request would never be served",
			c.MaxClientBatchSize, c.MaxQueueSize)
	}
	if want := 3 * info.ImageSize * info.ImageSize; info.InBytes != want || info.MaxBatch < 1 {
		return c, fmt.Errorf("server: the engine takes batches of %d images of %d bytes; want at least 1 image, of %d bytes for %d x %d RGB",
			info.MaxBatch, info.InBytes, want, info.ImageSize, info.ImageSize)
	}
	shape, ok := info.Outputs[c.Output]
	if !ok {
		return c, fmt.Errorf("server: the model has no output %q; it has %s", c.Output, outputNames(info))
	}
	if c.Normalize && len(shape) > 1 {
		return c, fmt.Errorf("server: output %s cannot be normalised; turn normalisation off or choose another output", c.Output)
	}
	if slices.Contains(c.APIKeys, "") {
		return c, fmt.Errorf("server: an API key is empty")
	}
	return c, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
