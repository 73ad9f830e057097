//go:build cuda && cgo && linux && (amd64 || arm64)

package lt

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vith/cuda"
	"vith/cuda/emu"
)

// Newer versions come first, but only those that the driver supports; of one version, what the user named comes first.
func TestCandidates(t *testing.T) {
	root := t.TempDir()
	for _, file := range []string{
		"usr/local/cuda-12.4/lib64/libcublasLt.so.12",
		"usr/local/lib/python3.11/dist-packages/nvidia/cublas/lib/libcublasLt.so.12",
		"usr/local/lib/python3.11/dist-packages/nvidia/cu13/lib/libcublasLt.so.13",
		"usr/lib/python3/dist-packages/nvidia/cublas/lib/libcublasLt.so.11",
		"opt/venv/lib/python3.12/site-packages/nvidia/cublas/lib/libcublasLt.so.12",
		"env/lib/python3.12/site-packages/nvidia/cublas/lib/libcublasLt.so.12",
		"home/.local/lib/python3.12/site-packages/nvidia/cublas/lib/libcublasLt.so.12",
		"conda/lib/libcublasLt.so.12",
		"toolkit/targets/sbsa-linux/lib/libcublasLt.so.12",
		"usr/local/cuda-12.4/lib64/libcublas.so.12",
	} {
		path := filepath.Join(root, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{
		"CUDA_HOME": filepath.Join(root, "toolkit"), "CONDA_PREFIX": filepath.Join(root, "conda"),
		"VIRTUAL_ENV": filepath.Join(root, "env"), "HOME": filepath.Join(root, "home"),
	}
	of12 := []string{
		"libcublasLt.so.12",
		"/toolkit/targets/sbsa-linux/lib/libcublasLt.so.12",
		"/usr/local/cuda-12.4/lib64/libcublasLt.so.12",
		"/conda/lib/libcublasLt.so.12",
		"/env/lib/python3.12/site-packages/nvidia/cublas/lib/libcublasLt.so.12",
		"/home/.local/lib/python3.12/site-packages/nvidia/cublas/lib/libcublasLt.so.12",
		"/usr/local/lib/python3.11/dist-packages/nvidia/cublas/lib/libcublasLt.so.12",
		"/opt/venv/lib/python3.12/site-packages/nvidia/cublas/lib/libcublasLt.so.12",
	}
	of13 := []string{"libcublasLt.so.13", "/usr/local/lib/python3.11/dist-packages/nvidia/cu13/lib/libcublasLt.so.13"}
	of11 := []string{"libcublasLt.so.11", "/usr/lib/python3/dist-packages/nvidia/cublas/lib/libcublasLt.so.11"}
	for driver, want := range map[int][]string{
		13000: slices.Concat(of13, of12, of11), 12080: slices.Concat(of12, of11), 11000: of11, 10020: nil,
	} {
		var got []string
		for _, path := range candidates(driver, root, func(name string) string { return env[name] }) {
			got = append(got, strings.TrimPrefix(path, root))
		}
		if !slices.Equal(got, want) {
			t.Errorf("driver %d: got %q, want %q", driver, got, want)
		}
	}
}

// What cannot be used is said, by name.
func TestOpen(t *testing.T) {
	d, err := emu.New(emu.Options{}).Open(0)
	if err != nil {
		t.Fatal(err)
	}
	for path, why := range map[string]string{"libcublasLt-nowhere.so": "libcublasLt-nowhere.so", "libm.so.6": "libm.so.6 has no cublasLt"} {
		if _, err := Open(d, path); !errors.Is(err, ErrNoLibrary) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

// The statuses of the library are those of the driver that mean the same, under their own names.
func TestStatuses(t *testing.T) {
	for status, known := range statuses {
		err := failed("cublasLtMatmul", "of a product", status)
		if !errors.Is(err, known.status) || !strings.Contains(err.Error(), known.name) {
			t.Errorf("status %d: %v", status, err)
		}
	}
	if err := failed("cublasLtMatmul", "", 99); !errors.Is(err, cuda.ErrUnknown) || !strings.Contains(err.Error(), "99") {
		t.Errorf("an unknown status: %v", err)
	}
	if err := failed("cublasLtMatmul", "", 0); err != nil {
		t.Errorf("success: %v", err)
	}
}
