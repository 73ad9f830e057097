package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"vith/cmd/internal/open"
)

func devicesCommand() *cli.Command {
	var asJSON bool
	return &cli.Command{
		Name:  "devices",
		Usage: "what could run this, and what auto would choose",
		Description: `Shows the devices that --device may name, what each can do, and which one auto takes. On the
CPU the best instruction set is chosen; VITH_CPU=amx, avx512bf16, avx512, avx2 or generic asks for
another, on arm64 neon or generic. bf16 halves the weights; amx and avx512bf16 also multiply in it.

Examples:
  vith devices
  VITH_CPU=avx2 vith devices --json`,
		Flags: []cli.Flag{newSwitch(&asJSON, "json", "print JSON")},
		Action: func(c *cli.Context) error {
			if _, err := arguments(c, 0, 0); err != nil {
				return err
			}
			found, err := open.Devices(os.Getenv("VITH_CPU"))
			if err != nil {
				return openError(c, err)
			}
			if asJSON {
				return json.NewEncoder(c.App.Writer).Encode(found)
			}
			return printDevices(c.App.Writer, found)
		},
	}
}

func printDevices(w io.Writer, found *open.Found) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "auto takes\t%s\n", found.Auto)
	if found.NoGPU != "" {
		fmt.Fprintf(t, "GPUs\tnone: %s\n", found.NoGPU)
	}
	if found.Driver != "" {
		fmt.Fprintf(t, "driver\t%s\n", found.Driver)
	}
	if found.NoMonitor != "" {
		fmt.Fprintf(t, "use of the GPUs\tnot known: %s\n", found.NoMonitor)
	}
	for _, d := range found.Devices {
		fmt.Fprintf(t, "%s\t%s\n", d.ID, d.Name)
		fmt.Fprintf(t, "  precisions\t%s\n", strings.Join(d.Precisions, ", "))
		memory := fmt.Sprintf("%d MiB", d.Total>>20)
		if d.Free > 0 {
			memory = fmt.Sprintf("%d MiB free of %d MiB", d.Free>>20, d.Total>>20)
		}
		fmt.Fprintf(t, "  memory\t%s\n", memory)
		if d.UUID != "" {
			fmt.Fprintf(t, "  UUID\t%s\n  compute capability\t%s\n", d.UUID, d.Capability)
			for _, p := range d.Processes {
				used := "not known"
				if p.Memory >= 0 {
					used = fmt.Sprintf("%d MiB", p.Memory>>20)
				}
				fmt.Fprintf(t, "  used by process %d\t%s\n", p.PID, used)
			}
			continue
		}
		fmt.Fprintf(t, "  threads\t%d\n", d.Threads)
		fmt.Fprintf(t, "  instructions\t%s, of %s\n", d.Tier, strings.Join(d.Tiers, ", "))
	}
	fmt.Fprintf(t, "emu, emu:sm_NN\tan emulated GPU, slow: for tests, never chosen by itself\n")
	return t.Flush()
}
