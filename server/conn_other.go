//go:build !unix

package server

import "syscall"

// peeker cannot look at a socket here, so that every client seems to be there.
type peeker struct{}

func newPeeker(syscall.Conn) (*peeker, error) { return &peeker{}, nil }

func (*peeker) ended() bool { return false }
