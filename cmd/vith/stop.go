package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

func stopCommand() *cli.Command {
	var addr, path string
	return &cli.Command{
		Name:  "stop",
		Usage: "stop a running server gracefully",
		Description: `Asks the server on --addr to finish its requests and end, and waits until it has. The server
is found by its pid file; exits with 3 when none runs.

Examples:
  vith stop
  vith stop --addr :8080`,
		Flags: []cli.Flag{
			newFlag(&addr, "addr", ":7860", "`HOST:PORT` where the server listens", text),
			newFlag(&path, "pid-file", "", "`FILE` the server's --pid-file", text),
		},
		Action: func(c *cli.Context) error {
			if _, err := arguments(c, 0, 0); err != nil {
				return err
			}
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return usagef(c, "--addr %s: must be HOST:PORT or :PORT", addr)
			}
			pid, err := stop(c.Context, cmp.Or(path, pidPath(port)))
			if err == nil {
				fmt.Fprintf(c.App.Writer, "stopped the server on %s, pid %d\n", addr, pid)
			}
			return err
		},
	}
}

// stop ends the server that holds the pid file and waits for it.
func stop(ctx context.Context, path string) (pid int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, unusablef("no server to stop: %w", err)
	}
	defer f.Close()
	p := pidFile{f}
	if err := p.lock(unix.LOCK_SH | unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		return 0, unusablef("no server to stop: nobody holds %s, which was left behind", path)
	}
	if pid, err = p.pid(); err != nil {
		return 0, unusablef("no server to stop: cannot read its pid in %s: %w", path, err)
	}
	if program, ok := programOf(pid); !ok {
		return 0, unusablef("no server to stop: pid %d in %s is not a vith but %s", pid, path, program)
	}
	if err := unix.Kill(pid, unix.SIGTERM); err != nil {
		return 0, unusablef("cannot stop the server, pid %d: %w", pid, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.lock(unix.LOCK_SH) }() // free once the server is gone
	select {
	case err := <-ended:
		if err != nil {
			err = fmt.Errorf("cannot wait for the server, pid %d: %w", pid, err)
		}
		return pid, err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// programOf returns what a process runs, and false if that is known not to be a vith.
func programOf(pid int) (name string, ok bool) {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return "", true // not Linux, or not ours to look at
	}
	self, err := os.Executable()
	name = strings.TrimSuffix(filepath.Base(path), " (deleted)") // after an upgrade
	return name, err != nil || name == filepath.Base(self)
}
