package preprocess

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"vith/bench/machine"
	"vith/vit/preprocess/simd"
)

// A Report is what Run measured.
type Report struct {
	Date    time.Time       `json:"date"`
	Size    int             `json:"size"` // side of the crop, pixels
	Machine machine.Machine `json:"machine"`
	Clock   string          `json:"clock"`
	Peers   []string        `json:"peers"`
	Note    string          `json:"note,omitempty"` // of who made it
	Cases   []Case          `json:"cases"`
}

// A Case is one image.
type Case struct {
	Image        string   `json:"image"`
	Format       string   `json:"format"`
	Width        int      `json:"width"`
	Height       int      `json:"height"`
	Bytes        int      `json:"bytes"`
	BitsPerPixel float64  `json:"bits_per_pixel"`
	Refused      string   `json:"refused,omitempty"` // why; the size in pixels is then unknown
	Results      []Result `json:"results"`
}

// A Result is one path, on one core.
type Result struct {
	Path               string  `json:"path"`
	Milliseconds       float64 `json:"ms"`
	ImagesPerSecond    float64 `json:"images_per_second"`
	MegabytesPerSecond float64 `json:"mb_per_second"` // encoded
}

func (c *Case) add(path string, t time.Duration) {
	seconds := max(t, time.Nanosecond).Seconds()
	c.Results = append(c.Results, Result{path, 1e3 * seconds, 1 / seconds, float64(c.Bytes) / 1e6 / seconds})
}

// result returns that of a path, nil if it was not measured.
func (c *Case) result(path string) *Result {
	if i := slices.IndexFunc(c.Results, func(r Result) bool { return r.Path == path }); i >= 0 {
		return &c.Results[i]
	}
	return nil
}

// A comparison sets two paths of a case beside each other.
type comparison struct {
	what     string // with a place for the ratio
	of, over string // paths: the ratio is that of their times
}

// comparisons are what the report sums up: of the best tier.
func comparisons() []comparison {
	best := simd.Best().Name
	all := []comparison{
		{"%.2f times the time of libjpeg-turbo's decode alone", crop(best), TurboDecode},
		{"decode at %.2f times the speed of libjpeg-turbo", TurboDecode, decode(best)},
		{"%.1f times as fast as Pillow", PillowCrop, crop(best)},
		{"%.1f times as fast as the standard library", StandardLibrary, crop(best)},
	}
	for _, tier := range simd.Tiers()[1:] {
		all = append(all, comparison{"%.1f times as fast as " + tier.Name, crop(tier.Name), crop(best)})
	}
	return all
}

// ratios are the comparisons that can be made for a case.
func (c *Case) ratios() (lines []string) {
	for _, p := range comparisons() {
		if a, b := c.result(p.of), c.result(p.over); a != nil && b != nil {
			lines = append(lines, fmt.Sprintf(p.what, a.Milliseconds/b.Milliseconds))
		}
	}
	return lines
}

// heading says what an image is.
func (c *Case) heading() string {
	if c.Refused != "" {
		return fmt.Sprintf("%s, %d bytes, refused: %s", c.Image, c.Bytes, c.Refused)
	}
	return fmt.Sprintf("%s, %s, %d x %d, %.0f KB, %.2f bits a pixel", c.Image, c.Format, c.Width, c.Height, float64(c.Bytes)/1e3, c.BitsPerPixel)
}

// facts are the lines above the results.
func (r *Report) facts() []string {
	peers := "none installed"
	if len(r.Peers) > 0 {
		peers = strings.Join(r.Peers, ", ")
	}
	m := r.Machine
	facts := []string{
		fmt.Sprintf("Crops of %d x %d, one core, median %s.", r.Size, r.Size, r.Clock),
		fmt.Sprintf("Machine: %s.", m),
		fmt.Sprintf("Peers: %s.", peers),
	}
	if m.Load != "" {
		facts = append(facts, fmt.Sprintf("Load averages before: %s.", m.Load))
	}
	if r.Note != "" {
		facts = append(facts, r.Note)
	}
	return facts
}

// WriteText writes the report as tables for a terminal.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "preprocessing, %s\n", r.Date.Format(time.DateOnly))
	for _, fact := range r.facts() {
		fmt.Fprintln(&b, fact)
	}
	for i := range r.Cases {
		c := &r.Cases[i]
		fmt.Fprintf(&b, "\n%s\n", c.heading())
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(t, "ms\timages/s\tMB/s\t\n")
		for _, p := range c.Results {
			fmt.Fprintf(t, "%.3f\t%.1f\t%.1f\t  %s\n", p.Milliseconds, p.ImagesPerSecond, p.MegabytesPerSecond, p.Path)
		}
		t.Flush() // to memory
		for _, line := range c.ratios() {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteMarkdown writes the report as a page.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Preprocessing, %s\n\n", r.Date.Format(time.DateOnly))
	for _, fact := range r.facts() {
		fmt.Fprintf(&b, "%s\n", fact)
	}
	for i := range r.Cases {
		c := &r.Cases[i]
		fmt.Fprintf(&b, "\n## %s\n\n", c.heading())
		fmt.Fprintf(&b, "| path | ms | images/s | MB/s |\n|---|--:|--:|--:|\n")
		for _, p := range c.Results {
			fmt.Fprintf(&b, "| %s | %.3f | %.1f | %.1f |\n", p.Path, p.Milliseconds, p.ImagesPerSecond, p.MegabytesPerSecond)
		}
		if lines := c.ratios(); len(lines) > 0 {
			fmt.Fprintf(&b, "\n%s: %s.\n", crop(simd.Best().Name), strings.Join(lines, "; "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
