package main

import (
	"encoding/json"
	"strings"
	"testing"

	"vith/kernels"
	"vith/kernels/ptx"
)

func TestKernelsLists(t *testing.T) {
	for _, args := range [][]string{{"kernels"}, {"kernels", "--cost"}, {"kernels", "--json"}} {
		r := finish(t, command(t, nil, args...))
		if r.code != 0 {
			t.Fatalf("vith %v: exit %d\n%s", args, r.code, r.stderr)
		}
		for _, k := range kernels.All() {
			if !strings.Contains(r.stdout, k.Name) {
				t.Errorf("vith %v does not list %s", args, k.Name)
			}
		}
	}
	var rows []kernelRow
	if err := json.Unmarshal([]byte(finish(t, command(t, nil, "kernels", "--json")).stdout), &rows); err != nil || len(rows) != len(kernels.All()) {
		t.Errorf("%d kernels, %v", len(rows), err)
	}
}

// TestKernelsPrintsPTX parses what is printed for every kernel, precision and the targets it may have.
func TestKernelsPrintsPTX(t *testing.T) {
	for _, k := range kernels.All() {
		for _, flags := range [][]string{{}, {"--target", "sm_75"}, {"--precision", "bf16", "--target", "sm_90"}, {"--precision", "fp32"}} {
			r := finish(t, command(t, nil, append(append([]string{"kernels"}, flags...), "--ptx", k.Name)...))
			if r.code != 0 {
				t.Errorf("%s %v: exit %d\n%s", k.Name, flags, r.code, r.stderr)
				continue
			}
			m, err := ptx.Parse(r.stdout)
			if err != nil {
				t.Errorf("%s %v: %v", k.Name, flags, err)
			} else if len(m.Kernels) != 1 || !strings.HasPrefix(m.Kernels[0].Name, k.Name) {
				t.Errorf("%s %v: %d kernels", k.Name, flags, len(m.Kernels))
			}
		}
	}
}

func TestKernelsRefuses(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--ptx", "conv"}, exitUsage, `no kernel "conv"`},
		{[]string{"--target", "sm_60"}, exitUsage, "sm_75"},
		{[]string{"--precision", "fp8"}, exitUsage, "bf16"},
		{[]string{"--ptx", "gemm", "--target", "sm_75", "--precision", "bf16"}, exitUnusable, "bf16 needs sm_80"},
	} {
		r := finish(t, command(t, nil, append([]string{"kernels"}, test.args...)...))
		if r.code != test.code || !strings.Contains(r.stderr, test.want) {
			t.Errorf("vith kernels %v: exit %d, %q, want %d and %q", test.args, r.code, r.stderr, test.code, test.want)
		}
	}
}
