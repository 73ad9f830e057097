package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns the two ends of a pseudo-terminal.
func openTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// terminal runs vith with standard error, and standard output if all is true, on a terminal, and returns what
// appears there.
func terminal(t *testing.T, all bool, args ...string) string {
	t.Helper()
	ours, theirs := openTerminal(t)
	cmd := command(t, nil, args...)
	cmd.Stderr = theirs
	if all {
		cmd.Stdout = theirs
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	var seen bytes.Buffer
	io.Copy(&seen, ours) // until the program has closed its end
	if err := cmd.Wait(); err != nil {
		t.Errorf("vith %q: %v\n%s", args, err, seen.String())
	}
	return seen.String()
}

// Bars show on a terminal, while long work is under way, and nowhere else.
func TestProgress(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tiny.safetensors")
	synth := []string{"weights", "synth", "vit-tiny", "1", path}
	embed := []string{"embed", "--device", "cpu", "--model", path, "--batch", "1", photos + "coffee_120x80.bmp", photos + "chelsea_224x224_420.jpg"}
	for _, test := range []struct {
		args []string
		want string
	}{
		{synth, "writing tiny.safetensors"},
		{embed, "loading tiny.safetensors"},
		{embed, "embedding"},
	} {
		if seen := terminal(t, false, test.args...); !strings.Contains(seen, test.want) || !strings.Contains(seen, "%") {
			t.Errorf("vith %q: %q on a terminal, want a bar %q", test.args, seen, test.want)
		}
	}
	t.Setenv("HF_ENDPOINT", startHub(t))
	t.Setenv("HF_TOKEN", hubToken)
	if seen := terminal(t, false, "weights", "pull"); !strings.Contains(seen, "pulling CLIP-ViT-H-14") || !strings.Contains(seen, "%") || !strings.Contains(seen, "503") {
		t.Errorf("vith weights pull: %q on a terminal, want a bar and the reason of the wait", seen)
	}
	output(t, synth...) // fails on anything on standard error
	output(t, embed...)
}

// The default format is for people on a terminal, for programs elsewhere.
func TestDefaultFormat(t *testing.T) {
	args := []string{"embed", "--device", "cpu", "--model", tiny, photos + "coffee_120x80.bmp"}
	if seen := terminal(t, true, args...); !strings.Contains(seen, "output  pooled, 160 values") {
		t.Errorf("on a terminal: %q", seen)
	}
	parse(t, output(t, args...))
}
