//go:build !(cuda && cgo && linux && (amd64 || arm64))

package open

import "errors"

var errNoSupport = errors.New("this build of vith has no GPU support: build it with `make`, on Linux and with gcc")

func openGPUs() (*GPUs, error) { return nil, errNoSupport }

func noBlas(error) bool { return false }
