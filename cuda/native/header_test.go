//go:build cudaheader

package native

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestHeader holds include/cuda.h to NVIDIA's: each folder in $CUDA_INCLUDE has a cuda.h, of CUDA 12 or newer.
// They come with the CUDA toolkit, and with the Python packages nvidia-cuda-runtime-cu12 and nvidia-cuda-runtime. What a
// header has of our names must have our values, layouts and parameters; one of CUDA 12 must have all.
func TestHeader(t *testing.T) {
	folders := filepath.SplitList(os.Getenv("CUDA_INCLUDE"))
	if len(folders) == 0 {
		t.Fatal("set CUDA_INCLUDE to the folder of NVIDIA's cuda.h")
	}
	text := read(t, "include")
	for _, folder := range folders {
		t.Run(folder, func(t *testing.T) {
			theirs := read(t, folder)
			version := regexp.MustCompile(`(?m)^#define CUDA_VERSION (\d+)`).FindStringSubmatch(theirs)
			if version == nil {
				t.Fatal("no CUDA_VERSION")
			}
			compared := 0
			program := []string{"#include <stddef.h>", "#include <stdio.h>", "#include <cuda.h>", "int main(void) {"}
			ask := func(name, question string) {
				if !regexp.MustCompile(`\b` + name + `\b`).MatchString(theirs) {
					if strings.HasPrefix(version[1], "12") {
						t.Errorf("%s has no %s", folder, name)
					}
					return
				}
				compared++
				program = append(program, question)
			}
			for _, name := range names(text, `(?m)\b(CUD?A?_\w+) = -?\d+`, `(?m)^#define (CU_\w+) \d+$`) {
				ask(name, fmt.Sprintf(`printf("%[1]s %%lld\n", (long long)%[1]s);`, name))
			}
			for _, name := range names(text, `(?m)^typedef [^{]*?\*?(\w+);$`, `(?m)^typedef void \(\*(\w+)\)`, `(?m)^\} (\w+);$`, `(?m)^typedef struct \{.*\} (\w+);$`) {
				ask(name, fmt.Sprintf(`printf("%[1]s %%zu %%zu\n", sizeof(%[1]s), _Alignof(%[1]s));`, name))
			}
			for _, m := range regexp.MustCompile(`(?ms)^typedef struct \{(.*?)\} (\w+);$`).FindAllStringSubmatch(text, -1) {
				for _, field := range names(regexp.MustCompile(`\[\w*\]`).ReplaceAllString(m[1], ""), `(\w+)[,;]`) {
					ask(m[2], fmt.Sprintf(`printf("%[1]s.%[2]s %%zu %%zu\n", offsetof(%[1]s, %[2]s), sizeof((%[1]s){0}.%[2]s));`, m[2], field))
				}
			}
			source := filepath.Join(t.TempDir(), "facts.c")
			if err := os.WriteFile(source, []byte(strings.Join(append(program, "}"), "\n")), 0o600); err != nil {
				t.Fatal(err)
			}
			ours, real := strings.Split(facts(t, source, "include"), "\n"), strings.Split(facts(t, source, folder), "\n")
			for i := range min(len(ours), len(real)) {
				if ours[i] != real[i] {
					t.Errorf("ours: %s, theirs: %s", ours[i], real[i])
				}
			}

			want := prototypes(t, folder)
			for name, prototype := range prototypes(t, "include") {
				switch got, there := want[name]; {
				case there && got != prototype:
					t.Errorf("ours: %s, theirs: %s", prototype, got)
				case there:
					compared++
				case strings.HasPrefix(version[1], "12"):
					t.Errorf("%s has no %s", folder, name)
				}
			}
			if compared < 500 {
				t.Errorf("%d facts were compared", compared)
			}
			t.Logf("CUDA %s: %d facts", version[1], compared)
		})
	}
}

func read(t *testing.T, folder string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "cuda.h"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// names are what patterns find, each once.
func names(text string, patterns ...string) (found []string) {
	seen := map[string]bool{}
	for _, p := range patterns {
		for _, m := range regexp.MustCompile(p).FindAllStringSubmatch(text, -1) {
			if !seen[m[1]] {
				seen[m[1]] = true
				found = append(found, m[1])
			}
		}
	}
	return found
}

// facts compiles a program against a header and runs it.
func facts(t *testing.T, source, folder string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "facts")
	run(t, "gcc", "-w", "-I", folder, "-o", program, source)
	return run(t, program)
}

// prototypes are a header's functions as gcc understands them.
func prototypes(t *testing.T, folder string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	source, info := filepath.Join(dir, "all.c"), filepath.Join(dir, "info")
	if err := os.WriteFile(source, []byte("#include <cuda.h>\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "gcc", "-I", folder, "-aux-info", info, "-fsyntax-only", source)
	text, err := os.ReadFile(info)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	version := regexp.MustCompile(`\b(CU\w+?)_v\d\b`) // of types: a new name for what did not change
	for _, m := range regexp.MustCompile(`extern (\w+) (cu[A-Z]\w+) (\(.*\));`).FindAllStringSubmatch(string(text), -1) {
		all[m[2]] = version.ReplaceAllString(m[1]+m[3], "$1")
	}
	return all
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}
