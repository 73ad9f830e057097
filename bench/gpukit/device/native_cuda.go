//go:build cuda && cgo && linux && (amd64 || arm64)

package device

import (
	"vith/cuda"
	"vith/cuda/native"
	"vith/cuda/native/lt"
	"vith/cuda/native/nvml"
)

func openDriver() (cuda.Driver, error) { return native.Open("") }

func openBlas(d cuda.Device) (cuda.Blas, error) { return lt.Open(d, "") }

func openMonitor() (cuda.Monitor, error) { return nvml.Open("") }
