package main

import (
	"encoding/json"
	"fmt"
	nethttp "net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"vith/bench/http"
	"vith/bench/model"
	"vith/bench/preprocess"
)

// TestBenchPreprocess measures one small photograph, briefly, in every format.
func TestBenchPreprocess(t *testing.T) {
	for format, want := range map[string]string{"text": "images/s", "json": "{", "markdown": "| path |"} {
		r := finish(t, command(t, nil, "bench", "preprocess", "--time", "5ms", "--format", format, photos+"chelsea_224x224_420.jpg"))
		if r.code != 0 || !strings.Contains(r.stdout, want) || !strings.Contains(r.stdout, "chelsea_224x224_420") {
			t.Errorf("%s: exit %d, %q\n%s", format, r.code, r.stdout, r.stderr)
		}
		var report preprocess.Report
		if format == "json" {
			if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || len(report.Cases) != 1 {
				t.Errorf("%d cases, %v", len(report.Cases), err)
			}
		}
	}
}

// TestBenchModel measures a small tower in two precisions, and on the emulated GPU, which has no peak.
func TestBenchModel(t *testing.T) {
	flags := []string{"bench", "model", "--model", "synth:vit-tiny/1", "--time", "10ms", "--log-level", "warn"}
	for format, want := range map[string]string{"text": "images/s", "json": "{", "markdown": "| device |"} {
		r := vith(t, append(flags, "--device", "cpu", "--batches", "3,1", "--precisions", "fp32,bf16", "--format", format)...)
		if r.code != 0 || !strings.Contains(r.stdout, want) || !strings.Contains(r.stdout, "bf16") {
			t.Errorf("%s: exit %d, %q\n%s", format, r.code, r.stdout, r.stderr)
		}
		var report model.Report
		if format == "json" {
			if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || len(report.Runs) != 4 {
				t.Fatalf("%d runs, %v", len(report.Runs), err)
			}
			for i, run := range report.Runs {
				if batch := []int{1, 3}[i%2]; run.Batch != batch || !(run.Milliseconds > 0) || !(run.Share > 0) || run.GFLOP < 0.001 || run.GFLOP > 1 {
					t.Errorf("run %d is %+v", i, run)
				}
			}
		}
	}
	r := vith(t, append(flags, "--device", "emu", "--batches", "1", "--format", "json")...)
	var report model.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || len(report.Runs) != 1 || report.Runs[0].Precision != "fp16" || report.Runs[0].Share != 0 {
		t.Errorf("exit %d, %+v, %v\n%s", r.code, report, err, r.stderr)
	}
	if r := vith(t, append(flags, "--batches", "1,x")...); r.code != exitUsage || !strings.Contains(r.stderr, `"x"`) {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
}

// TestBenchHTTP measures a server that runs, and each that it starts itself.
func TestBenchHTTP(t *testing.T) {
	s := serve(t, "--api-key", "key")
	saved := filepath.Join(t.TempDir(), "report.json")
	load := []string{"bench", "http", "--sizes", "64x48:3,48x64:1", "--time", "50ms", "--warmup", "0"}
	for format, want := range map[string]string{
		"text": "img/s", "markdown": "| load |", "json": `"points"`, "csv": "Concurrency,Inferences/Second,Client Send,",
	} {
		r := vith(t, append(load, "--url", s.url, "--api-key", "key", "--bad", "0.25", "--concurrency", "1:3:2", "--format", format, "--save", saved)...)
		if r.code != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("%s: exit %d, %q\n%s", format, r.code, r.stdout, r.stderr)
		}
		var report http.Report
		if err := json.Unmarshal(readFile(t, saved), &report); err != nil || len(report.Points) != 2 || report.Model.Name != "vit-tiny" || report.InProcess {
			t.Errorf("%v in %+v", err, report)
		}
	}
	for _, args := range [][]string{
		{"--engine", "free", "--accept", "raw", "--rate", "100"},
		{"--engine", "none", "--accept", "raw", "--rate", "100", "--connections", "1"},
		{"--model", tiny, "--device", "cpu", "--engine", "prepared", "--images", "3", "--concurrency", "2"},
		{"--model", tiny, "--device", "cpu", "--rate", "50%"},
	} {
		r := vith(t, append(load, append(args, "--format", "json")...)...)
		var report http.Report
		if err := json.Unmarshal([]byte(r.stdout), &report); r.code != 0 || err != nil {
			t.Fatalf("%q: exit %d, %v\n%s", args, r.code, err, r.stderr)
		}
		p := report.Points[len(report.Points)-1]
		costly, told := args[1] != "free" && args[1] != "none", args[1] != "none"
		if !report.InProcess || (len(report.Alone) == 2) != costly || p.Requests.Right != p.Requests.Offered || (p.Server != nil) != told {
			t.Errorf("%q: %s", args, r.stdout)
		}
	}
}

// TestBenchShare reads the whole of --bad or nothing.
func TestBenchShare(t *testing.T) {
	for s, want := range map[string]float64{"0": 0, "0.25": 0.25, "1e-2": 0.01, "0.99": 0.99} {
		if got, err := share(s); got != want || err != nil {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0,25", "0.5%", "0.5 ", "1", "-0.1", "NaN", "x"} {
		if got, err := share(s); err == nil {
			t.Errorf("%q is read as %v", s, got)
		}
	}
}

// TestBenchHTTPTells ends with 1 when answers are wrong.
func TestBenchHTTPTells(t *testing.T) {
	var n atomic.Int64
	liar := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		fmt.Fprintf(w, `{"data":[{"index":0,"embedding":[%d,1]}]}`, n.Add(1))
	}))
	defer liar.Close()
	r := vith(t, "bench", "http", "--url", liar.URL, "--sizes", "8x8", "--time", "20ms", "--warmup", "0", "--concurrency", "1")
	if r.code != 1 || !strings.Contains(r.stderr, "answers were wrong") || !strings.Contains(r.stdout, "from its first one") {
		t.Errorf("exit %d, %q, %q", r.code, r.stdout, r.stderr)
	}
}
