package kernels

import (
	"errors"
	"time"
)

var (
	// ErrDown marks the errors of a backend whose device failed in a way that only opening it anew can end.
	ErrDown = errors.New("the device failed and takes no more work")
	// ErrOutOfMemory marks the errors of a Load that the device has no memory for. Weights may have been placed; a Load of a
	// smaller program may follow.
	ErrOutOfMemory = errors.New("out of memory")
)

// A Backend is a device that programs run on. Its methods may be called concurrently.
type Backend interface {
	Name() string // as --device spells it: "cpu", "cuda:0"
	Caps() Caps
	// Load makes a lowered program resident: it places each Weight once, however many programs use it, reserves
	// scratch memory and resolves every call. The errors of Weight.Fill pass through.
	Load(*Program) (Runner, error)
	Memory() Memory
	// Close frees the device's memory. Runners must be idle and are unusable afterwards.
	Close() error
}

// A Profiler is a Backend that tells how long each call of a program takes on the device.
type Profiler interface {
	Backend
	// Profile is the median of so many passes of a runner of this backend, by call.
	Profile(r Runner, passes int) ([]time.Duration, error)
}

// Caps are what Lower needs to know of a backend.
type Caps struct {
	Precisions  []Precision  // of calls
	Activations []Activation // that gemm applies by itself
	Residual    bool         // gemm adds a residual
	EmbedNorm   bool         // embed and the two layernorms after it are one kernel
	// Short: Start takes slices shorter than their buffers. What an input lacks is zeros, what an output lacks is not
	// delivered.
	Short bool
	// Pitch is the distance in elements between rows of a scratch buffer of cols elements, at least cols.
	Pitch func(cols, size int) int
}

// A Runner is a program resident on a device.
type Runner interface {
	// Start begins a pass and returns when in may be reused. in and out have one slice for each input and output buffer
	// of the program, in order and of their sizes, see Caps.Short; out is written when the Wait returned nil and belongs
	// to the pass until then. Up to Depth passes may be in flight.
	Start(in, out [][]byte) (Wait, error)
	Depth() int
	Close() error
}

// A Wait blocks until its pass is done and returns what went wrong in it.
type Wait func() error

// Memory is what a backend holds, in bytes.
type Memory struct {
	Total, Free int64 // of the device
	Weights     int64
	Arena       int64 // scratch buffers of all programs
	Workspace   int64
}
