package open

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the module's folder.
const root = "../../.."

// within reports whether a package is one of the trees, or in them.
func within(path string, trees ...string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool { return path == tree || strings.HasPrefix(path, tree+"/") })
}

// Who may import whom. Each rule holds for what the packages reach by any number of steps, tests included.
func TestImports(t *testing.T) {
	rules := []struct {
		of  []string                   // trees of packages
		may func(imported string) bool // import a package of this module
		std bool                       // only the standard library else
		why string
	}{
		{of: []string{"vith/server"}, may: func(p string) bool { return within(p, "vith/server") },
			why: "the server knows the model through its Engine interface only"},
		{of: []string{"vith/loader"}, may: func(p string) bool { return !within(p, "vith/vit", "vith/cuda") || p == "vith/vit/tower" },
			why: "the loader shares only the vocabulary of package tower with vit"},
		{of: []string{"vith/vit"}, may: func(p string) bool { return !within(p, "vith/loader", "vith/cuda") },
			why: "vit reads weights through its Source interface and runs on a Backend"},
		{of: []string{"vith/kernels"}, may: func(p string) bool { return within(p, "vith/kernels") },
			why: "kernels know neither models nor drivers"},
		{of: []string{"vith/kernels/ptx", "vith/kernels/tensor"}, may: func(p string) bool { return within(p, "vith/kernels/ptx", "vith/kernels/tensor") }, std: true,
			why: "the assembler and the tensors stand alone"},
		{of: []string{"vith/cuda"}, may: func(p string) bool { return within(p, "vith/cuda", "vith/kernels") },
			why: "drivers run programs, whatever wrote them"},
	}
	packages := list(t)
	if len(packages["vith/server"].Deps) == 0 || len(packages["vith/loader"].Deps) == 0 {
		t.Fatal("go list does not know the packages of this module")
	}
	for _, p := range packages {
		path := strings.TrimSuffix(p.plain(), "_test")
		for _, rule := range rules {
			if !within(path, rule.of...) {
				continue
			}
			for _, dep := range p.Deps {
				imported := packages[dep]
				if imported.Standard {
					continue
				}
				ours := within(imported.plain(), "vith")
				if ours && !rule.may(strings.TrimSuffix(imported.plain(), "_test")) || !ours && rule.std {
					t.Errorf("%s reaches %s: %s", p.ImportPath, dep, rule.why)
				}
			}
		}
	}
}

// A listed package is as go list describes it.
type listed struct {
	ImportPath string
	Standard   bool
	Deps       []string
}

// plain is the import path without the test that a package was built for, as in "vith/vit [vith/vit.test]".
func (p listed) plain() string {
	path, _, _ := strings.Cut(p.ImportPath, " ")
	return strings.TrimSuffix(path, ".test")
}

// list returns all packages of the module, their tests, and what they reach.
func list(t *testing.T) map[string]listed {
	cmd := exec.Command("go", "list", "-e", "-deps", "-test", "-json=ImportPath,Standard,Deps", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v\n%s", err, e.Stderr)
		}
		t.Fatal(err)
	}
	packages := map[string]listed{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
}

// Imports that break the rules of memory or of the build stand only where they are expected, generators included.
func TestSpecialImports(t *testing.T) {
	homes := map[string][]string{
		"unsafe": {"cuda/native", "kernels/tensor", "kernels/host", "loader/mmap.go"},
		"C":      {"cuda/native", "cmd/internal/open"},
	}
	files := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() != ".." && strings.HasPrefix(entry.Name(), ".") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		for _, spec := range f.Imports {
			name := strings.Trim(spec.Path.Value, `"`)
			if allowed, special := homes[name]; special && !within(filepath.ToSlash(relative), allowed...) {
				t.Errorf("%s imports %q, which only %s may", relative, name, strings.Join(allowed, ", "))
			}
		}
		return err
	})
	if err != nil || files < 10 {
		t.Fatalf("%d files, %v", files, err)
	}
}

// The top level is fixed.
func TestTopLevel(t *testing.T) {
	allowed := []string{
		"bench", "cmd", "cuda", "kernels", "loader", "server", "vit",
		"go.mod", "go.sum", "Makefile", "README.md", "LICENSE",
		"vith", "build", // made by make, not kept
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); !strings.HasPrefix(name, ".") && !slices.Contains(allowed, name) {
			t.Errorf("%s does not belong at the top level: it has %v", name, allowed[:len(allowed)-2])
		}
	}
}
