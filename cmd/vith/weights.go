package main

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"vith/loader"
	"vith/vit/tower"
)

func weightsCommand() *cli.Command {
	return &cli.Command{
		Name:  "weights",
		Usage: "get, make, inspect and check checkpoints",
		Subcommands: []*cli.Command{
			synthCommand(),
			inspectCommand(),
			pullCommand(),
			verifyCommand(),
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef(c, "no command %q", c.Args().First())
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

func synthCommand() *cli.Command {
	return &cli.Command{
		Name:      "synth",
		Usage:     "write a synthetic checkpoint",
		ArgsUsage: "CONFIG SEED FILE",
		Description: `Writes a safetensors file whose every value follows from the name of a known tower and a
seed: the same bytes on every machine. Its vectors mean nothing, but it has the size and the
speed of the real one. An existing FILE is overwritten once the new one is complete.

CONFIG is one of
` + towerNames() + `.

Examples:
  vith weights synth vit-tiny 1 tiny.safetensors      3 MB
  vith weights synth vit-h-14 1 huge.safetensors      2.5 GB`,
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 3, 3)
			if err != nil {
				return err
			}
			config, path := args[0], args[2]
			if _, ok := tower.Lookup(config); !ok {
				return usagef(c, "no known tower is called %q: CONFIG must be one of %s", config, towerNames())
			}
			seed, err := strconv.ParseUint(args[1], 10, 64)
			if err != nil {
				return usagef(c, "SEED is %q, must be a whole number from 0 to 2^64-1", args[1])
			}
			bar := newBar("writing "+filepath.Base(path), true)
			defer bar.clear()
			return loader.SaveSynthetic(c.Context, path, config, seed, bar.set)
		},
	}
}

func towerNames() string {
	var names []string
	for _, v := range tower.Variants {
		names = append(names, v.Name)
	}
	return strings.Join(names, ", ")
}
