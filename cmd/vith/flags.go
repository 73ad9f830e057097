package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// env is the environment variable of a flag.
func env(name string) string {
	return "VITH_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// newFlag makes the flag --name, and VITH_NAME in the environment, that sets *dst. An empty variable counts as none.
// usage starts with the value's name in backquotes, for help.
func newFlag[T any](dst *T, name, initial, usage string, parse func(string) (T, error)) *cli.GenericFlag {
	v := &value[T]{parse: parse, dst: dst}
	if initial != "" {
		if err := v.Set(initial); err != nil {
			panic(fmt.Sprintf("flag %s cannot start as %q: %v", name, initial, err))
		}
	}
	return &cli.GenericFlag{Name: name, Value: v, EnvVars: []string{env(name)}, Usage: usage}
}

// newSwitch makes the flag --name that sets *dst to true.
func newSwitch(dst *bool, name, usage string) *cli.BoolFlag {
	return &cli.BoolFlag{Name: name, EnvVars: []string{env(name)}, Usage: usage, Destination: dst}
}

// A value is what a flag sets, with its last spelling.
type value[T any] struct {
	parse    func(string) (T, error)
	dst      *T
	spelling string
}

func (v *value[T]) Set(s string) error {
	x, err := v.parse(s)
	if err != nil {
		return err
	}
	*v.dst, v.spelling = x, s
	return nil
}

func (v *value[T]) String() string { return v.spelling }

// Parsers of values.

func text(s string) (string, error) { return s, nil }

func oneOf(allowed ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !slices.Contains(allowed, s) {
			return "", fmt.Errorf("must be one of %s", strings.Join(allowed, ", "))
		}
		return s, nil
	}
}

func between(lo, hi int) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < lo || n > hi {
			return 0, fmt.Errorf("must be a whole number from %d to %d", lo, hi)
		}
		return n, nil
	}
}

func duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("must be a time such as 30s, 1m30s or 250ms")
	}
	return d, nil
}

// size reads a number of bytes: 67108864, 64MiB, 64MB.
func size(s string) (int, error) {
	digits := strings.TrimRight(s, "BKMGTikmgt")
	unit, ok := map[string]int{
		"": 1, "B": 1,
		"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}[s[len(digits):]]
	n, err := strconv.Atoi(strings.TrimSpace(digits))
	if err != nil || !ok || n < 1 || n > math.MaxInt/unit {
		return 0, fmt.Errorf("must be a size such as 64MiB, 64MB or 67108864")
	}
	return n * unit, nil
}
