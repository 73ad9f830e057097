package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRun builds the kit, without GPU support, and runs all its stages on the emulator, where steps of programs that are
// not there are recorded as absent; then one on a GPU, where steps fail.
func TestRun(t *testing.T) {
	kit, out, cpu := filepath.Join(t.TempDir(), "kit"), t.TempDir(), t.TempDir()
	execute(t, exec.Command("make", "-C", "../..", "gpu-kit", "TAGS=", "KIT="+kit), "MAKEFLAGS=")
	execute(t, exec.Command(filepath.Join(kit, "run")), "VITH_KIT_DEVICE=emu", "OUT="+out)
	execute(t, exec.Command(filepath.Join(kit, "run"), "cpu"), "VITH_KIT_DEVICE=emu", "OUT="+cpu) // a small model

	tools := []string{"nvidia-smi", "clocks", "memcheck", "racecheck", "ncu", "transformers", "eager", "compile", "PyTorch"}
	want := map[string][]string{
		"correct": {"environment", "kernels", "parity", "recovery", "steps"},
		"speed":   {"environment", "graphs", "load", "profile", "steps", "sweep"},
		"peers":   {"environment", "steps"},
		"cpu":     {"steps"},
	}
	for stage, tables := range want {
		folder := out
		if stage == "cpu" {
			folder = cpu
		}
		page, err := os.ReadFile(filepath.Join(folder, "report.md"))
		if err != nil {
			t.Fatal(err)
		}
		rows := results(t, filepath.Join(folder, stage+".jsonl"))
		for _, name := range tables {
			if len(rows[name]) == 0 || !strings.Contains(string(page), "\n### "+name+"\n") {
				t.Errorf("stage %s: table %s has %d rows, and the page is\n%s", stage, name, len(rows[name]), page)
			}
		}
		for _, row := range rows["steps"] {
			step, status := row["step"].(string), row["status"]
			first, _, _ := strings.Cut(step, " ")
			if tool := slices.Contains(tools, first); status != "ok" && !(tool && status == "absent") {
				log, _ := os.ReadFile(filepath.Join(folder, stage+".log"))
				t.Errorf("stage %s, step %s: %v\n%s", stage, step, status, log)
			}
		}
		for _, row := range append(rows["sweep"], rows["graphs"]...) {
			if speed, ok := row["images_per_second"].(float64); !ok || !(speed > 0) {
				t.Errorf("%v", row)
			}
		}
	}
	entries, err := os.ReadDir(out)
	if err != nil || len(entries) > 8 {
		t.Errorf("%d files, %v, want at most 8", len(entries), err)
	}

	c := exec.Command(filepath.Join(kit, "run"), "correct")
	c.Env = append(os.Environ(), "VITH_KIT_DEVICE=cuda:0", "OUT="+out)
	if text, err := c.CombinedOutput(); c.ProcessState.ExitCode() != 1 {
		t.Errorf("without GPU support: %v\n%s", err, text)
	}
	failed := 0
	for _, row := range results(t, filepath.Join(out, "correct.jsonl"))["steps"] {
		if row["status"] == "failed" {
			failed++
		}
	}
	if failed < 5 {
		t.Errorf("without GPU support, %d steps failed", failed)
	}
	log, err := os.ReadFile(filepath.Join(out, "correct.log"))
	if err != nil || !strings.Contains(string(log), "built without GPU support") {
		t.Errorf("the log does not say why: %v\n%s", err, log)
	}
}

// execute runs a command with more in its environment.
func execute(t *testing.T, c *exec.Cmd, env ...string) {
	t.Helper()
	c.Env = append(os.Environ(), env...)
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", c, err, text)
	}
}

// results are the rows of each table.
func results(t *testing.T, file string) map[string][]map[string]any {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tables := map[string][]map[string]any{}
	for d := json.NewDecoder(f); d.More(); {
		var row map[string]any
		if err := d.Decode(&row); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		name := row["table"].(string)
		tables[name] = append(tables[name], row)
	}
	return tables
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"sing"}, {"sweep", "model", "fp16", "1"}, {"report"}} {
		if err := run(t.Context(), args); err != errUsage {
			t.Errorf("kit %v: %v", args, err)
		}
	}
	for _, args := range [][]string{{"sweep", "synth:vit-tiny/1", "fp16", "-1", "1"}, {"sweep", "synth:vit-tiny/1", "fp16", "1", "0"},
		{"sweep", "synth:vit-tiny/1", "fp17", "1", "1"}, {"answer", "synth:vit-tiny/1", "fp16", "many"}} {
		if err := run(t.Context(), args); err == nil {
			t.Errorf("kit %v: no error", args)
		}
	}
}
