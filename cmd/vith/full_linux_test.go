package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// A full disk is told.
func TestWriteFails(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, format := range formatNames {
		cmd := command(t, nil, "embed", "--device", "cpu", "--model", tiny, "--format", format, photos+"coffee_120x80.bmp")
		var stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = full, &stderr
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%s: exit %d, %q", format, code, &stderr)
		}
	}
}
