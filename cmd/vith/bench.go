package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"vith/bench/preprocess"
)

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:  "bench",
		Usage: "measure this machine, beside what others use where it is installed",
		Subcommands: []*cli.Command{
			benchPreprocessCommand(),
			benchModelCommand(),
			benchHTTPCommand(),
			notYet("kernels", "kernels against the device's limits", ""),
			notYet("quality", "what a precision costs in accuracy", ""),
			notYet("compare", "two reports side by side", ""),
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef(c, "no benchmark %q", c.Args().First())
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

func benchPreprocessCommand() *cli.Command {
	var (
		format string
		budget time.Duration
	)
	return &cli.Command{
		Name:      "preprocess",
		Usage:     "images a second from encoded bytes to crop, on one core",
		ArgsUsage: "[IMAGE...]",
		Description: `Times decoding, resizing and cropping of the images, or of photographs of its own in several
formats and sizes: vith with and without vector instructions, the standard library, and
libjpeg-turbo (tjbench) and Pillow where they are installed, in turns. Takes some minutes.
Of an image that vith refuses it tells why, and how long that took.

Examples:
  vith bench preprocess
  vith bench preprocess --time 200ms holiday.jpg
  vith bench preprocess --format markdown > preprocess.md`,
		Flags: []cli.Flag{
			newFlag(&format, "format", "text", "`FORMAT` text, json or markdown", oneOf("text", "json", "markdown")),
			newFlag(&budget, "time", "1s", "`TIME` of the CPU for each way to read an image", duration),
		},
		Action: func(c *cli.Context) error {
			names, err := arguments(c, 0, unlimited)
			if err != nil {
				return err
			}
			options := preprocess.Options{Duration: budget}
			for _, name := range names {
				image, err := preprocess.File(name)
				if err != nil {
					return err
				}
				options.Images = append(options.Images, image)
			}
			report, err := preprocess.Run(c.Context, options)
			if err != nil {
				return err
			}
			return write(c.App.Writer, &report, format)
		},
	}
}
