//go:build !linux

package emu

// thread identifies the calling OS thread, which only Linux does without cgo: elsewhere all threads are one.
func thread() int { return 0 }
