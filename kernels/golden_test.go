package kernels

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"vith/kernels/ptx"
)

var update = flag.Bool("update", false, "write testdata/ptx again")

// TestGoldenPTX holds the text of every kernel's largest case, in all precisions, to testdata/ptx, where changes can be
// read.
func TestGoldenPTX(t *testing.T) {
	const dir = "testdata/ptx"
	if *update {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	made := map[string]bool{}
	for _, k := range All() {
		specs, err := k.caseSpecs(ptx.SM80, k.largestCase())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range specs {
			m, err := k.Assemble(s)
			if err != nil {
				t.Errorf("%s: %v", k.Entry(s), err)
				continue
			}
			path := filepath.Join(dir, k.Entry(s)+".ptx")
			made[path] = true
			if *update {
				if err := os.WriteFile(path, []byte(m.Text()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(path); err != nil {
				t.Errorf("%v; run with -update", err)
			} else if m.Text() != string(want) {
				t.Errorf("%s differs; if the change is meant, run with -update and look at the difference", path)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !made[f] {
			t.Errorf("%s is no kernel's text; run with -update", f)
		}
	}
}

// TestSpecs expects the texts of a kernel's cases, each once, in the precisions of the target.
func TestSpecs(t *testing.T) {
	entries := func(k *Kernel, target ptx.Target) (names []string) {
		specs, err := k.Specs(target)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range specs {
			if s.Target != target {
				t.Errorf("%s: for %v, want %v", k.Entry(s), s.Target, target)
			}
			names = append(names, k.Entry(s))
		}
		return names
	}
	f := func(k *Kernel, target ptx.Target, want ...string) {
		t.Helper()
		got := entries(k, target)
		seen := map[string]bool{}
		for _, name := range got {
			if seen[name] {
				t.Errorf("%s stands twice in %v", name, got)
			}
			seen[name] = true
		}
		for _, name := range want {
			if !seen[name] {
				t.Errorf("%s on %v has no %s, only %v", k.Name, target, name, got)
			}
		}
		if n := len(want) * (len(k.Cases) - 1); len(got) != n { // one is refused
			t.Errorf("%s on %v has %d texts, want %d: %v", k.Name, target, len(got), n, got)
		}
	}
	f(add, ptx.SM75, "add_f32_cols17_v1", "add_f16_cols1280_v8")
	f(gelu, ptx.SM80, "gelu_f32_cols5120_v8", "gelu_f16_cols5120_v8", "gelu_bf16_cols5120_v8")
	f(layernorm, ptx.SM75, "layernorm_f32_cols1280_v8", "layernorm_f16_f32_cols1280_v8", "layernorm_f16_cols1280_v8")
	f(layernorm, ptx.SM80, "layernorm_f32_cols1280_v8", "layernorm_f16_f32_cols1280_v8", "layernorm_f16_cols1280_v8", "layernorm_bf16_f32_cols1280_v8")
}
