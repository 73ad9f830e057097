// Package interrupt ends what knows no context: decoders stop when their data
// does.
package interrupt

import (
	"context"
	"io"
)

// Reader returns a reader of r that fails with ctx.Err() once ctx has ended. It
// has no other method than Read, so that decoders that read single bytes put a
// buffer in front of it and ask once for each fill of that.
func Reader(ctx context.Context, r io.Reader) io.Reader { return reader{ctx, r} }

type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
