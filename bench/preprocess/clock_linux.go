package preprocess

import (
	"time"

	"golang.org/x/sys/unix"
)

const clockName = "CPU time of the thread"

// now is the time that the thread has spent on a CPU.
func now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err) // all Linux has this clock
	}
	return time.Duration(t.Nano())
}
