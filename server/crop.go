package server

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/png"
)

// cropURI returns prepared pixels, [side, side, 3] RGB, as a data URI of a PNG.
func cropURI(pixels []byte, side int) string {
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	for i := range side * side {
		copy(img.Pix[4*i:], pixels[3*i:3*i+3])
		img.Pix[4*i+3] = 0xff
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(&b, img); err != nil {
		panic("server: encoding a crop into memory: " + err.Error()) // neither size nor writer can be at fault
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
}
