package main

import (
	"strings"

	"github.com/urfave/cli/v2"
)

func newApp() *cli.App {
	var version, asJSON bool
	app := &cli.App{
		Name:  "vith",
		Usage: "turns images into CLIP ViT embeddings",
		Description: `Exit codes: 0 all done, 1 some inputs failed, 2 usage, 3 model, device or server unusable.

Try it, without downloading weights (the vectors mean nothing):

  vith embed --model synth:vit-tiny/1 photo.jpg
  vith serve --model synth:vit-tiny/1        then open http://localhost:7860

With weights: name a .safetensors file, a folder with one, or a repository that was
pulled from the Hugging Face hub, and let VITH_MODEL remember it:

  vith weights pull laion/CLIP-ViT-H-14-laion2B-s32B-b79K
  export VITH_MODEL=laion/CLIP-ViT-H-14-laion2B-s32B-b79K
  vith embed --format npy *.jpg > vectors.npy`,
		HideVersion: true, // --version is a flag of our own, for --json
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print version, commit, Go and build tags", Destination: &version},
			&cli.BoolFlag{Name: "json", Usage: "with --version: as JSON", EnvVars: []string{env("json")}, Destination: &asJSON},
		},
		Commands: []*cli.Command{
			serveCommand(),
			stopCommand(),
			embedCommand(),
			preprocessCommand(),
			weightsCommand(),
			devicesCommand(),
			kernelsCommand(),
			notYet("bulk", "folders, tar shards, lists -> .npy and .parquet, resumable", ""),
			benchCommand(),
			notYet("tune", "the best batch sizes of a machine", ""),
			notYet("top", "live view of devices", ""),
			planCommand(),
			notYet("doctor", "driver, libraries, permissions; what is missing", ""),
		},
		Action: func(c *cli.Context) error {
			switch {
			case c.Args().Present():
				return usagef(c, "no command %q", c.Args().First())
			case version:
				return printVersion(c.App.Writer, asJSON)
			}
			return cli.ShowAppHelp(c)
		},
		ExitErrHandler: func(*cli.Context, error) {}, // main reports and exits
	}
	app.OnUsageError = onUsageError
	prepare(app.Commands)
	setHelp()
	return app
}

// prepare gives every command what the package would otherwise choose for it: errors of flags are reported by main, and
// an image may be called help.
func prepare(commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError = onUsageError
		c.HideHelpCommand = true
		prepare(c.Subcommands)
	}
}

func onUsageError(c *cli.Context, err error, _ bool) error { return usagef(c, "%w", err) }

// notYet is a command of a later version. instead, if not "", says how to do without.
func notYet(name, usage, instead string) *cli.Command {
	return &cli.Command{
		Name:            name,
		Usage:           usage,
		Category:        "not available in this version",
		SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			return unusablef("%s is not available in this version%s", strings.TrimPrefix(c.Command.HelpName, "vith "), instead)
		},
	}
}
