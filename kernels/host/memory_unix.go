//go:build unix

package host

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// reserve returns n zeroed bytes outside of Go's heap: gigabytes of weights on it would let the collector's target
// grow by as much again.
func reserve(n int) (region, error) {
	return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
}

// mapFile maps a file for reading.
func mapFile(path string) (region, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	return unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
}

// release gives the memory back. Nothing may use it any more.
func (r region) release() {
	if r != nil {
		unix.Munmap(r)
	}
}
