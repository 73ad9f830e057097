package main

import (
	"encoding/json"
	"strings"
	"testing"

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
