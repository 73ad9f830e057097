package emu

import "syscall"

// thread identifies the calling OS thread.
func thread() int { return syscall.Gettid() }
