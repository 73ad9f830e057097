//go:build unix

package server

import "syscall"

// peeker looks at a socket without taking anything from it.
type peeker struct {
	raw  syscall.RawConn
	look func(fd uintptr) // peek, made once
	buf  [1]byte
	eof  bool
}

func newPeeker(c syscall.Conn) (*peeker, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	p := &peeker{raw: raw}
	p.look = p.peek
	return p, nil
}

func (p *peeker) peek(fd uintptr) {
	n, _, err := syscall.Recvfrom(int(fd), p.buf[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	switch err {
	case nil:
		p.eof = n == 0
	case syscall.EAGAIN, syscall.EINTR:
	default: // reset
		p.eof = true
	}
}

// ended reports whether the peer has closed its side or reset the connection. Not safe
// for concurrent use.
func (p *peeker) ended() bool {
	return p.raw.Control(p.look) != nil || p.eof
}
