//go:build unix

package host

import "golang.org/x/sys/unix"

// reserve returns n zeroed bytes outside of Go's heap: gigabytes of weights on it would let the collector's target
// grow by as much again.
func reserve(n int) (region, error) {
	return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
}

// release gives the memory back. Nothing may use it any more.
func (r region) release() {
	if r != nil {
		unix.Munmap(r)
	}
}
