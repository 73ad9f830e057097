//go:build !unix

package host

import "os"

// reserve returns n zeroed bytes.
func reserve(n int) (region, error) { return make(region, n), nil }

// mapFile reads a file.
func mapFile(path string) (region, error) { return os.ReadFile(path) }

func (r region) release() {}
