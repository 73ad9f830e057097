package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A pidFile tells vith stop which process to signal. The server holds a lock on it for as long as it lives, so that a
// file that was left behind, or a number that another process has since been given, cannot be mistaken for a server.
type pidFile struct{ *os.File }

// pidPath is where the server on a port keeps its pid file by default.
func pidPath(port string) string {
	return filepath.Join(cmp.Or(os.Getenv("XDG_RUNTIME_DIR"), os.TempDir()), "vith-"+port+".pid")
}

// writePID writes and locks the pid file. One that nobody asked for is not worth failing for: it is nil then.
func (s *serveFlags) writePID(log *slog.Logger, addr net.Addr) (*pidFile, error) {
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return nil, err
	}
	path := cmp.Or(s.pidFile, pidPath(port))
	p, err := createPID(path)
	if err == nil {
		return p, nil
	}
	if s.pidFile != "" {
		return nil, unusablef("--pid-file %s: %w", path, err)
	}
	log.Warn("no pid file: vith stop will not find this server", "file", path, "error", err)
	return nil, nil
}

func createPID(path string) (*pidFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, err
	}
	p := &pidFile{f}
	if err := p.lock(unix.LOCK_EX | unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another server holds it: %w", err)
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		f.Close()
		return nil, err
	}
	return p, nil
}

// remove ends the file. It may be called on nil.
func (p *pidFile) remove() {
	if p != nil {
		os.Remove(p.Name())
		p.Close()
	}
}

// lock takes or tests the lock; a signal does not end the wait for it.
func (p *pidFile) lock(how int) error {
	for {
		if err := unix.Flock(int(p.Fd()), how); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// pid is the number in the file.
func (p *pidFile) pid() (int, error) {
	data, err := io.ReadAll(io.LimitReader(p, 32))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}
