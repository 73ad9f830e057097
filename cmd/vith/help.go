package main

import (
	"flag"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

const appHelp = `vith {{.Usage}}

Usage:
  vith COMMAND [flags] [arguments]        vith help COMMAND tells more
{{range .VisibleCategories}}
{{if .Name}}{{.Name}}{{else}}Commands{{end}}:
{{range .VisibleCommands}}  {{.Name}}{{"\t"}}{{.Usage}}
{{end}}{{end}}
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
{{end}}{{range .VisibleCategories}}
{{if .Name}}{{.Name}}{{else}}Commands{{end}}:
{{range .VisibleCommands}}  {{.Name}}{{"\t"}}{{.Usage}}
{{end}}{{end}}{{if not .Subcommands}}
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
	placeholder, usage := flag.UnquoteUsage(&flag.Flag{Usage: d.GetUsage()})
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
