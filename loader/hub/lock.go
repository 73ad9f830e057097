package hub

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockPoll is how often a lock is asked for that another process holds.
const lockPoll = 200 * time.Millisecond

// lock takes the lock of a file in the cache and returns what gives it back. The hub's own tools lock the same path in
// the same way. If another process holds it, waiting is called once and lock waits.
func lock(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && inPlace(f, path) {
			return func() { f.Close() }, nil
		}
		f.Close()
		switch {
		case err == nil: // the holder has removed the file that it had locked
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, &os.PathError{Op: "lock", Path: path, Err: err}
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		if err := sleep(ctx, lockPoll); err != nil {
			return nil, err
		}
	}
}

// inPlace reports whether f is the file that path names.
func inPlace(f *os.File, path string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(ours, named)
}
