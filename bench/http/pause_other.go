//go:build !linux

package http

import "time"

// pause sleeps for d.
func pause(d time.Duration) { time.Sleep(d) }
