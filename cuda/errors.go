package cuda

import (
	"errors"
	"fmt"

	"vith/kernels"
)

var (
	// ErrDown marks the errors of a backend whose device failed. On a GPU even opening it anew does not end that: it takes
	// another process.
	ErrDown = kernels.ErrDown
	// ErrBusy is the error of opening a device that a backend of this process holds.
	ErrBusy = errors.New("in use by another backend of this process")
	// ErrClosed is returned by a backend, or its runners, after Close.
	ErrClosed = errors.New("cuda: the backend is closed")
	// ErrTooOld marks the errors of a driver or GPU below the oldest that the project supports.
	ErrTooOld = errors.New("too old")
)

// A MemoryError says that a program does not fit a device. It is an ErrOutOfMemory.
type MemoryError struct {
	Device         string
	Weights, Arena int64 // bytes that are needed for them, beyond what the backend holds
	Free, Total    int64 // bytes of the device, or of what Options.Memory leaves of it
}

func (e *MemoryError) Error() string {
	return fmt.Sprintf("%s: the program needs %s more (%s of weights, %s of buffers), %s of %s are free: use a smaller batch, a precision of 16 bits, or another device",
		e.Device, size(e.Weights+e.Arena), size(e.Weights), size(e.Arena), size(e.Free), size(e.Total))
}

func (e *MemoryError) Unwrap() error { return ErrOutOfMemory }

// size is a number of bytes in words.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}

// lost reports whether err ended the context.
func lost(err error) bool {
	var status Status
	return errors.As(err, &status) && status.Sticky()
}

// join is err and what went wrong in cleaning up after it, unless the context was lost: then all of that fails alike.
func join(err error, cleanup ...error) error {
	if err != nil && lost(err) {
		return err
	}
	return errors.Join(err, errors.Join(cleanup...))
}
