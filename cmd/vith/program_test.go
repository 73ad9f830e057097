package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// asProgram in the environment makes the test binary be vith, so that tests see what users see: exit codes, standard
// output, signals.
const asProgram = "TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		emulateGPUs()
		main()
	}
	os.Exit(m.Run())
}

// photos and bad are folders of images, tiny a model that loads in no time.
const (
	photos = "../../vit/testdata/images/photos/"
	bad    = "../../vit/testdata/images/bad/"
	tiny   = "synth:vit-tiny/1"
)

// command returns vith with the arguments and nothing of ours in its environment but env.
func command(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	inherited := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "VITH_") })
	cmd.Env = append(inherited, asProgram+"=1", "HF_HUB_CACHE="+filepath.Join(t.TempDir(), "none"), "XDG_CACHE_HOME="+t.TempDir())
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// A result is what became of a run.
type result struct {
	code           int
	stdout, stderr string
}

func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func vith(t *testing.T, args ...string) result {
	t.Helper()
	return finish(t, command(t, nil, args...))
}

// output runs vith, which must succeed and have nothing to complain about, and returns what it wrote.
func output(t *testing.T, args ...string) string {
	t.Helper()
	r := vith(t, args...)
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("vith %q: exit %d, standard error %q", args, r.code, r.stderr)
	}
	return r.stdout
}
