package preprocess

import (
	"errors"
	"image/png"
	"io"
	"strings"

	"golang.org/x/image/bmp"
)

// A Code says what is wrong with an image. Codes are stable; they are shown to clients.
type Code string

// The codes of an [Error].
const (
	EmptyImage         Code = "empty_image"               // no bytes at all
	UnsupportedFormat  Code = "unsupported_image_format"  // the first bytes are of no format that is read
	UnsupportedVariant Code = "unsupported_image_variant" // the format is read, this kind of it is not
	TruncatedImage     Code = "truncated_image"           // the data ends too early
	InvalidImage       Code = "invalid_image"             // the data breaks the rules of its format
	ImageTooLarge      Code = "image_too_large"           // more pixels than allowed
)

// An Error says what is wrong with an image.
type Error struct {
	Code   Code
	Format string // "JPEG", "PNG", "WebP", "GIF" or "BMP"; empty if unknown
	Err    error  // what was found where
}

func (e *Error) Error() string {
	s := strings.ReplaceAll(string(e.Code), "_", " ")
	if e.Format != "" {
		s += " (" + e.Format + ")"
	}
	s += ": " + e.Err.Error()
	switch e.Code {
	case UnsupportedVariant:
		s += "; save it as PNG or as baseline JPEG"
	case TruncatedImage:
		s += "; send the whole file"
	}
	return s
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// ImageErrorCode returns the code as a string, for callers that do not import
// this package.
func (e *Error) ImageErrorCode() string { return string(e.Code) }

// imageError classifies an error of a decoder.
func imageError(format string, err error) *Error {
	code := InvalidImage
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		code = TruncatedImage
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, bmp.ErrUnsupported), errors.As(err, new(png.UnsupportedError)):
		code = UnsupportedVariant
	}
	return &Error{Code: code, Format: format, Err: err}
}
