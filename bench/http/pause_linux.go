package http

import (
	"time"

	"golang.org/x/sys/unix"
)

// pause sleeps for d. The runtime's timers wake an idle process late by up to a
// millisecond; the kernel's by some 50 µs.
func pause(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	unix.Nanosleep(&t, nil) // a signal ends it early; the caller's clock decides
}
