package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReport(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "2026-11-23")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "speed.jsonl")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"table":"sweep","model":"a|b","batch":64}` + "\n" +
		`{"table":"steps","step":"sweep"}` + "\n" +
		`{"table":"sweep","batch":128,"ms":1.23456}` + "\n")
	if err := report(folder); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(folder, "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `# vith on a GPU: 2026-11-23

## speed

### sweep

| model | batch | ms |
| --- | --- | --- |
| a\|b | 64 |  |
|  | 128 | 1.235 |

### steps

| step |
| --- |
| sweep |
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	write(`{"table":"sweep",` + "\n")
	if err := report(folder); err == nil {
		t.Error("half a line is no error")
	}
}
