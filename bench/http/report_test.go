package http

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"vith/bench/machine"
)

func aReport() *Report {
	return &Report{
		Date: time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC), Machine: machine.Machine{CPU: "cpu", Cores: 2, OS: "os", Arch: "arch", Go: "go1", Load: "1 2 3"},
		InProcess: true, Model: Model{"vit-tiny", "cpu", "fp32", 8}, Send: Raw, Accept: JSON, Batch: 1, BadShare: 0.25,
		Images: []ImageShare{{"640x480 JPEG #1", 75300, 1}},
		Alone:  []Alone{{8, 2654, 0.29}},
		Points: []Point{
			{Level: "16 clients", Concurrency: 16, Seconds: 5, ImagesPerSecond: 100, Requests: Counts{Offered: 500, Right: 490, Refused: 10},
				Latency: Quantiles{Mean: 5000, P50: 4000, P90: 6000, P95: 7000, P99: 9000, Max: 123456}, SendMicros: 10, ReceiveMicros: 20,
				Server: &Server{QueueMicros: 100, PreprocessMicros: 200, InferenceMicros: 300, BatchSize: 4.5, Requests: 500, CPUSeconds: 1}},
			{Level: "200%: 12345/s", Rate: 12345.67, OfCapacity: 2, ImagesPerSecond: 50, Requests: Counts{Offered: 2, Wrong: 1, Lost: 1},
				Reasons: map[string]int{"no answer in time": 1}, Inexact: 1, WorstDistance: 1e-4},
			{Level: "32 clients", Concurrency: 32, ImagesPerSecond: 200, Requests: Counts{Offered: 10, Right: 10}},
		},
	}
}

// TestCSV holds the columns to those of perf_analyzer, whose readers find them by
// name and place, and lines to the order of throughput.
func TestCSV(t *testing.T) {
	var b bytes.Buffer
	if err := aReport().WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	byClients, byRate, _ := strings.Cut(b.String(), "Request Rate,")
	lines, err := csv.NewReader(strings.NewReader(byClients)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split("Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,Server Compute Infer,"+
		"Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency", ",")
	if got := lines[0][:len(want)]; !reflect.DeepEqual(got, want) {
		t.Errorf("columns %q, want %q", got, want)
	}
	if len(lines) != 3 || lines[1][0] != "32" || lines[2][0] != "16" {
		t.Errorf("lines %q", lines)
	}
	if got, want := strings.Join(lines[2][:13], ","), "16,100.0,10.0,4370.0,100.0,200.0,300.0,0.0,20.0,4000.0,6000.0,7000.0,9000.0"; got != want {
		t.Errorf("line %s, want %s", got, want)
	}
	if !strings.HasPrefix(byRate, "Inferences/Second,") || !strings.Contains(byRate, "\n12345.7,50.0,") {
		t.Errorf("the rates: %q", byRate)
	}
}

// TestCSVOrder has throughputs that differ by less than one.
func TestCSVOrder(t *testing.T) {
	r := Report{Points: []Point{{Concurrency: 1, ImagesPerSecond: 1.2}, {Concurrency: 2, ImagesPerSecond: 1.9}, {Concurrency: 3, ImagesPerSecond: 0.5}}}
	var b bytes.Buffer
	if err := r.WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 4 || lines[1][0] != "2" || lines[2][0] != "1" || lines[3][0] != "3" {
		t.Errorf("lines %q", lines)
	}
}

func TestJSONAndTables(t *testing.T) {
	r := aReport()
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(r); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || !reflect.DeepEqual(&back, r) {
		t.Errorf("%v: JSON has changed the report:\n%+v\n%+v", err, back, r)
	}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"text":     func(b *bytes.Buffer) error { return r.WriteText(b) },
		"markdown": func(b *bytes.Buffer) error { return r.WriteMarkdown(b) },
	} {
		b.Reset()
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"16 clients", "123.46", "25.0 % bad", "2654 images/s", "1 x no answer in time", "lost", "429", "0.0001"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s does not say %s:\n%s", name, want, &b)
			}
		}
		if strings.Contains(b.String(), "failed") {
			t.Errorf("%s has a column for what never happened:\n%s", name, &b)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(line); name == "text" && n > 130 {
				t.Errorf("a line of %d columns: %s", n, line)
			}
		}
	}
}
