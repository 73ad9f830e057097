//go:build cuda && cgo && linux && (amd64 || arm64)

package lt

import (
	"fmt"
	"os"
	"path/filepath"
)

// majors are the versions that are known to work, best first. Each needs a driver of its own major version.
var majors = []int{13, 12, 11}

// candidates lists where cublasLt may be, for a driver that supports a version of CUDA: newest first, and of one version
// first what the dynamic linker finds by itself (LD_LIBRARY_PATH), then toolkits, then what Python packages bring. root is
// "/" but for tests.
func candidates(driver int, root string, env func(string) string) []string {
	var paths []string
	for _, major := range majors {
		if major > driver/1000 {
			continue
		}
		name := fmt.Sprintf("libcublasLt.so.%d", major)
		paths = append(paths, name)
		for _, folder := range folders(root, env) {
			found, _ := filepath.Glob(filepath.Join(folder, name)) // the only error is a malformed pattern
			paths = append(paths, found...)
		}
	}
	return paths
}

// folders are patterns of folders that toolkits and Python packages put libraries into.
func folders(root string, env func(string) string) []string {
	var folders []string
	toolkit := func(base string) {
		folders = append(folders, filepath.Join(base, "lib64"), filepath.Join(base, "targets/*-linux/lib"))
	}
	python := func(base string) {
		packages := filepath.Join(base, "lib/python3*", "*-packages/nvidia")
		folders = append(folders, filepath.Join(packages, "cublas/lib"), filepath.Join(packages, "cu1*/lib"))
	}
	for _, name := range []string{"CUDA_HOME", "CUDA_PATH"} {
		if base := env(name); base != "" {
			toolkit(base)
		}
	}
	toolkit(filepath.Join(root, "usr/local/cuda*"))
	if base := env("CONDA_PREFIX"); base != "" {
		folders = append(folders, filepath.Join(base, "lib"))
		python(base)
	}
	if base := env("VIRTUAL_ENV"); base != "" {
		python(base)
	}
	if home := env("HOME"); home != "" {
		python(filepath.Join(home, ".local"))
	}
	for _, base := range []string{"usr/local", "usr", "opt/*"} {
		python(filepath.Join(root, base))
	}
	return folders
}

// searched lists the candidates of this machine.
func searched(driver int) []string { return candidates(driver, "/", os.Getenv) }
