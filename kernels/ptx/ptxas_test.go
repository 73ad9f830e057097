//go:build ptxas

package ptx

import (
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"testing"
)

// The tests of this file hold the opcode table to NVIDIA's assembler, which is $PTXAS or the ptxas in $PATH.

// oracleTargets are the targets that ptxas is asked about; it is no older than them.
var oracleTargets = []Target{SM75, SM80, SM86, SM89, SM90}

// ptxas returns what ptxas has against the text, or nothing.
func ptxas(t *testing.T, text string, target Target) string {
	t.Helper()
	out, err := runPTXAS(text, target)
	if err == nil {
		return ""
	}
	if _, refused := err.(*exec.ExitError); !refused {
		t.Fatal(err)
	}
	return out
}

func runPTXAS(text string, target Target) (string, error) {
	c := exec.Command(cmp.Or(os.Getenv("PTXAS"), "ptxas"), "--gpu-name", target.String(), "--output-file", os.DevNull, "-")
	c.Stdin = bytes.NewReader([]byte(text))
	out, err := c.CombinedOutput()
	return string(out), err
}

// Every target of a form's row and newer assembles it at the row's version.
func TestPTXASAccepts(t *testing.T) {
	for _, target := range oracleTargets {
		forms := map[Version][]*Op{}
		for _, o := range Ops() {
			if o.Target <= target {
				v := max(o.Version, targets[target].version)
				forms[v] = append(forms[v], o)
			}
		}
		for v, ops := range forms {
			if msg := ptxas(t, formModule(v, target, ops...).Text(), target); msg != "" {
				t.Errorf("%v, version %v:\n%s", target, v, msg)
			}
		}
	}
}

// A target before that of a form's row refuses it, and so does the version before, but for newer targets: they may have
// had it earlier.
func TestPTXASRefuses(t *testing.T) {
	for _, o := range Ops() {
		for _, target := range oracleTargets {
			v := max(o.Version, targets[target].version)
			if target < o.Target && ptxas(t, formModule(v, target, o).Text(), target) == "" {
				t.Errorf("%s: the table says %v, but %v has it", o.Name, o.Target, target)
			}
			v = o.Version - 1
			if target == o.Target && v >= max(minVersion, targets[target].version) && ptxas(t, formModule(v, target, o).Text(), target) == "" {
				t.Errorf("%s: the table says %v, but version %v has it", o.Name, o.Version, v)
			}
		}
	}
}

func TestPTXASKernel(t *testing.T) {
	for _, target := range oracleTargets {
		if target < SM80 {
			continue
		}
		m, err := Assemble(target, Entry{"test", testKernel})
		if err != nil {
			t.Fatal(err)
		}
		if msg := ptxas(t, m.Text(), target); msg != "" {
			t.Errorf("%v:\n%s", target, msg)
		}
	}
}
