package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"vith/bench/roofs"
	"vith/cmd/internal/open"
	"vith/kernels"
	"vith/vit"
)

func planCommand() *cli.Command {
	var m modelFlags
	var asJSON bool
	var on string
	return &cli.Command{
		Name:  "plan",
		Usage: "the program of a tower: calls, buffers, FLOPs, bytes, arena, the least time it takes",
		Description: `Shows what one forward pass of a model is on a device: its memory by owner, its operations and
bytes, and every call with its operands. Reads only the headers of the weights.

The least time is what the operations and bytes of each call need at the most that the device
can do, which is measured here: no pass is faster. With --on it is that of a GPU that need not
be here, one of ` + strings.Join(roofs.Names(), ", ") + `.

Examples:
  vith plan --model synth:vit-h-14/1 --batch 8
  vith plan --model synth:vit-h-14/1 --device emu --precision fp16 --on h200 --batch 64
  vith plan --model synth:vit-h-14/1 --device emu --json`,
		Flags: append([]cli.Flag{
			m.batchFlag("batch"),
			newSwitch(&asJSON, "json", "print JSON"),
			newFlag(&on, "on", "", "`GPU` least times on this one, in fp16 or bf16: h200, rtx4090, ...", text),
		}, m.flags()...),
		Action: func(c *cli.Context) error {
			if _, err := arguments(c, 0, 0); err != nil {
				return err
			}
			if err := m.check(c); err != nil {
				return err
			}
			plan, err := open.MakePlan(open.Options{
				Model: m.model, Device: m.device, Precision: m.precision, Activation: m.activation, GELU: m.gelu, Residual: m.residual,
				Normalize: m.normalize, CPU: os.Getenv("VITH_CPU"), Threads: m.threads, Log: m.logger(),
			}, vit.Output(m.output), m.batch, on == "")
			if err != nil {
				return openError(c, err)
			}
			roof := plan.Roof
			if on != "" {
				if roof, err = knownRoof(c, on, plan.Precision); err != nil {
					return err
				}
			}
			p := newPlan(plan, m.output, m.batch, roof, on)
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
	Least     *least     `json:"least,omitempty"`
	Calls     []planCall `json:"calls"`
}

// least is the least time of a pass, on the device or another one.
type least struct {
	On              string  `json:"on"`
	FLOPS           float64 `json:"flop_per_second"` // the most that it can do
	Bandwidth       float64 `json:"byte_per_second"` // the most that it can move
	Milliseconds    float64 `json:"ms"`
	ImagesPerSecond float64 `json:"images_per_second"`
}

type planCall struct {
	Kernel string `json:"kernel"`
	Sizes  []int  `json:"sizes"`
	Result string `json:"result"`
	FLOPs  int64  `json:"flops"`
	Bytes  int64  `json:"bytes"`

	Micros float64 `json:"least_us,omitempty"`
}

func newPlan(o *open.Plan, output string, batch int, roof *roofs.Roof, on string) *plan {
	p := &plan{Model: o.Name, Device: o.Device, Precision: o.Precision, Output: output, Batch: batch, Arena: int64(kernels.MakePlan(o.Program).Size)}
	for _, b := range o.Program.Bufs {
		if b.Role == kernels.Fixed {
			p.Weights += int64(b.Bytes())
		}
	}
	seconds := 0.0 // at least
	for i, c := range o.Program.Calls {
		cost := o.Program.Cost(i)
		p.FLOPs, p.Bytes = p.FLOPs+cost.FLOPs, p.Bytes+cost.Bytes
		call := planCall{Kernel: c.Kernel.Name, Sizes: c.Dims, Result: o.Program.Bufs[c.Out[0].ID].Name, FLOPs: cost.FLOPs, Bytes: cost.Bytes}
		if roof != nil {
			call.Micros = 1e6 * roof.Time(cost).Seconds()
			seconds += call.Micros / 1e6
		}
		p.Calls = append(p.Calls, call)
	}
	if roof != nil {
		p.Least = &least{cmp.Or(on, o.Device), roof.FLOPS, roof.Bandwidth, 1e3 * seconds, float64(batch) / seconds}
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
	if l := p.Least; l != nil {
		fmt.Fprintf(t, "least time on %s\t%.3g ms, %.4g images/s: at %.4g TFLOP/s and %.3g TB/s\n",
			l.On, l.Milliseconds, l.ImagesPerSecond, l.FLOPS/1e12, l.Bandwidth/1e12)
	}
	fmt.Fprintf(t, "calls\t%d\n\n", len(p.Calls))
	p.printKernels(t)
	if err := t.Flush(); err != nil {
		return err
	}
	return program.Print(w)
}

// printKernels sums up the calls of each kernel.
func (p *plan) printKernels(w io.Writer) {
	var sums []planCall
	count := map[string]int{}
	for _, c := range p.Calls {
		i := slices.IndexFunc(sums, func(s planCall) bool { return s.Kernel == c.Kernel })
		if i < 0 {
			i = len(sums)
			sums = append(sums, planCall{Kernel: c.Kernel})
		}
		s := &sums[i]
		s.FLOPs, s.Bytes, s.Micros = s.FLOPs+c.FLOPs, s.Bytes+c.Bytes, s.Micros+c.Micros
		count[c.Kernel]++
	}
	fmt.Fprint(w, "kernel\tcalls\tGFLOP\tMB\tleast ms\n")
	for _, s := range sums {
		time := "-"
		if p.Least != nil {
			time = fmt.Sprintf("%.3f", s.Micros/1e3)
		}
		fmt.Fprintf(w, "%s\t%d\t%.2f\t%.1f\t%s\n", s.Kernel, count[s.Kernel], float64(s.FLOPs)/1e9, float64(s.Bytes)/1e6, time)
	}
	fmt.Fprintln(w)
}

// knownRoof is the roof of a GPU that need not be here.
func knownRoof(c *cli.Context, name, precision string) (*roofs.Roof, error) {
	roof, err := roofs.Known(name)
	if err != nil {
		return nil, usagef(c, "--on: %w", err)
	}
	if precision != "fp16" && precision != "bf16" {
		return nil, usagef(c, "--on %s: its roof is known for fp16 and bf16, the plan is of %s: add --precision fp16", name, precision)
	}
	return &roof, nil
}
