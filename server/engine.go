package server

import "context"

// An Engine turns images into embeddings. All methods are safe for concurrent
// use. Neither Prepare nor Embed keeps a reference to its arguments after it
// has returned.
type Engine interface {
	// Prepare decodes, orients, resizes and crops one image into dst, which is
	// Info().InBytes long: uint8, row-major, [ImageSize, ImageSize, 3] RGB.
	// It checks ctx every few rows. An error other than ctx's means that the
	// image is at fault; it carries a code through ImageErrorCode.
	Prepare(ctx context.Context, dst, img []byte, o PrepareOptions) error

	// Embed runs n prepared images, 1 <= n <= Info().MaxBatch, that lie one
	// after the other in in, and writes n rows of the named output to out.
	// An error is the server's fault, never the images'.
	Embed(ctx context.Context, output string, n int, in []byte, out []float32) error

	// Info describes the model and what runs it. It does not change: New asks
	// once. The caller does not modify what it gets.
	Info() Info

	// Devices returns the present state of each device, within seconds even if one hangs.
	Devices() []Device
}

// PrepareOptions are what a request may change about the preparation of its
// images. What would change the pixels is the engine's own and part of
// Info().Preprocessing.
type PrepareOptions struct {
	MaxPixels int // an image of more is refused with image_too_large before it is decoded
}

// Info describes a model and the devices that run it.
type Info struct {
	Model         string           `json:"model"`
	ModelDigest   string           `json:"model_digest"`  // sha256:...
	Preprocessing string           `json:"preprocessing"` // id of decoder, EXIF and crop rule
	Synthetic     bool             `json:"synthetic"`     // random weights
	Device        string           `json:"device"`        // cpu, cuda:0, cuda:0,1
	Precision     string           `json:"precision"`
	GELU          string           `json:"gelu"`       // the activation's form: exact, tanh, quick_gelu
	Residual      string           `json:"residual"`   // type of the stream between layers: fp32, fp16
	ImageSize     int              `json:"image_size"` // side of the prepared image in pixels
	Outputs       map[string][]int `json:"outputs"`    // name: shape of one image's embedding
	MaxBatch      int              `json:"max_batch"`  // images in one call of Embed
	InBytes       int              `json:"-"`          // size of one prepared image
	Parallel      int              `json:"-"`          // calls of Embed that a device overlaps; 0: 1
}

// A Device is one thing that runs the model, as it is now.
type Device struct {
	ID     string  `json:"id"` // cpu, cuda:0, emu
	Name   string  `json:"name"`
	UUID   string  `json:"uuid,omitempty"`
	Driver string  `json:"driver,omitempty"` // release of its driver
	State  string  `json:"state"`            // ok, silent or down
	Error  string  `json:"error,omitempty"`  // why it is not ok
	Load   float64 `json:"load"`             // busy share of the last second, 0 to 1
	Memory Memory  `json:"memory"`
	Power  Power   `json:"power,omitzero"`
}

// States of a Device.
const (
	DeviceOK     = "ok"
	DeviceSilent = "silent" // its driver does not answer; the rest is what was last known
	DeviceDown   = "down"   // for good: it gets no more work
)

// Power is what a device draws; 0 is not known.
type Power struct {
	Watts        float64 `json:"watts"`
	LimitWatts   float64 `json:"limit_watts"`
	EnergyJoules float64 `json:"energy_joules"` // since its driver was loaded
}

// Memory is a device's memory by owner, in bytes.
type Memory struct {
	Total     int64 `json:"total"`
	Free      int64 `json:"free"`
	Weights   int64 `json:"weights"`
	Arena     int64 `json:"arena"`
	Workspace int64 `json:"workspace"`
	Context   int64 `json:"context"` // the driver's, for this process
	Other     int64 `json:"other"`   // of other processes
}

// imageError is what an error of Prepare implements to name its code: one of
// empty_image, unsupported_image_format, unsupported_image_variant,
// truncated_image, invalid_image, image_too_large.
type imageError interface {
	error
	ImageErrorCode() string
}

// Codes of image errors that decide an HTTP status.
const (
	codeEmptyImage        = "empty_image"
	codeUnsupportedFormat = "unsupported_image_format"
	codeInvalidImage      = "invalid_image"
	codeImageTooLarge     = "image_too_large"
)
