// Command kit measures vith on the device that VITH_KIT_DEVICE names: a part of the GPU kit, which `make gpu-kit` builds
// and the script run drives.
//
//	kit environment                             what there is
//	kit sweep MODEL PRECISION SECONDS BATCH...  each batch size, for about that long
//	kit graphs MODEL PRECISION SECONDS          batch 1 with graphs and without
//	kit profile MODEL PRECISION PASSES BATCH... each kind of call of a pass
//	kit answer MODEL PRECISION BATCH            measures what lines of "BATCH SECONDS" ask for, up to that batch
//	kit report FOLDER                           makes FOLDER/report.md of FOLDER/*.jsonl
//
// Measurements are lines of JSON, on standard output and in the file that VITH_KIT_RESULTS names.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"time"

	"vith/bench/gpukit/device"
	"vith/bench/model"
	"vith/cuda"
	"vith/vit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "kit:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: kit environment | sweep MODEL PRECISION SECONDS BATCH... | graphs MODEL PRECISION SECONDS | " +
	"profile MODEL PRECISION PASSES BATCH... | answer MODEL PRECISION BATCH | report FOLDER")

func run(ctx context.Context, args []string) error {
	if len(args) == 2 && args[0] == "report" {
		return report(args[1])
	}
	known := map[string]struct {
		least int
		run   func(context.Context, device.Device, []string) error
	}{"environment": {0, environment}, "sweep": {4, sweep}, "graphs": {3, graphs}, "profile": {4, profile}, "answer": {3, answer}}
	if len(args) == 0 || known[args[0]].run == nil || len(args)-1 < known[args[0]].least {
		return errUsage
	}
	d, err := device.Find()
	if err != nil {
		return err
	}
	return known[args[0]].run(ctx, d, args[1:])
}

// show prints a row and adds it to the results.
func show(table string, row any) error {
	text, err := json.Marshal(row)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", text)
	return device.Record(table, row)
}

func environment(_ context.Context, d device.Device, _ []string) error {
	e, err := d.Environment()
	if err != nil {
		return err
	}
	return show("environment", e)
}

// A speed is what a tower does at one batch size.
type speed struct {
	Model     string `json:"model"`
	Precision string `json:"precision"`
	Batch     int    `json:"batch"`
	model.Timing
}

// options serve the embedding that CLIP compares with text.
func options(batch int) vit.Options {
	return vit.Options{MaxBatch: batch, Outputs: []vit.Output{vit.Projected}}
}

// duration parses seconds.
func duration(text string) (time.Duration, error) {
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds >= 0 && seconds < 1e6) {
		return 0, fmt.Errorf("%q is no number of seconds", text)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// sweep measures the largest batch last: if it does not fit, the others are there.
func sweep(ctx context.Context, d device.Device, args []string) error {
	checkpoint, precision := args[0], args[1]
	limit, err := duration(args[2])
	if err != nil {
		return err
	}
	var batches []int
	for _, text := range args[3:] {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is no batch size", text)
		}
		batches = append(batches, n)
	}
	began := time.Now()
	e, err := d.Load(checkpoint, precision, cuda.Options{}, options(slices.Max(batches)))
	if err != nil {
		return err
	}
	defer e.Close()
	m := e.Backend().Memory()
	if err := show("load", loaded{name(e), precision, e.MaxBatch(), time.Since(began).Seconds(), m.Weights, m.Arena}); err != nil {
		return err
	}
	for _, batch := range slices.Sorted(slices.Values(batches)) {
		t, err := measure(ctx, e, batch, limit)
		if err != nil {
			return err
		}
		if err := show("sweep", speed{name(e), precision, batch, t}); err != nil {
			return err
		}
	}
	return nil
}

// A loaded is how a tower was made resident.
type loaded struct {
	Model     string  `json:"model"`
	Precision string  `json:"precision"`
	MaxBatch  int     `json:"max_batch"`
	Seconds   float64 `json:"seconds"` // reading, converting, compiling, tuning
	Weights   int64   `json:"weights"` // bytes
	Arena     int64   `json:"arena"`   // bytes
}

// graphs measures batch 1 in both ways.
func graphs(ctx context.Context, d device.Device, args []string) error {
	checkpoint, precision := args[0], args[1]
	limit, err := duration(args[2])
	if err != nil {
		return err
	}
	for _, without := range []bool{false, true} {
		e, err := d.Load(checkpoint, precision, cuda.Options{NoGraphs: without}, options(1))
		if err != nil {
			return err
		}
		t, err := measure(ctx, e, 1, limit)
		if err == nil {
			err = show("graphs", struct {
				Model     string `json:"model"`
				Precision string `json:"precision"`
				Graphs    bool   `json:"graphs"`
				model.Timing
			}{name(e), precision, !without, t})
		}
		if err := errors.Join(err, e.Close()); err != nil {
			return err
		}
	}
	return nil
}

// answer measures on demand, so that another program's measurements can take turns with vith's.
func answer(ctx context.Context, d device.Device, args []string) error {
	checkpoint, precision := args[0], args[1]
	most, err := strconv.Atoi(args[2])
	if err != nil || most < 1 {
		return fmt.Errorf("%q is no batch size", args[2])
	}
	e, err := d.Load(checkpoint, precision, cuda.Options{}, options(most))
	if err != nil {
		return err
	}
	defer e.Close()
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var batch int
		var seconds float64
		if n, _ := fmt.Sscan(lines.Text(), &batch, &seconds); n != 2 || batch < 1 || batch > most {
			return fmt.Errorf("asked for %q, not for a batch of 1 to %d and seconds", lines.Text(), most)
		}
		t, err := measure(ctx, e, batch, time.Duration(seconds*float64(time.Second)))
		if err != nil {
			return err
		}
		text, err := json.Marshal(speed{name(e), precision, batch, t})
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", text)
	}
	return nil
}
