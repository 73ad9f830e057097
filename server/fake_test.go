package server

import (
	"bytes"
	"context"
	"errors"
	"image"
	_ "image/gif"
	_ "image/jpeg"
	_ "image/png"
	"math/rand/v2"
	"sync"
)

// A fakeEngine embeds images without a model: the means of 8 x 8 blocks, less
// their own mean, through a fixed random matrix. Alike images get alike vectors.
// It breaks the caller's day when the caller breaks the Engine's contract.
type fakeEngine struct {
	info    Info
	devices []Device

	// If set, called before the work; an error replaces it.
	onPrepare func(ctx context.Context, img []byte) error
	onEmbed   func(ctx context.Context, n int) error
	afterward func(out []float32) // may spoil the vectors

	mu      sync.Mutex
	batches []int // n of every call of Embed
	weights map[string][]float32
}

const (
	fakeGrid = 8
	fakeRows = 2048 // of the matrix; wider outputs repeat
)

func newFakeEngine() *fakeEngine {
	return &fakeEngine{
		info: Info{
			Model:         "fake",
			ModelDigest:   "sha256:5f4dcc3b5aa765d61d8327deb882cf99",
			Preprocessing: "fake-1",
			Device:        "cpu",
			Precision:     "fp32",
			ImageSize:     16,
			Outputs:       map[string][]int{"pooled": {13}, "projected": {7}, "penultimate": {3, 5}},
			MaxBatch:      4,
			InBytes:       3 * 16 * 16,
		},
		devices: []Device{{ID: "cpu", Name: "a processor", State: "ok", Memory: Memory{Total: 1 << 30}}},
		weights: map[string][]float32{},
	}
}

type fakeImageError struct{ code, message string }

func (e *fakeImageError) Error() string          { return e.message }
func (e *fakeImageError) ImageErrorCode() string { return e.code }

func (f *fakeEngine) Prepare(ctx context.Context, dst, img []byte, o PrepareOptions) error {
	if f.onPrepare != nil {
		if err := f.onPrepare(ctx, img); err != nil {
			return err
		}
	}
	if len(dst) != f.info.InBytes || len(img) == 0 {
		panic("Prepare called outside its contract")
	}
	config, _, err := image.DecodeConfig(bytes.NewReader(img))
	if errors.Is(err, image.ErrFormat) {
		return &fakeImageError{"unsupported_image_format", "the image is in no known format"}
	}
	if err == nil && config.Width*config.Height > o.MaxPixels {
		return &fakeImageError{"image_too_large", "the image has too many pixels"}
	}
	decoded, _, err := image.Decode(bytes.NewReader(img))
	if err != nil {
		return &fakeImageError{"truncated_image", "the image ends early: " + err.Error()}
	}
	side, b := f.info.ImageSize, decoded.Bounds()
	short := min(b.Dx(), b.Dy())
	x0, y0 := b.Min.X+(b.Dx()-short)/2, b.Min.Y+(b.Dy()-short)/2
	for y := range side {
		for x := range side {
			r, g, b, _ := decoded.At(x0+x*short/side, y0+y*short/side).RGBA()
			p := dst[3*(y*side+x):]
			p[0], p[1], p[2] = byte(r>>8), byte(g>>8), byte(b>>8)
		}
	}
	return nil
}

func (f *fakeEngine) Embed(ctx context.Context, output string, n int, in []byte, out []float32) error {
	shape, ok := f.info.Outputs[output]
	if !ok || n < 1 || n > f.info.MaxBatch || len(in) != n*f.info.InBytes || len(out) != n*size(shape) {
		panic("Embed called outside its contract")
	}
	f.mu.Lock()
	f.batches = append(f.batches, n)
	f.mu.Unlock()
	if f.onEmbed != nil {
		if err := f.onEmbed(ctx, n); err != nil {
			return err
		}
	}
	w := f.matrix(output, size(shape))
	for i := range n {
		features := f.features(in[i*f.info.InBytes : (i+1)*f.info.InBytes])
		row := out[i*size(shape) : (i+1)*size(shape)]
		for j := range row {
			if j >= fakeRows {
				row[j] = row[j-fakeRows]
				continue
			}
			row[j] = 0
			for k, x := range features {
				row[j] += x * w[j*len(features)+k]
			}
		}
	}
	if f.afterward != nil {
		f.afterward(out)
	}
	return nil
}

func (f *fakeEngine) Info() Info        { return f.info }
func (f *fakeEngine) Devices() []Device { return f.devices }

// matrix returns the output's weights, [min(n, fakeRows), 3 x fakeGrid x fakeGrid].
func (f *fakeEngine) matrix(output string, n int) []float32 {
	n = min(n, fakeRows)
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.weights[output]
	if w == nil {
		random := rand.New(rand.NewPCG(1, uint64(n)))
		w = make([]float32, n*3*fakeGrid*fakeGrid)
		for i := range w {
			w[i] = float32(random.NormFloat64())
		}
		f.weights[output] = w
	}
	return w
}

func (f *fakeEngine) features(pixels []byte) []float32 {
	side := f.info.ImageSize
	block := side / fakeGrid
	features := make([]float32, 3*fakeGrid*fakeGrid)
	scale := 1 / float32(255*block*block)
	for i, v := range pixels {
		y, x, c := i/(3*side), i/3%side, i%3
		features[3*(y/block*fakeGrid+x/block)+c] += float32(v) * scale
	}
	mean := float32(0)
	for _, v := range features {
		mean += v / float32(len(features))
	}
	for i := range features {
		features[i] -= mean
	}
	return features
}
