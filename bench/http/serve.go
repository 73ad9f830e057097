package http

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"vith/server"
)

// Serve starts a server of e on a free port of this machine. stop ends it.
func Serve(e server.Engine, c server.Config) (url string, stop func() error, err error) {
	s, err := server.New(e, c)
	if err != nil {
		return "", nil, err
	}
	return listen(s.Serve, s.Shutdown)
}

// ServeNothing starts fasthttp alone on a free port of this machine: it answers
// raw bodies with the octets of Free's vectors and does nothing else. What Serve
// takes longer with the same engine is what a server adds.
func ServeNothing() (url string, stop func() error, err error) {
	type buffer struct {
		vector []float32
		octets []byte
	}
	f := NewFree()
	buffers := sync.Pool{New: func() any {
		return &buffer{make([]float32, len(f.row)), make([]byte, 4*len(f.row))}
	}}
	s := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) != "/api/embed" {
			ctx.SetStatusCode(fasthttp.StatusNotFound)
			return
		}
		b := buffers.Get().(*buffer)
		defer buffers.Put(b)
		var prepared [8]byte
		f.Prepare(ctx, prepared[:], ctx.PostBody(), server.PrepareOptions{})
		f.Embed(ctx, "pooled", 1, prepared[:], b.vector)
		binary.Encode(b.octets, binary.LittleEndian, b.vector)
		ctx.SetContentType("application/octet-stream")
		ctx.Write(b.octets)
	}}
	return listen(s.Serve, s.ShutdownWithContext)
}

// listen has a server serve on a free port of this machine.
func listen(serve func(net.Listener) error, shutdown func(context.Context) error) (url string, stop func() error, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	served := make(chan error, 1)
	go func() { served <- serve(ln) }()
	stop = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return errors.Join(shutdown(ctx), <-served)
	}
	return "http://" + ln.Addr().String(), stop, nil
}

// Free is an engine whose work costs nothing, of the size of ViT-H-14: what is
// measured with it is the server. It takes anything for an image, and gives each
// a vector of its own.
type Free struct {
	row  []float32
	seed maphash.Seed
}

// NewFree returns an engine that costs nothing.
func NewFree() *Free {
	f := &Free{seed: maphash.MakeSeed()}
	random := rand.New(rand.NewPCG(1, 2))
	for range 1280 {
		f.row = append(f.row, float32(random.NormFloat64()))
	}
	return f
}

// Prepare implements server.Engine.
func (f *Free) Prepare(_ context.Context, dst, img []byte, _ server.PrepareOptions) error {
	binary.LittleEndian.PutUint64(dst, maphash.Bytes(f.seed, img))
	return nil
}

// Embed implements server.Engine.
func (f *Free) Embed(_ context.Context, _ string, n int, in []byte, out []float32) error {
	size := len(in) / n
	for i := range n {
		row := out[i*len(f.row) : (i+1)*len(f.row)]
		copy(row, f.row)
		for j := range 4 {
			row[j] = float32(binary.LittleEndian.Uint16(in[i*size+2*j:])) / 1000
		}
	}
	return nil
}

// Info implements server.Engine.
func (f *Free) Info() server.Info {
	return server.Info{
		Model: "free", ModelDigest: "sha256:0", Preprocessing: "none", Device: "none", Precision: "fp32",
		ImageSize: 224, InBytes: 3 * 224 * 224, Outputs: map[string][]int{"pooled": {len(f.row)}}, MaxBatch: 16,
	}
}

// Devices implements server.Engine.
func (f *Free) Devices() []server.Device { return nil }

// Prepared is an engine that takes prepared images for images, so that what is
// measured is all but decoding.
type Prepared struct{ server.Engine }

// Prepare implements server.Engine.
func (p Prepared) Prepare(_ context.Context, dst, img []byte, _ server.PrepareOptions) error {
	if len(img) != len(dst) {
		return fmt.Errorf("a prepared image has %d bytes, not %d", len(dst), len(img))
	}
	copy(dst, img)
	return nil
}

// Images returns images as Prepared takes them.
func (p Prepared) Images(ctx context.Context, images []Image) ([]Image, error) {
	var list []Image
	for _, i := range images {
		pixels := make([]byte, p.Info().InBytes)
		if err := p.Engine.Prepare(ctx, pixels, i.Data, server.PrepareOptions{MaxPixels: 1 << 30}); err != nil {
			return nil, fmt.Errorf("bench: %s: %w", i.Name, err)
		}
		list = append(list, Image{Name: i.Name + ", prepared", Data: pixels, Weight: i.Weight})
	}
	return list, nil
}

// Alone is what an engine does without a server.
type Alone struct {
	Batch           int     `json:"batch"`
	ImagesPerSecond float64 `json:"images_per_second"`
	CPUMillis       float64 `json:"cpu_ms_per_image"`
}

// MeasureAlone runs an engine in full batches for about duration, as many at once
// as it takes.
func MeasureAlone(ctx context.Context, e server.Engine, output string, duration time.Duration) (Alone, error) {
	info := e.Info()
	values := 1
	for _, n := range info.Outputs[output] {
		values *= n
	}
	batch := info.MaxBatch
	in := make([]byte, batch*info.InBytes)
	random := rand.New(rand.NewPCG(1, 1))
	for i := range in {
		in[i] = byte(random.Uint32())
	}
	var (
		wg     sync.WaitGroup
		passes atomic.Int64
		errs   = make(chan error, 1)
	)
	cpu, start := cpuTime(), time.Now()
	for range max(1, info.Parallel) * max(1, len(e.Devices())) {
		wg.Go(func() {
			out := make([]float32, batch*values)
			for time.Since(start) < duration && ctx.Err() == nil {
				if err := e.Embed(ctx, output, batch, in, out); err != nil {
					select {
					case errs <- err:
					default:
					}
					return
				}
				passes.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	cpu = cpuTime() - cpu
	select {
	case err := <-errs:
		return Alone{}, fmt.Errorf("bench: the engine alone: %w", err)
	default:
	}
	images := float64(passes.Load()) * float64(batch)
	return Alone{Batch: batch, ImagesPerSecond: images / took.Seconds(), CPUMillis: cpu.Seconds() * 1e3 / max(1, images)}, ctx.Err()
}
