package preprocess

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"vith/vit/preprocess/gif"
	"vith/vit/preprocess/jpeg"
	"vith/vit/preprocess/webp"
)

// A format is a kind of image that is read.
type format struct {
	name   string
	magics []string
	open   func(data []byte) (*picture, error) // reads the header
}

var formats = []format{
	{"JPEG", []string{"\xff\xd8"}, openJPEG},
	{"PNG", []string{pngSignature}, openPNG},
	{"WebP", []string{"RIFF????WEBP"}, openWebP},
	{"GIF", []string{"GIF87a", "GIF89a"}, openGIF},
	{"BMP", []string{"BM"}, openBMP},
}

// formatOf returns the format that the first bytes of data tell, or nil.
func formatOf(data []byte) *format {
	for i := range formats {
		if begins(data, formats[i].magics) {
			return &formats[i]
		}
	}
	return nil
}

func openJPEG(data []byte) (*picture, error) {
	d, err := jpeg.New(data)
	if err != nil {
		return nil, err
	}
	return &picture{decoder: d, width: d.Width, height: d.Height, orientation: orientation(d.Exif, d.XMP)}, nil
}

func openWebP(data []byte) (*picture, error) {
	d, err := webp.New(data)
	if err != nil {
		return nil, err
	}
	return &picture{decoder: d, width: d.Width, height: d.Height, orientation: orientation(d.Exif, d.XMP)}, nil
}

func openGIF(data []byte) (*picture, error) {
	d, err := gif.New(data)
	if err != nil {
		return nil, err
	}
	return &picture{decoder: d, width: d.Width, height: d.Height, orientation: 1}, nil
}

// strangers are binary formats that people send and that are not read.
var strangers = []struct {
	name   string
	magics []string
}{
	{"AVIF", []string{"????ftypavif", "????ftypavis"}},
	{"HEIC", []string{"????ftyphei", "????ftyphev", "????ftypmif1", "????ftypmsf1"}},
	{"JPEG XL", []string{"\xff\x0a", "????JXL \r\n\x87\n"}},
	{"JPEG 2000", []string{"\xff\x4f\xff\x51", "????jP  \r\n\x87\n"}},
	{"TIFF", []string{"II*\x00", "MM\x00*"}},
	{"an icon (ICO)", []string{"\x00\x00\x01\x00"}},
	{"a Photoshop document", []string{"8BPS"}},
	{"PDF", []string{"%PDF-"}},
	{"a video (MP4)", []string{"????ftyp"}},
	{"a video (Matroska or WebM)", []string{"\x1a\x45\xdf\xa3"}},
	{"a video (AVI)", []string{"RIFF????AVI "}},
	{"sound (WAVE)", []string{"RIFF????WAVE"}},
	{"a ZIP archive", []string{"PK\x03\x04"}},
	{"gzip data", []string{"\x1f\x8b"}},
	{"NumPy data", []string{"\x93NUMPY"}},
}

// unknownFormat says what data looks like, if that is recognisable, and what is read.
func unknownFormat(data []byte) error {
	const read = "JPEG, PNG, WebP, GIF and BMP are read"
	data = data[:min(len(data), 512)]
	for _, s := range strangers {
		if begins(data, s.magics) {
			return fmt.Errorf("this looks like %s; %s", s.name, read)
		}
	}
	if isText(data) {
		return fmt.Errorf("this looks like %s; %s", kindOfText(data), read)
	}
	return fmt.Errorf("the data begins with % x; %s", data[:min(len(data), 8)], read)
}

// begins reports whether data begins with one of magics, where "?" is any byte.
func begins(data []byte, magics []string) bool {
next:
	for _, magic := range magics {
		if len(data) < len(magic) {
			continue
		}
		for i := range len(magic) {
			if magic[i] != '?' && magic[i] != data[i] {
				continue next
			}
		}
		return true
	}
	return false
}

// kindOfText tells what people send by mistake from the beginning of a text.
func kindOfText(data []byte) string {
	text := strings.TrimSpace(strings.TrimPrefix(string(data), "\ufeff"))
	lower := strings.ToLower(text)
	switch {
	case strings.HasPrefix(lower, "<!doctype html"), strings.HasPrefix(lower, "<html"):
		return "HTML"
	case strings.HasPrefix(lower, "<svg"), strings.HasPrefix(lower, "<?xml") && strings.Contains(lower, "<svg"):
		return "SVG"
	case strings.HasPrefix(lower, "<?xml"):
		return "XML"
	case strings.HasPrefix(text, "{"), strings.HasPrefix(text, "["):
		return "JSON"
	case strings.HasPrefix(lower, "data:"):
		return "a data URI: send the bytes that it encodes"
	case strings.HasPrefix(text, "/9j/"), strings.HasPrefix(text, "iVBORw0K"), strings.HasPrefix(text, "UklGR"), strings.HasPrefix(text, "R0lGOD"):
		return "an image in base64: send the bytes that it encodes"
	}
	return "text"
}

// isText reports whether data is UTF-8 without control characters. The last
// rune may be cut.
func isText(data []byte) bool {
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if r == utf8.RuneError && n == 1 {
			return !utf8.FullRune(data)
		}
		if unicode.IsControl(r) && !unicode.IsSpace(r) {
			return false
		}
		data = data[n:]
	}
	return true
}
