package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"vith/bench/gpukit/device"
	"vith/cuda"
	"vith/kernels"
)

// A callTime is what the calls of a pass that are alike take on the device, launched one by one.
type callTime struct {
	Model     string  `json:"model"`
	Precision string  `json:"precision"`
	Batch     int     `json:"batch"`
	Call      string  `json:"call"`  // the kernel and its sizes
	Count     int     `json:"count"` // in a pass
	Micros    float64 `json:"us"`    // of one, their mean
	Share     float64 `json:"share"` // of the pass
	TFLOPs    float64 `json:"tflop_per_second"`
	GBs       float64 `json:"gb_per_second"` // of their operands, each once
}

// profile measures every call of the passes of a tower.
func profile(_ context.Context, d device.Device, args []string) error {
	model, precision := args[0], args[1]
	var numbers []int
	for _, text := range args[2:] {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is no number of passes or images", text)
		}
		numbers = append(numbers, n)
	}
	passes, batches := numbers[0], numbers[1:]
	e, backend, programs, err := d.LoadPrograms(model, precision, cuda.Options{}, options(slices.Max(batches)))
	if err != nil {
		return err
	}
	defer e.Close()
	for _, p := range programs {
		batch := p.Program.Bufs[p.Program.Calls[0].In[0].ID].Rows
		if !slices.Contains(batches, batch) {
			continue
		}
		times, err := backend.Profile(p.Runner, passes)
		if err != nil {
			return err
		}
		for _, row := range group(p, times) {
			row.Model, row.Precision, row.Batch = name(e), precision, batch
			if err := show("profile", row); err != nil {
				return err
			}
		}
	}
	return nil
}

// group joins the calls of equal kernels, sizes and choices, those that take longest first.
func group(p device.Resident, times []time.Duration) (rows []callTime) {
	index := map[string]int{}
	var total float64
	for i, c := range p.Program.Calls {
		key := fmt.Sprintf("%s%v", c.Kernel.Name, c.Dims)
		if a := c.Attrs.Activation; a != kernels.NoActivation {
			key += " " + a.String()
		}
		at, ok := index[key]
		if !ok {
			at = len(rows)
			index[key] = at
			rows = append(rows, callTime{Call: key})
		}
		cost, us := p.Program.Cost(i), 1e6*times[i].Seconds()
		row := &rows[at]
		row.Count++
		row.Micros += us
		row.TFLOPs += float64(cost.FLOPs)
		row.GBs += float64(cost.Bytes)
		total += us
	}
	for i := range rows {
		row := &rows[i]
		row.Share, row.TFLOPs, row.GBs = row.Micros/total, row.TFLOPs/row.Micros/1e6, row.GBs/row.Micros/1e3
		row.Micros /= float64(row.Count)
	}
	slices.SortStableFunc(rows, func(a, b callTime) int { return cmp.Compare(b.Share, a.Share) })
	return rows
}
