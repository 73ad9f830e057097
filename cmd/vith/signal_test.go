package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// start starts vith and returns once it has written its first line.
func start(t *testing.T, stdin io.Reader, args ...string) (cmd *exec.Cmd, stdout io.ReadCloser, stderr *bytes.Buffer) {
	t.Helper()
	cmd = command(t, nil, args...)
	cmd.Stdin = stdin
	stderr = &bytes.Buffer{}
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	if line, err := bufio.NewReaderSize(stdout, 16).ReadString('\n'); err != nil {
		t.Fatalf("%q, %v\n%s", line, err, stderr)
	}
	return cmd, stdout, stderr
}

// Ctrl-C ends the program even while it waits for an image.
func TestInterrupt(t *testing.T) {
	never, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer never.Close()
	defer writer.Close()
	cmd, _, stderr := start(t, never, "embed", "--device", "cpu", "--model", tiny, "--batch", "1", "--format", "jsonl", photos+"coffee_120x80.bmp", "-")
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(stderr.String(), "interrupt") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

// A reader that has seen enough, such as head, ends the program without a word.
func TestBrokenPipe(t *testing.T) {
	cmd, stdout, stderr := start(t, nil, "embed", "--device", "cpu", "--model", tiny, "--batch", "1", "--format", "jsonl", "--output", "penultimate",
		photos+"coffee_120x80.bmp", photos+"coffee_120x80.bmp", photos+"coffee_120x80.bmp", photos+"coffee_120x80.bmp", photos+"coffee_120x80.bmp")
	stdout.Close()
	cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGPIPE || stderr.Len() > 0 {
		t.Errorf("%v, %q; want SIGPIPE and silence", cmd.ProcessState, stderr)
	}
}
