package http

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// A client sends one request at a time over a connection that it keeps. Not safe
// for concurrent use.
type client struct {
	target *target
	conn   net.Conn // nil: none is open
	reader *bufio.Reader
	answer fasthttp.Response // the last one; its body is the next one's memory
	used   bool              // an answer came over conn
}

// times are the moments of an exchange.
type times struct {
	began, sent, first, ended time.Time
}

// do sends a request and reads its answer into c.answer, before the deadline. It
// fails with ctx's error when that ends.
func (c *client) do(ctx context.Context, rq request, deadline time.Time) (t times, err error) {
	for {
		reused := c.used
		t, err = c.try(ctx, rq, deadline)
		if err == nil {
			if c.answer.ConnectionClose() {
				c.close()
			}
			return t, nil
		}
		c.close()
		if ctx.Err() != nil {
			return t, ctx.Err()
		}
		if !reused || !t.first.IsZero() || !time.Now().Before(deadline) {
			return t, err
		}
		// The server may have closed a connection that it had kept, before it saw the request.
	}
}

func (c *client) try(ctx context.Context, rq request, deadline time.Time) (t times, err error) {
	t.began = time.Now()
	if c.conn == nil {
		if err := c.dial(ctx, deadline); err != nil {
			return t, err
		}
	}
	conn := c.conn
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := c.conn.SetDeadline(deadline); err != nil {
		return t, err
	}
	// A server that refuses a request may answer and close while it is still being sent.
	_, sending := c.conn.Write(rq.wire)
	t.sent = time.Now()
	if _, err := c.reader.Peek(1); err != nil {
		if sending != nil {
			err = sending
		}
		return t, err
	}
	t.first = time.Now()
	if err := c.answer.Read(c.reader); err != nil {
		return t, err
	}
	t.ended = time.Now()
	c.used = true
	if sending != nil {
		c.close()
	}
	return t, nil
}

func (c *client) dial(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	var dialer interface {
		DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	} = &net.Dialer{}
	if c.target.tls {
		dialer = &tls.Dialer{}
	}
	conn, err := dialer.DialContext(ctx, "tcp", c.target.addr)
	if err != nil {
		return err
	}
	c.conn, c.used = conn, false
	if c.reader == nil {
		c.reader = bufio.NewReaderSize(conn, 16<<10)
	}
	c.reader.Reset(conn)
	return nil
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
	c.used = false
}
