package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"vith/bench/machine"
	"vith/bench/model"
	"vith/kernels"
	"vith/vit"
)

func benchModelCommand() *cli.Command {
	var (
		m          modelFlags
		format     string
		batches    []int
		precisions []string
		budget     time.Duration
	)
	flags := m.flags()
	flags = slices.DeleteFunc(flags, func(f cli.Flag) bool { return slices.Contains([]string{"precision", "normalize"}, f.Names()[0]) })
	return &cli.Command{
		Name:  "model",
		Usage: "forward passes by batch and precision",
		Description: `Times forward passes of random pixels, copies to and from the device included: one alone, and as
many in flight as the device overlaps. Peak is what the device can do at most, measured in the
same run: multiply-adds between registers on a CPU, a product of 8192 x 8192 x 8192 on a GPU.

Examples:
  vith bench model --model synth:vit-h-14/1
  vith bench model --model synth:vit-h-14/1 --batches 1,8,64 --precisions fp16,bf16
  vith bench model --model synth:vit-b-32/1 --format markdown > model.md`,
		Flags: append([]cli.Flag{
			newFlag(&batches, "batches", "1,8", "`LIST` images in a pass", parseBatches),
			newFlag(&precisions, "precisions", "auto", "`LIST` as --precision spells them; auto: the device's usual one", list),
			newFlag(&budget, "time", "3s", "`TIME` for each batch in each precision", duration),
			newFlag(&format, "format", "text", "`FORMAT` text, json or markdown", oneOf("text", "json", "markdown")),
		}, flags...),
		Action: func(c *cli.Context) error {
			if _, err := arguments(c, 0, 0); err != nil {
				return err
			}
			if err := m.check(c); err != nil {
				return err
			}
			report := model.Report{
				Date: time.Now().UTC(), Version: buildVersion().Version, Machine: machine.This(), Output: m.output,
			}
			for _, p := range precisions {
				m.precision = p
				if err := m.benchModel(c, &report, slices.Clone(batches), budget); err != nil {
					return err
				}
			}
			return write(c.App.Writer, &report, format)
		},
	}
}

// A measured report can be written in the formats of benchmarks.
type measured interface {
	WriteText(io.Writer) error
	WriteMarkdown(io.Writer) error
}

func write(w io.Writer, r measured, format string) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case "markdown":
		return r.WriteMarkdown(w)
	}
	return r.WriteText(w)
}

// benchModel adds the runs of one precision.
func (m *modelFlags) benchModel(c *cli.Context, report *model.Report, batches []int, budget time.Duration) error {
	log := m.logger()
	m.batch = slices.Max(batches)
	began := time.Now()
	output := vit.Output(m.output)
	loaded, err := m.load(c, log, []vit.Output{output}, false)
	if err != nil {
		return err
	}
	defer loaded.Close()
	seconds := time.Since(began).Seconds()
	if report.Model = loaded.Name; loaded.MaxBatch() < m.batch {
		batches = slices.DeleteFunc(batches, func(n int) bool { return n > loaded.MaxBatch() })
	}
	values := 1
	for _, n := range loaded.Outputs[m.output] {
		values *= n
	}
	if _, err := loaded.Roof(); err != nil { // and again afterwards: the best counts
		return err
	}
	for _, batch := range batches {
		log.Info("measuring", "device", loaded.Device, "precision", loaded.Precision, "batch", batch)
		t, err := model.Measure(c.Context, loaded, output, values, batch, budget)
		if err != nil {
			return err
		}
		program, err := loaded.Program(output, batch)
		if err != nil {
			return err
		}
		report.Runs = append(report.Runs, model.Run{
			Device: loaded.Device, Precision: loaded.Precision, GELU: loaded.GELU, Batch: batch, LoadTime: seconds,
			GFLOP: float64(flops(program)) / 1e9 / float64(batch), Timing: t,
		})
	}
	roof, err := loaded.Roof()
	if err != nil {
		return err
	}
	peak := 0.0
	if roof != nil {
		peak = roof.FLOPS
	}
	for i := range batches {
		report.Runs[len(report.Runs)-len(batches)+i].Rate(peak)
	}
	return nil
}

// flops are a program's floating-point operations.
func flops(p *kernels.Program) (n int64) {
	for i := range p.Calls {
		n += p.Cost(i).FLOPs
	}
	return n
}

// parseBatches reads batch sizes, "1,8,64".
func parseBatches(s string) ([]int, error) {
	var batches []int
	for _, text := range strings.Split(s, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxBatch {
			return nil, fmt.Errorf("%q is no number of images from 1 to %d", text, maxBatch)
		}
		batches = append(batches, n)
	}
	slices.Sort(batches)
	return slices.Compact(batches), nil
}

// list reads words, "fp32,bf16".
func list(s string) ([]string, error) { return strings.Split(s, ","), nil }
