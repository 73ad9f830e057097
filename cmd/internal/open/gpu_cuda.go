//go:build cuda && cgo && linux && (amd64 || arm64)

package open

import (
	"errors"

	"vith/cuda"
	"vith/cuda/native"
	"vith/cuda/native/lt"
	"vith/cuda/native/nvml"
)

// openGPUs finds the CUDA driver, cublasLt and NVML.
func openGPUs() (*GPUs, error) {
	driver, err := native.Open("")
	if err != nil {
		return nil, err
	}
	g := &GPUs{Driver: driver, Blas: func(d cuda.Device) (cuda.Blas, error) { return lt.Open(d, "") }}
	if monitor, err := nvml.Open(""); err != nil {
		g.NoMonitor = err
	} else {
		g.Monitor = monitor // for the life of the process, as the driver
	}
	return g, nil
}

// noBlas reports whether the error of a backend is that there is no cublasLt.
func noBlas(err error) bool { return errors.Is(err, lt.ErrNoLibrary) }
