//go:build !linux

package preprocess

import "time"

const clockName = "wall clock"

var start = time.Now()

// now is the time since the program started.
func now() time.Duration { return time.Since(start) }
