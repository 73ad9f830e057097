//go:build !(cuda && cgo && linux && (amd64 || arm64))

package device

import (
	"errors"

	"vith/cuda"
)

var errNoSupport = errors.New("the kit was built without GPU support: build it with `make gpu-kit`, on Linux and with gcc")

func openDriver() (cuda.Driver, error) { return nil, errNoSupport }

func openBlas(cuda.Device) (cuda.Blas, error) { return nil, errNoSupport }

func openMonitor() (cuda.Monitor, error) { return nil, errNoSupport }
