//go:build cuda && cgo && linux && (amd64 || arm64)

package native_test

import (
	"debug/elf"
	"os"
	"regexp"
	"strings"
	"testing"

	_ "vith/cuda/native/nvml" // whose flags let undefined functions pass, ours too
)

// A program leaves nothing to the dynamic linker but the C library's functions and NVML's, which go-nvml loads, and those
// not before they are called. It offers no driver functions to the libraries that it loads.
func TestSymbols(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	imported, err := f.ImportedSymbols()
	if err != nil {
		t.Fatal(err)
	}
	nvml := 0
	for _, s := range imported {
		switch {
		case strings.HasPrefix(s.Name, "nvml"):
			nvml++
		case s.Library == "":
			t.Errorf("%s is undefined", s.Name)
		}
	}
	if nvml == 0 {
		t.Error("go-nvml is not linked")
	}
	for _, tag := range []struct {
		name elf.DynTag
		now  uint64
	}{{elf.DT_FLAGS, uint64(elf.DF_BIND_NOW)}, {elf.DT_FLAGS_1, uint64(elf.DF_1_NOW)}} {
		if v, err := f.DynValue(tag.name); err != nil || len(v) > 0 && v[0]&tag.now != 0 {
			t.Errorf("%v is %#x, %v: linked with -z now, the program does not start without NVML", tag.name, v, err)
		}
	}
	needed, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range needed {
		if strings.Contains(name, "cuda") || strings.Contains(name, "nvidia") || strings.Contains(name, "cublas") {
			t.Errorf("the program needs %s to start", name)
		}
	}

	list, err := os.ReadFile("internal/shim/syms.h")
	if err != nil {
		t.Fatal(err)
	}
	driver := map[string]bool{}
	for _, m := range regexp.MustCompile(`CU_SYM\w*\((cu\w+)`).FindAllStringSubmatch(string(list), -1) {
		driver[m[1]] = true
	}
	if len(driver) < 100 {
		t.Fatalf("%d entry points in syms.h", len(driver))
	}
	dynamic, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range dynamic {
		if driver[s.Name] {
			t.Errorf("%s is in the program's dynamic symbol table", s.Name)
		}
	}
}
