//go:build cuda && cgo && linux && (amd64 || arm64)

package open

import (
	"errors"

	"vith/cuda"
	"vith/cuda/native"
	"vith/cuda/native/lt"
)

// openDriver finds the CUDA driver. Its error says what is missing and what to do.
func openDriver() (cuda.Driver, error) { return native.Open("") }

// openBlas finds cublasLt, for a device on its thread.
func openBlas(d cuda.Device) (cuda.Blas, error) { return lt.Open(d, "") }

// noBlas reports whether the error of a backend is that there is no cublasLt.
func noBlas(err error) bool { return errors.Is(err, lt.ErrNoLibrary) }
