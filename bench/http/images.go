package http

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
)

// An Image is one that the server can read.
type Image struct {
	Name   string
	Data   []byte
	Weight float64 // how often it is sent, beside the others; 0 is 1
}

// Photograph makes a JPEG that takes about as many bits as a photograph of its
// size, and is another one for each seed.
func Photograph(size image.Point, seed uint64) (Image, error) {
	const grain, quality = 8, 85
	random := rand.New(rand.NewPCG(seed, uint64(size.X)<<32|uint64(size.Y)))
	m := image.NewYCbCr(image.Rectangle{Max: size}, image.YCbCrSubsampleRatio420)
	fx, fy, phase := 2+6*random.Float64(), 2+6*random.Float64(), 2*math.Pi*random.Float64()
	wave := func(n int, f float64) []float64 {
		w := make([]float64, n)
		for i := range w {
			w[i] = 50 * math.Sin(phase+f*math.Pi*float64(i)/float64(n))
		}
		return w
	}
	across, down := wave(size.X, fx), wave(size.Y, fy)
	var noise [1 << 12]int
	for i := range noise {
		noise[i] = int(grain * random.NormFloat64())
	}
	for y := range size.Y {
		from := random.IntN(len(noise))
		row := m.Y[y*m.YStride:]
		for x := range size.X {
			row[x] = byte(min(max(128+int(across[x]+down[y])+noise[(from+x)%len(noise)], 0), 255))
		}
	}
	tint := color.YCbCr{Cb: byte(64 + random.IntN(128)), Cr: byte(64 + random.IntN(128))}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = tint.Cb, tint.Cr
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil {
		return Image{}, err
	}
	return Image{Name: fmt.Sprintf("%dx%d JPEG #%d", size.X, size.Y, seed), Data: b.Bytes()}, nil
}

// badImages are what no server can read: each kind of damage that a client may
// send.
func badImages() ([]Image, error) {
	whole, err := Photograph(image.Pt(64, 48), 0)
	if err != nil {
		return nil, err
	}
	return []Image{
		{Name: "text", Data: []byte("this is not an image")},
		{Name: "half a JPEG", Data: whole.Data[:len(whole.Data)/2]},
		{Name: "nothing"},
		{Name: "a JPEG's start and noise", Data: append(bytes.Clone(whole.Data[:2]), bytes.Repeat([]byte{0x5a, 0xff, 0x00, 0xa5}, 100)...)},
		{Name: "a PNG of 60000 x 60000", Data: hugePNG(60000)},
	}, nil
}

// hugePNG is a file of a few bytes that says it has side x side pixels.
func hugePNG(side uint32) []byte {
	chunk := func(dst []byte, kind string, data []byte) []byte {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(data)))
		body := append([]byte(kind), data...)
		return binary.BigEndian.AppendUint32(append(dst, body...), crc32.ChecksumIEEE(body))
	}
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, side), side)
	b := chunk([]byte("\x89PNG\r\n\x1a\n"), "IHDR", append(header, 8, 2, 0, 0, 0))
	return chunk(chunk(b, "IDAT", make([]byte, 64)), "IEND", nil)
}

// A mix is the images of a run: the good ones, then the bad ones.
type mix struct {
	images []Image
	good   int
}

// describe names the images with their shares of the good ones.
func (m *mix) describe() []ImageShare {
	total := 0.0
	for i := range m.good {
		total += m.weight(i)
	}
	var list []ImageShare
	for i := range m.good {
		list = append(list, ImageShare{m.images[i].Name, len(m.images[i].Data), m.weight(i) / total})
	}
	return list
}

func (m *mix) weight(i int) float64 {
	if w := m.images[i].Weight; w > 0 {
		return w
	}
	return 1
}

// draw returns n images in an order of that seed, bad ones and each good one as
// often as their shares say, as near as n allows.
func (m *mix) draw(n int, bad float64, random *rand.Rand) []int {
	var drawn []int
	kinds := len(m.images) - m.good
	for i := range int(math.Round(bad * float64(n))) {
		drawn = append(drawn, m.good+i%kinds)
	}
	sent := make([]float64, m.good) // so often, by weight
	for len(drawn) < n {
		next := 0
		for i := range sent {
			if (sent[i]+1)/m.weight(i) < (sent[next]+1)/m.weight(next) {
				next = i
			}
		}
		sent[next]++
		drawn = append(drawn, next)
	}
	random.Shuffle(n, func(i, j int) { drawn[i], drawn[j] = drawn[j], drawn[i] })
	return drawn
}
