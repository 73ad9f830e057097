package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"vith/kernels"
	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// gpuTargets are the GPUs that --target may name.
var gpuTargets = map[string]ptx.Target{
	"sm_75": ptx.SM75, "sm_80": ptx.SM80, "sm_86": ptx.SM86, "sm_89": ptx.SM89, "sm_90": ptx.SM90, "sm_100": ptx.SM100, "sm_120": ptx.SM120,
}

// gpuPrecisions are the precisions that --precision may name, by activations and residual stream.
var gpuPrecisions = map[string]kernels.Precision{
	"fp32": kernels.FP32,
	"fp16": {Activation: tensor.F16, Stream: tensor.F32},
	"bf16": {Activation: tensor.BF16, Stream: tensor.F32},
}

func kernelsCommand() *cli.Command {
	var (
		name, target, precision string
		cost, asJSON            bool
	)
	return &cli.Command{
		Name:  "kernels",
		Usage: "the kernels: list, PTX, cost",
		Description: `Lists the operations that a forward pass is made of, with their sizes and operands. With --ptx
it prints the text that a GPU would be given for one of them, at the size it has in ViT-H-14 or
near; with --cost what each asks of a device at that size. No GPU is needed.

Examples:
  vith kernels
  vith kernels --ptx attention | less
  vith kernels --ptx gemm --target sm_75 --precision fp16
  vith kernels --cost --precision bf16`,
		Flags: []cli.Flag{
			newFlag(&name, "ptx", "", "`KERNEL` whose PTX to print", text),
			newFlag(&target, "target", "sm_80", "`GPU` to write for, such as sm_75, sm_80 or sm_90", oneOf(sortedKeys(gpuTargets)...)),
			newFlag(&precision, "precision", "fp16", "`PRECISION` fp32, fp16 or bf16", oneOf(sortedKeys(gpuPrecisions)...)),
			newSwitch(&cost, "cost", "print operations and bytes"),
			newSwitch(&asJSON, "json", "print JSON"),
		},
		Action: func(c *cli.Context) error {
			if _, err := arguments(c, 0, 0); err != nil {
				return err
			}
			switch {
			case name != "":
				return printPTX(c, name, gpuTargets[target], gpuPrecisions[precision])
			case asJSON:
				return json.NewEncoder(c.App.Writer).Encode(kernelRows(gpuPrecisions[precision]))
			case cost:
				return printCosts(c.App.Writer, kernelRows(gpuPrecisions[precision]))
			}
			return printKernels(c.App.Writer, kernelRows(gpuPrecisions[precision]))
		},
	}
}

// printPTX prints the text of a kernel's largest case.
func printPTX(c *cli.Context, name string, t ptx.Target, p kernels.Precision) error {
	i := slices.IndexFunc(kernels.All(), func(k *kernels.Kernel) bool { return k.Name == name })
	if i < 0 {
		return usagef(c, "no kernel %q: `vith kernels` lists them", name)
	}
	k := kernels.All()[i]
	spec, err := k.Example(p).Spec(0, t)
	if err != nil {
		return unusablef("%w", err)
	}
	module, err := k.Assemble(spec)
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.App.Writer, module.Text())
	return err
}

// A kernelRow is what the listing says of a kernel.
type kernelRow struct {
	Name    string   `json:"name"`
	Sizes   []string `json:"sizes"`
	Inputs  []string `json:"inputs"`
	Outputs []string `json:"outputs"`
	At      []int    `json:"at"`    // sizes of the largest case
	FLOPs   int64    `json:"flops"` // of the largest case
	Bytes   int64    `json:"bytes"` // that the largest case reads and writes, each operand once
}

func kernelRows(p kernels.Precision) []kernelRow {
	var rows []kernelRow
	for _, k := range kernels.All() {
		example := k.Example(p)
		call, cost := example.Calls[0], example.Cost(0)
		row := kernelRow{Name: k.Name, Sizes: k.Dims, At: call.Dims, FLOPs: cost.FLOPs, Bytes: cost.Bytes}
		for _, o := range k.In {
			row.Inputs = append(row.Inputs, describeOperand(o, call.Precision))
		}
		for _, o := range k.Out {
			row.Outputs = append(row.Outputs, describeOperand(o, call.Precision))
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b kernelRow) int { return strings.Compare(a.Name, b.Name) })
	return rows
}

// describeOperand is an operand's name and type; brackets mean that it may be left out.
func describeOperand(o kernels.Operand, p kernels.Precision) string {
	s := o.Name + " " + p.Type(o.Kind).String()
	if o.Optional {
		return "[" + s + "]"
	}
	return s
}

func printKernels(w io.Writer, rows []kernelRow) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "kernel\tsizes\tinputs\toutputs")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Name, strings.Join(r.Sizes, " "), strings.Join(r.Inputs, ", "), strings.Join(r.Outputs, ", "))
	}
	return t.Flush()
}

func printCosts(w io.Writer, rows []kernelRow) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "kernel\tat\tMFLOP\tMB\tFLOP/byte")
	for _, r := range rows {
		var at []string
		for i, n := range r.At {
			at = append(at, fmt.Sprintf("%s %d", r.Sizes[i], n))
		}
		fmt.Fprintf(t, "%s\t%s\t%.1f\t%.2f\t%.1f\n", r.Name, strings.Join(at, ", "),
			float64(r.FLOPs)/1e6, float64(r.Bytes)/1e6, float64(r.FLOPs)/float64(r.Bytes))
	}
	return t.Flush()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
