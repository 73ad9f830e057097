package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"vith/cmd/internal/open"
)

// Exit codes. Users' scripts rely on them.
const (
	exitFailed      = 1   // some or all inputs failed; the others are delivered
	exitUsage       = 2   // the command line makes no sense
	exitUnusable    = 3   // model or device unusable, port in use, no server to stop, not available in this version
	exitInterrupted = 130 // 128 + SIGINT, as shells report it
)

// An exitError is an error with the code that the program ends with.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usagef is a mistake on c's command line.
func usagef(c *cli.Context, format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format+"; see `%s --help`", append(args, c.Command.HelpName)...)}
}

// unusablef is a model, a device or a server that cannot do what is asked.
func unusablef(format string, args ...any) error {
	return &exitError{exitUnusable, fmt.Errorf(format, args...)}
}

// openError gives an error of package open the code that is due.
func openError(c *cli.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*open.UsageError](err); ok {
		return usagef(c, "%w", err)
	}
	return &exitError{exitUnusable, err}
}

// report tells err, if there is one, and returns the code to exit with.
func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(w, "vith: %v\n", err)
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if _, ok := errors.AsType[cli.ExitCoder](err); ok { // such as help for a command that is not there
		return exitUsage
	}
	return exitFailed
}
