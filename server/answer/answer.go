// Package answer writes embeddings in the forms that the HTTP API and the
// command line share: one JSON object, JSON lines, .npy and raw float32.
//
// Every writer streams: memory beyond the vectors themselves is one small
// buffer, whatever the number of images. Numbers in text are the shortest that
// read back as the same float32.
package answer

import "time"

// An Answer is the embeddings of some images and all that a reader needs to
// know to compare them with others.
type Answer struct {
	Model         string
	ModelDigest   string // sha256:...
	Preprocessing string // id of decoder, EXIF and crop rule
	Device        string
	Precision     string
	Output        string // pooled, projected, penultimate
	Shape         []int  // of one image's embedding: [dim] or [tokens, dim]
	Normalized    bool
	Synthetic     bool // random weights: written only when true
	Base64        bool // JSON embeddings as base64 of little-endian float32
	Data          []Item
	Timing        *Timing // nil: not written
}

// An Item is one image's place in an Answer: its embedding or its error.
type Item struct {
	Index     int
	ID        string    // the client's name for the image; wins over Image
	Image     string    // file name, if there is one
	Embedding []float32 // row-major, as long as the product of Answer.Shape
	Crop      string    // data URI of the pixels that the model saw, if asked for
	Err       *Error    // not nil: there is no embedding
}

// An Error says why an image has no embedding.
type Error struct {
	Code    string `json:"code"`    // one of a fixed list, such as truncated_image
	Message string `json:"message"` // for people
}

func (e *Error) Error() string { return e.Message }

// Timing says where a request's time went. The parts overlap with other
// requests' parts, so that they bound the total but need not add up to it.
type Timing struct {
	Queue      time.Duration // waiting for a place to run
	Preprocess time.Duration // decoding, resizing, cropping
	Compute    time.Duration // the forward passes
	Total      time.Duration // from the end of the request's header
}

// Dim returns the width of the embedding: the last element of Shape.
func (a *Answer) Dim() int { return a.Shape[len(a.Shape)-1] }

// size returns the number of values in one image's embedding.
func (a *Answer) size() int {
	n := 1
	for _, d := range a.Shape {
		n *= d
	}
	return n
}
