//go:build !unix

package host

// reserve returns n zeroed bytes.
func reserve(n int) (region, error) { return make(region, n), nil }

func (r region) release() {}
