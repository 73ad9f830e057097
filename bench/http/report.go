package http

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"vith/bench/machine"
)

// A Report is what Run measured.
type Report struct {
	Date      time.Time       `json:"date"`
	Machine   machine.Machine `json:"machine"`
	InProcess bool            `json:"in_process"` // the server ran in the generator's process: its CPU time and memory are those of both
	Model     Model           `json:"model"`
	Send      Form            `json:"send"`
	Accept    Form            `json:"accept"`
	Batch     int             `json:"images_per_request"`
	BadShare  float64         `json:"bad_share"`
	Poisson   bool            `json:"poisson_arrivals"`
	Images    []ImageShare    `json:"images"`
	Note      string          `json:"note,omitempty"` // of who made it
	Alone     []Alone         `json:"engine_alone,omitempty"`
	Points    []Point         `json:"points"`
}

// A Model is what the server says that it serves.
type Model struct {
	Name      string `json:"model"`
	Device    string `json:"device"`
	Precision string `json:"precision"`
	MaxBatch  int    `json:"max_batch"`
}

// An ImageShare is a good image's part of the load.
type ImageShare struct {
	Name  string  `json:"name"`
	Bytes int     `json:"bytes"`
	Share float64 `json:"share"`
}

// A Point is one level of load.
type Point struct {
	Level       string  `json:"level"`
	Concurrency int     `json:"concurrency,omitempty"`
	Rate        float64 `json:"rate,omitempty"`        // requests a second
	OfCapacity  float64 `json:"of_capacity,omitempty"` // what it was given as
	Seconds     float64 `json:"seconds"`
	Elapsed     float64 `json:"elapsed_seconds"` // from the start of these until the last request had its answer

	ImagesPerSecond   float64        `json:"images_per_second"`   // with the right vector
	RequestsPerSecond float64        `json:"requests_per_second"` // right or rejected
	Requests          Counts         `json:"requests"`
	Reasons           map[string]int `json:"reasons,omitempty"`                 // of failed, wrong and lost ones
	Inexact           int            `json:"inexact_vectors"`                   // near to the image's first vector, with other bits
	WorstDistance     float64        `json:"worst_relative_distance,omitempty"` // of these

	Latency       Quantiles `json:"latency_us"` // of right answers, from when the request was due
	Taken         Quantiles `json:"taken_us"`   // the same without the generator's lateness: from when it was begun
	Refusal       Quantiles `json:"refusal_us"` // of 429
	Late          Quantiles `json:"late_us"`    // from when a request was due until it was sent
	SendMicros    float64   `json:"client_send_us"`
	ReceiveMicros float64   `json:"client_receive_us"`
	Server        *Server   `json:"server,omitempty"` // nil: it does not tell
}

// Counts are of requests that were due in the measured time, by what became of
// them.
type Counts struct {
	Offered  int `json:"offered"`
	Right    int `json:"right"`
	Rejected int `json:"rejected"` // for their bad images
	Refused  int `json:"refused"`  // 429
	Failed   int `json:"failed"`   // any other status
	Wrong    int `json:"wrong"`    // not their images' vectors
	Lost     int `json:"lost"`     // no answer
}

// Quantiles are of times in microseconds.
type Quantiles struct {
	Count int     `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99.9"`
	Max   float64 `json:"max"`
}

// A Server is what the server says about the time of a level.
type Server struct {
	QueueMicros      float64 `json:"queue_us"`      // of an image, mean
	PreprocessMicros float64 `json:"preprocess_us"` // of an image, mean
	InferenceMicros  float64 `json:"inference_us"`  // of a batch, mean
	BatchSize        float64 `json:"batch_size"`    // mean
	Images           int     `json:"images"`        // computed
	Requests         int     `json:"requests"`      // answered, of all kinds
	CPUSeconds       float64 `json:"cpu_seconds"`   // of its process
	MemoryStart      int64   `json:"memory_start"`  // of its process, resident bytes
	MemoryPeak       int64   `json:"memory_peak"`   // looked at once a second
	MemoryEnd        int64   `json:"memory_end"`
}

// CPUMicros is the server's CPU time for a request, in microseconds.
func (s *Server) CPUMicros() float64 { return 1e6 * s.CPUSeconds / float64(max(1, s.Requests)) }

// facts are the lines above the table.
func (r *Report) facts() []string {
	var names []string
	for _, i := range r.Images {
		names = append(names, fmt.Sprintf("%s (%.3g KB, %.0f %%)", i.Name, float64(i.Bytes)/1e3, 100*i.Share))
	}
	if len(names) > 6 {
		names = append(names[:5], fmt.Sprintf("%d more", len(names)-5))
	}
	m := r.Machine
	facts := []string{
		fmt.Sprintf("Model %s, %s on %s, batches of at most %d.", r.Model.Name, r.Model.Precision, r.Model.Device, r.Model.MaxBatch),
		fmt.Sprintf("Images a request: %d, sent as %s, answered as %s; %.1f %% bad.", r.Batch, r.Send, r.Accept, 100*r.BadShare),
		fmt.Sprintf("Images: %s.", strings.Join(names, ", ")),
		fmt.Sprintf("Machine: %s.", m),
	}
	if r.InProcess {
		facts = append(facts, "Server and generator share a process: CPU time and memory are those of both.")
	}
	if m.Load != "" {
		facts = append(facts, fmt.Sprintf("Load averages before: %s.", m.Load))
	}
	if r.Note != "" {
		facts = append(facts, r.Note)
	}
	for _, a := range r.Alone {
		facts = append(facts, fmt.Sprintf("The engine alone: %.4g images/s in batches of %d, %.4g CPU ms an image.", a.ImagesPerSecond, a.Batch, a.CPUMillis))
	}
	return facts
}

// A column is one of the tables for people.
type column struct {
	head  string
	value func(*Point) string
}

func ms(us float64) string { return strconv.FormatFloat(us/1e3, 'f', 2, 64) }

// columns are those that fit a terminal.
func (r *Report) columns() []column {
	ofServer := func(f func(*Server) string) func(*Point) string {
		return func(p *Point) string {
			if p.Server == nil {
				return "-"
			}
			return f(p.Server)
		}
	}
	list := []column{
		{"load", func(p *Point) string { return p.Level }},
		{"img/s", func(p *Point) string { return strconv.FormatFloat(p.ImagesPerSecond, 'f', 1, 64) }},
		{"p50", func(p *Point) string { return ms(p.Latency.P50) }},
		{"p90", func(p *Point) string { return ms(p.Latency.P90) }},
		{"p99", func(p *Point) string { return ms(p.Latency.P99) }},
		{"max", func(p *Point) string { return ms(p.Latency.Max) }},
		{"late p99", func(p *Point) string { return ms(p.Late.P99) }},
		{"batch", ofServer(func(s *Server) string { return strconv.FormatFloat(s.BatchSize, 'f', 1, 64) })},
		{"cpu/req", ofServer(func(s *Server) string { return ms(s.CPUMicros()) })},
		{"right", func(p *Point) string { return strconv.Itoa(p.Requests.Right) }},
	}
	for _, c := range []struct {
		head string
		of   func(*Counts) int
	}{
		{"bad", func(n *Counts) int { return n.Rejected }},
		{"429", func(n *Counts) int { return n.Refused }},
		{"failed", func(n *Counts) int { return n.Failed }},
		{"wrong", func(n *Counts) int { return n.Wrong }},
		{"lost", func(n *Counts) int { return n.Lost }},
	} {
		// What never happened takes no room, but for the two that must not.
		if c.head == "wrong" || c.head == "lost" || slices.ContainsFunc(r.Points, func(p Point) bool { return c.of(&p.Requests) > 0 }) {
			list = append(list, column{c.head, func(p *Point) string { return strconv.Itoa(c.of(&p.Requests)) }})
		}
	}
	return list
}

// remarks are the lines below the table.
func (r *Report) remarks() (lines []string) {
	for i := range r.Points {
		p := &r.Points[i]
		for _, why := range slices.Sorted(maps.Keys(p.Reasons)) {
			lines = append(lines, fmt.Sprintf("%s: %d x %s", p.Level, p.Reasons[why], why))
		}
		if p.Rate > 0 && p.Taken.Count > 0 {
			lines = append(lines, fmt.Sprintf("%s: from when it was sent, p50 %s, p90 %s, p99 %s ms", p.Level, ms(p.Taken.P50), ms(p.Taken.P90), ms(p.Taken.P99)))
		}
		if p.Inexact > 0 {
			lines = append(lines, fmt.Sprintf("%s: %d vectors with other bits than the image's first, at most %.2g from it", p.Level, p.Inexact, p.WorstDistance))
		}
		if s := p.Server; s != nil {
			lines = append(lines,
				fmt.Sprintf("%s: queue %s, preparation %s, forward pass %s ms; CPU %.3f ms for each of %d images",
					p.Level, ms(s.QueueMicros), ms(s.PreprocessMicros), ms(s.InferenceMicros), 1e3*s.CPUSeconds/float64(max(1, s.Images)), s.Images),
				fmt.Sprintf("%s: memory %d, at most %d, then %d MiB", p.Level, s.MemoryStart>>20, s.MemoryPeak>>20, s.MemoryEnd>>20))
		}
	}
	return lines
}

const legend = `Times in ms; latency is that of right answers from when the request was due, late what the generator itself took of it.`

// WriteText writes the report as a table for a terminal.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "serving, %s\n", r.Date.Format(time.DateOnly))
	for _, fact := range r.facts() {
		fmt.Fprintln(&b, fact)
	}
	fmt.Fprintf(&b, "%s\n\n", legend)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	columns := r.columns()
	for _, c := range columns {
		fmt.Fprintf(t, "%s\t", c.head)
	}
	fmt.Fprintln(t)
	for i := range r.Points {
		for _, c := range columns {
			fmt.Fprintf(t, "%s\t", c.value(&r.Points[i]))
		}
		fmt.Fprintln(t)
	}
	t.Flush() // to memory
	for i, line := range r.remarks() {
		if i == 0 {
			fmt.Fprintln(&b)
		}
		fmt.Fprintln(&b, line)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteMarkdown writes the report as a page.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Serving, %s\n\n", r.Date.Format(time.DateOnly))
	for _, fact := range r.facts() {
		fmt.Fprintln(&b, fact)
	}
	fmt.Fprintf(&b, "%s\n\n", legend)
	columns := r.columns()
	for _, c := range columns {
		fmt.Fprintf(&b, "| %s ", c.head)
	}
	fmt.Fprintf(&b, "|\n|%s\n", strings.Repeat("--:|", len(columns)))
	for i := range r.Points {
		for _, c := range columns {
			fmt.Fprintf(&b, "| %s ", c.value(&r.Points[i]))
		}
		fmt.Fprintln(&b, "|")
	}
	fmt.Fprintln(&b)
	for _, line := range r.remarks() {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteCSV writes a line a level, as the package's documentation says: those of
// concurrencies first, then, with a header of their own, those of rates. Lines
// are sorted by throughput.
func (r *Report) WriteCSV(w io.Writer) error {
	points := slices.SortedStableFunc(slices.Values(r.Points), func(a, b Point) int {
		return cmp.Compare(b.ImagesPerSecond, a.ImagesPerSecond)
	})
	out := csv.NewWriter(w)
	for _, kind := range []struct {
		head string
		has  func(*Point) (load string, ok bool)
	}{
		{"Concurrency", func(p *Point) (string, bool) { return strconv.Itoa(p.Concurrency), p.Concurrency > 0 }},
		{"Request Rate", func(p *Point) (string, bool) { return micro(p.Rate), p.Concurrency == 0 }},
	} {
		var lines [][]string
		for i := range points {
			if load, ok := kind.has(&points[i]); ok {
				lines = append(lines, append([]string{load}, points[i].fields()...))
			}
		}
		if len(lines) == 0 {
			continue
		}
		out.Write(append([]string{kind.head}, csvColumns...))
		out.WriteAll(lines)
	}
	out.Flush()
	return out.Error()
}

// csvColumns follow the level of load.
var csvColumns = []string{
	"Inferences/Second", "Client Send", "Network+Server Send/Recv", "Server Queue", "Server Compute Input", "Server Compute Infer",
	"Server Compute Output", "Client Recv", "p50 latency", "p90 latency", "p95 latency", "p99 latency",
	"Avg latency", "Max latency", "Late p99", "Batch Size", "CPU us/request", "Offered", "Right", "Rejected", "Refused", "Failed", "Wrong", "Lost",
}

func (p *Point) fields() []string {
	s := Server{}
	if p.Server != nil {
		s = *p.Server
	}
	network := max(0, p.Latency.Mean-p.SendMicros-s.QueueMicros-s.PreprocessMicros-s.InferenceMicros-p.ReceiveMicros)
	values := []float64{
		p.ImagesPerSecond, p.SendMicros, network, s.QueueMicros, s.PreprocessMicros, s.InferenceMicros, 0, p.ReceiveMicros,
		p.Latency.P50, p.Latency.P90, p.Latency.P95, p.Latency.P99,
		p.Latency.Mean, p.Latency.Max, p.Late.P99, s.BatchSize, s.CPUMicros(),
	}
	var fields []string
	for _, v := range values {
		fields = append(fields, micro(v))
	}
	n := p.Requests
	for _, c := range []int{n.Offered, n.Right, n.Rejected, n.Refused, n.Failed, n.Wrong, n.Lost} {
		fields = append(fields, strconv.Itoa(c))
	}
	return fields
}

func micro(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
