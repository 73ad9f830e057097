package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

const appHelp = `vith {{.Usage}}

Usage:
  vith COMMAND [flags] [arguments]        vith help COMMAND tells more
{{range .VisibleCategories}}
{{if .Name}}Commands {{.Name}}{{else}}Commands{{end}}:
{{range .VisibleCommands}}{{if ne .Name "help"}}  {{.Name}}{{"\t"}}{{.Usage}}
{{end}}{{end}}{{end}}
Flags:
{{range .VisibleFlags}}  {{.}}
{{end}}
{{.Description}}
`

const commandHelp = `{{.HelpName}}: {{.Usage}}

Usage:
  {{.HelpName}}{{if .Subcommands}} COMMAND{{end}} [flags]{{with .ArgsUsage}} {{.}}{{end}}
{{with .Description}}
{{.}}
{{end}}{{if .Subcommands}}
Commands:
{{range .VisibleCommands}}{{if ne .Name "help"}}  {{.Name}}{{"\t"}}{{.Usage}}{{with .Category}} ({{.}}){{end}}
{{end}}{{end}}{{end}}{{if not .Subcommands}}
Flags:
{{range .VisibleFlags}}  {{.}}
{{end}}
Flags stand before arguments. Each can also be set in the environment: VITH_ and its name in
capitals with _ for -, such as VITH_LOG_LEVEL; the flag wins.
{{end}}`

// setHelp makes help texts fit 100 columns: one line a flag, the rule about the environment said once.
func setHelp() {
	cli.AppHelpTemplate, cli.CommandHelpTemplate, cli.SubcommandHelpTemplate = appHelp, commandHelp, commandHelp
	cli.FlagStringer = describeFlag
}

// describeFlag returns the flag with its value's name, and what it does with its default, separated by a tab.
func describeFlag(f cli.Flag) string {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return "--" + f.Names()[0]
	}
	placeholder, usage := "", d.GetUsage()
	if d.TakesValue() {
		_, usage, _ = strings.Cut(usage, "`")
		placeholder, usage, _ = strings.Cut(usage, "` ")
	}
	var names []string
	for _, name := range f.Names() {
		dashes := "--"
		if len(name) == 1 {
			dashes = "-"
		}
		names = append(names, dashes+name)
	}
	s := strings.Join(names, ", ")
	if !d.TakesValue() {
		return s + "\t" + usage
	}
	s += " " + placeholder + "\t" + usage
	if initial := d.GetDefaultText(); initial != "" {
		s += fmt.Sprintf(" (default %s)", initial)
	}
	return s
}
