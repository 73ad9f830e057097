package model

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"vith/bench/machine"
)

// A Report is what was measured.
type Report struct {
	Date    time.Time       `json:"date"`
	Version string          `json:"version"` // of vith
	Machine machine.Machine `json:"machine"`
	Model   string          `json:"model"`
	Output  string          `json:"output"`
	Note    string          `json:"note,omitempty"`
	Runs    []Run           `json:"runs"`
}

// A Run is one batch size in one precision.
type Run struct {
	Device    string  `json:"device"`
	Precision string  `json:"precision"`
	GELU      string  `json:"gelu"` // its form
	Batch     int     `json:"batch"`
	LoadTime  float64 `json:"load_seconds"`
	GFLOP     float64 `json:"gflop_per_image"`
	Timing
	GFLOPS float64 `json:"gflop_per_second"` // with passes in flight
	Peak   float64 `json:"peak_gflop_per_second,omitempty"`
	Share  float64 `json:"share_of_peak,omitempty"`
}

// Rate fills in what follows from a Timing, and from the most that the device can do: FLOP/s, or 0.
func (r *Run) Rate(peak float64) {
	r.GFLOPS = r.GFLOP * r.ImagesPerSecond
	if peak > 0 {
		r.Peak, r.Share = peak/1e9, r.GFLOPS*1e9/peak
	}
}

// WriteMarkdown writes the report as a page.
func (r Report) WriteMarkdown(w io.Writer) error {
	fmt.Fprintf(w, "# %s, %s\n\n%s\n\n", r.Model, r.Output, r.head())
	if r.Note != "" {
		fmt.Fprintf(w, "%s\n\n", r.Note)
	}
	fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s |\n|---|---|---|--:|--:|--:|--:|--:|\n", columns...)
	for _, run := range r.Runs {
		if _, err := fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", run.cells()...); err != nil {
			return err
		}
	}
	return nil
}

// WriteText writes the report for a terminal.
func (r Report) WriteText(w io.Writer) error {
	fmt.Fprintf(w, "%s, %s\n%s\n\n", r.Model, r.Output, r.head())
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", columns...)
	for _, run := range r.Runs {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", run.cells()...)
	}
	return t.Flush()
}

func (r Report) head() string {
	m := r.Machine
	load := ""
	if m.Load != "" {
		load = ", load " + m.Load
	}
	return fmt.Sprintf("%s, %s%s, vith %s", r.Date.Format(time.DateOnly), m, load, r.Version)
}

var columns = []any{"device", "precision", "gelu", "batch", "ms a pass", "images/s", "GFLOP/s", "of peak"}

func (r Run) cells() []any {
	share := "-"
	if r.Share > 0 {
		share = fmt.Sprintf("%.0f %%", 100*r.Share)
	}
	return []any{
		r.Device, r.Precision, r.GELU, fmt.Sprint(r.Batch), fmt.Sprintf("%.4g", r.Milliseconds), fmt.Sprintf("%.4g", r.ImagesPerSecond),
		fmt.Sprintf("%.0f", r.GFLOPS), share,
	}
}
