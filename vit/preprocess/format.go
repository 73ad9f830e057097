package preprocess

import (
	"bytes"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"vith/vit/preprocess/gif"
	"vith/vit/preprocess/jpeg"
	"vith/vit/preprocess/webp"
)

// A format is a kind of image that is read.
type format struct {
	name  string
	magic func(data []byte) bool
	open  func(data []byte) (*picture, error) // reads the header
}

var formats = []format{
	{"JPEG", prefix("\xff\xd8"), openJPEG},
	{"PNG", prefix(pngSignature), openPNG},
	{"WebP", func(p []byte) bool { return prefix("RIFF")(p) && at(8, "WEBP")(p) }, openWebP},
	{"GIF", func(p []byte) bool { return prefix("GIF87a")(p) || prefix("GIF89a")(p) }, openGIF},
	{"BMP", prefix("BM"), openBMP},
}

// formatOf returns the format that the first bytes of data tell, or nil.
func formatOf(data []byte) *format {
	for i := range formats {
		if formats[i].magic(data) {
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

// strangers are what people send that is not read.
var strangers = []struct {
	name  string
	magic func(data []byte) bool
}{
	{"AVIF", func(p []byte) bool { return at(4, "ftypavif")(p) || at(4, "ftypavis")(p) }},
	{"HEIC", func(p []byte) bool {
		return at(4, "ftyphei")(p) || at(4, "ftyphev")(p) || at(4, "ftypmif1")(p) || at(4, "ftypmsf1")(p)
	}},
	{"JPEG XL", func(p []byte) bool { return prefix("\xff\x0a")(p) || at(4, "JXL \r\n\x87\n")(p) }},
	{"JPEG 2000", func(p []byte) bool { return at(4, "jP  \r\n\x87\n")(p) || prefix("\xff\x4f\xff\x51")(p) }},
	{"TIFF", func(p []byte) bool { return prefix("II*\x00")(p) || prefix("MM\x00*")(p) }},
	{"an icon (ICO)", prefix("\x00\x00\x01\x00")},
	{"a Photoshop document", prefix("8BPS")},
	{"PDF", prefix("%PDF-")},
	{"a video (MP4)", at(4, "ftyp")},
	{"a video (Matroska or WebM)", prefix("\x1a\x45\xdf\xa3")},
	{"a video (AVI)", func(p []byte) bool { return prefix("RIFF")(p) && at(8, "AVI ")(p) }},
	{"sound (WAVE)", func(p []byte) bool { return prefix("RIFF")(p) && at(8, "WAVE")(p) }},
	{"a ZIP archive", prefix("PK\x03\x04")},
	{"gzip data", prefix("\x1f\x8b")},
	{"NumPy data", prefix("\x93NUMPY")},
	{"SVG", func(p []byte) bool {
		return markup(p, "<svg") || markup(p, "<?xml") && bytes.Contains(p, []byte("<svg"))
	}},
	{"HTML", func(p []byte) bool { return markup(p, "<!doctype html") || markup(p, "<html") }},
	{"XML", func(p []byte) bool { return markup(p, "<?xml") }},
	{"a data URI: send its decoded bytes", prefix("data:")},
	{"JSON", func(p []byte) bool { return markup(p, "{") || markup(p, "[") }},
	{"base64 of a JPEG: send the decoded bytes", prefix("/9j/")},
	{"base64 of a PNG: send the decoded bytes", prefix("iVBORw0K")},
	{"text", isText},
}

// unknownFormat says what data looks like, if that is recognisable, and what is read.
func unknownFormat(data []byte) error {
	const read = "JPEG, PNG, WebP, GIF and BMP are read"
	data = data[:min(len(data), 512)]
	for _, s := range strangers {
		if s.magic(data) {
			return fmt.Errorf("this looks like %s; %s", s.name, read)
		}
	}
	return fmt.Errorf("the data begins with % x; %s", data[:min(len(data), 8)], read)
}

func prefix(magic string) func([]byte) bool { return at(0, magic) }

// at tests for magic bytes at an offset.
func at(offset int, magic string) func([]byte) bool {
	return func(data []byte) bool {
		return len(data) >= offset && bytes.HasPrefix(data[offset:], []byte(magic))
	}
}

// markup reports whether data begins with a lower-case tag in any case, after
// white space and a byte order mark.
func markup(data []byte, tag string) bool {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	return len(data) >= len(tag) && string(bytes.ToLower(data[:len(tag)])) == tag
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

var errEmpty = errors.New("there are no bytes")
