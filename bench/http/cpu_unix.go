//go:build unix

package http

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what the process has spent on CPUs.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err) // documented to fail for bad arguments only
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
