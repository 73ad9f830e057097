package main

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// unlimited is no limit on the number of arguments.
const unlimited = -1

// arguments returns a command's arguments, least to most of them, where most may be unlimited.
//
// Flags stand before arguments: what looks like a flag after one is a mistake, not a file, unless a "--" came before.
func arguments(c *cli.Context, least, most int) ([]string, error) {
	args := c.Args().Slice()

	// Whether a "--" stood before the first argument can only be seen in what the command was given before parsing.
	given := c.Lineage()[1].Args().Slice()
	ended := given[len(given)-len(args)-1] == "--"

	var list []string
	for _, arg := range args {
		switch {
		case ended:
		case arg == "--":
			ended = true
			continue
		case len(arg) > 1 && strings.HasPrefix(arg, "-"):
			return nil, usagef(c, "flag %s stands after the argument %s: move it before (-- ends flags)", arg, list[0])
		}
		list = append(list, arg)
	}
	want := c.Command.HelpName + " [flags] " + c.Command.ArgsUsage
	switch {
	case len(list) < least:
		return nil, usagef(c, "too few arguments, want %s", want)
	case most != unlimited && len(list) > most:
		return nil, usagef(c, "too many arguments: %q, want %s", list[most:], want)
	}
	return list, nil
}
