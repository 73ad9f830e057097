package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"

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
			newFlag(&addr, "addr", ":7860", "`HOST:PORT` that the server listens on", text),
			newFlag(&path, "pid-file", "", "`FILE` that the server was given as --pid-file", text),
		},
		Action: func(c *cli.Context) error {
			if _, err := arguments(c, 0, 0); err != nil {
				return err
			}
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return usagef(c, "--addr %s: must be HOST:PORT or :PORT", addr)
			}
			pid, err := stop(cmp.Or(path, pidPath(port)))
			if err == nil {
				fmt.Fprintf(c.App.Writer, "stopped the server on %s, pid %d\n", addr, pid)
			}
			return err
		},
	}
}

// stop ends the server that holds the pid file and waits for it.
func stop(path string) (pid int, err error) {
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
	if err := unix.Kill(pid, unix.SIGTERM); err != nil {
		return 0, unusablef("cannot stop the server, pid %d: %w", pid, err)
	}
	if err := p.lock(unix.LOCK_SH); err != nil { // the server's end is what gives the lock free
		return 0, fmt.Errorf("cannot wait for the server, pid %d: %w", pid, err)
	}
	return pid, nil
}
