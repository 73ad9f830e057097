package server

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// What a refused request is still sending is read and dropped within these
	// limits, so that a client that sends before it reads gets to the answer.
	lingerTimeout = 5 * time.Second
	lingerBytes   = 64 << 20
)

// A listener accepts connections as *conn.
type listener struct {
	net.Listener
	writeTimeout time.Duration // for each write
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	accepted := &conn{Conn: c, writeTimeout: l.writeTimeout}
	if socket, ok := c.(syscall.Conn); ok {
		if accepted.peeker, err = newPeeker(socket); err != nil {
			return nil, err
		}
	}
	return accepted, nil
}

// A conn is a client's connection that can close without taking the last answer
// away from a client that is still sending.
//
// Closing a TCP connection with unread data resets it, and a reset throws away
// what the client has not read yet. So the write side is closed first and
// reading goes on for a while: RFC 9112, section 9.6.
type conn struct {
	net.Conn
	writeTimeout time.Duration
	linger       atomic.Bool

	mu     sync.Mutex
	peeker *peeker // nil: the connection is no socket
}

// gone reports whether the client has closed the connection, as far as can be
// told: what it has sent beyond its request hides it.
func (c *conn) gone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peeker != nil && c.peeker.ended()
}

// Write writes b within writeTimeout, or gives up a client that has stopped
// reading.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// Close closes the connection, at once unless linger is set.
func (c *conn) Close() error {
	if c.linger.Swap(false) {
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
		c.SetReadDeadline(time.Now().Add(lingerTimeout))
		io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
	return c.Conn.Close()
}
