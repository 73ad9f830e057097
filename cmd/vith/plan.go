package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"vith/cmd/internal/open"
	"vith/kernels"
	"vith/vit"
)

func planCommand() *cli.Command {
	var m modelFlags
	var asJSON bool
	return &cli.Command{
		Name:  "plan",
		Usage: "the program of a tower: calls, buffers, FLOPs, bytes, arena",
		Description: `Shows what one forward pass of a model is on a device: its memory by owner, its operations and
bytes, and every call with its operands. Reads only the headers of the weights.

Examples:
  vith plan --model synth:vit-h-14/1 --batch 8
  vith plan --model synth:vit-h-14/1 --device emu --precision fp16 --json`,
		Flags: append([]cli.Flag{
			m.batchFlag("batch"),
			newSwitch(&asJSON, "json", "print JSON"),
		}, m.flags()...),
		Action: func(c *cli.Context) error {
			if _, err := arguments(c, 0, 0); err != nil {
				return err
			}
			if err := m.check(c); err != nil {
				return err
			}
			plan, err := open.MakePlan(open.Options{
				Model: m.model, Device: m.device, Precision: m.precision, Activation: m.activation, GELU: m.gelu, Normalize: m.normalize,
				CPU: os.Getenv("VITH_CPU"), Threads: m.threads, Log: m.logger(),
			}, vit.Output(m.output), m.batch)
			if err != nil {
				return openError(c, err)
			}
			p := newPlan(plan, m.output, m.batch)
			if asJSON {
				return json.NewEncoder(c.App.Writer).Encode(p)
			}
			return p.print(c.App.Writer, plan.Program)
		},
	}
}

// A plan is what is told of a program.
type plan struct {
	Model     string     `json:"model"`
	Device    string     `json:"device"`
	Precision string     `json:"precision"`
	Output    string     `json:"output"`
	Batch     int        `json:"batch"`
	Weights   int64      `json:"weights_bytes"` // as the program names them: packing may add some
	Arena     int64      `json:"arena_bytes"`   // intermediate results, sharing memory where their lives allow
	FLOPs     int64      `json:"flops"`
	Bytes     int64      `json:"bytes"` // every operand of every call moved once
	Calls     []planCall `json:"calls"`
}

type planCall struct {
	Kernel string `json:"kernel"`
	Sizes  []int  `json:"sizes"`
	Result string `json:"result"`
	FLOPs  int64  `json:"flops"`
	Bytes  int64  `json:"bytes"`
}

func newPlan(o *open.Plan, output string, batch int) *plan {
	p := &plan{Model: o.Name, Device: o.Device, Precision: o.Precision, Output: output, Batch: batch, Arena: int64(kernels.MakePlan(o.Program).Size)}
	for _, b := range o.Program.Bufs {
		if b.Role == kernels.Fixed {
			p.Weights += int64(b.Bytes())
		}
	}
	for i, c := range o.Program.Calls {
		cost := o.Program.Cost(i)
		p.FLOPs, p.Bytes = p.FLOPs+cost.FLOPs, p.Bytes+cost.Bytes
		p.Calls = append(p.Calls, planCall{c.Kernel.Name, c.Dims, o.Program.Bufs[c.Out[0].ID].Name, cost.FLOPs, cost.Bytes})
	}
	return p
}

// print writes the sums, and then every call as the program prints it.
func (p *plan) print(w io.Writer, program *kernels.Program) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "model\t%s, %s of %d images\n", p.Model, p.Output, p.Batch)
	fmt.Fprintf(t, "device\t%s, %s\n", p.Device, p.Precision)
	fmt.Fprintf(t, "weights\t%.1f MB\n", float64(p.Weights)/1e6)
	fmt.Fprintf(t, "arena\t%.1f MB, %.2f an image\n", float64(p.Arena)/1e6, float64(p.Arena)/1e6/float64(p.Batch))
	fmt.Fprintf(t, "operations\t%.2f GFLOP, %.2f an image\n", float64(p.FLOPs)/1e9, float64(p.FLOPs)/1e9/float64(p.Batch))
	fmt.Fprintf(t, "memory traffic\t%.1f MB, %.1f FLOP a byte\n", float64(p.Bytes)/1e6, float64(p.FLOPs)/float64(p.Bytes))
	fmt.Fprintf(t, "calls\t%d\n\n", len(p.Calls))
	if err := t.Flush(); err != nil {
		return err
	}
	return program.Print(w)
}
