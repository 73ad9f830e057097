//go:build cuda && cgo && linux && (amd64 || arm64)

package native_test

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vith/cuda"
	"vith/cuda/drivertest"
	"vith/cuda/emu"
	"vith/cuda/native"
	"vith/cuda/native/fake"
	"vith/cuda/native/lt"
)

// open puts an emulator behind the C entry points until the end of the test, and opens it.
func open(t *testing.T, o emu.Options, f fake.Options) cuda.Driver {
	t.Helper()
	e := emu.New(o)
	remove, err := fake.Install(e, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		remove()
		if err := e.Leaks(); err != nil {
			t.Error(err)
		}
	})
	d, err := native.Open("")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func openBlas(d cuda.Device) (cuda.Blas, error) { return lt.Open(d, "") }

// The contract holds for gorgonia's code and ours over the emulator, and what the C interface loses is not needed.
func TestDriver(t *testing.T) {
	behind := fake.Options{Blas: emu.NewBlas}
	for name, o := range map[string]emu.Options{
		"eager": {}, "lazy": {Lazy: true, Seed: 1}, "cuda 13": {Version: 13000},
	} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, func(t *testing.T) cuda.Driver { return open(t, o, behind) }, drivertest.Options{Blas: openBlas, Recovers: true})
		})
	}
}

// A driver of CUDA 11.0 lacks entry points that newer ones have.
func TestOldDriver(t *testing.T) {
	behind := fake.Options{Lacking: []string{"cuGraphInstantiateWithFlags", "cuGraphUpload", "cuDeviceGetUuid_v2"}}
	drivertest.Run(t, func(t *testing.T) cuda.Driver { return open(t, emu.Options{Version: 11000}, behind) }, drivertest.Options{Recovers: true})
}

func TestOpen(t *testing.T) {
	fails := func(path string, want error, parts ...string) {
		t.Helper()
		_, err := native.Open(path)
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
			return
		}
		for _, p := range parts {
			if !strings.Contains(err.Error(), p) {
				t.Errorf("%q does not name %q", err, p)
			}
		}
	}
	fails("libcuda-nowhere.so", native.ErrNoLibrary, "libcuda-nowhere.so", "install")
	fails("libm.so.6", native.ErrNoLibrary, "libm.so.6 has no cuInit")
	fails(library(t, "int cuInit(unsigned f) { return 100; }"), native.ErrNoDevice, "cuInit", "CUDA_VISIBLE_DEVICES")
	mismatch := `int cuInit(unsigned f) { return 803; }
		int cuGetErrorName(int s, const char **n) { *n = "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"; return 0; }`
	fails(library(t, mismatch), cuda.Status(803), "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH")
	old := "int cuInit(unsigned f) { return 0; } int cuDriverGetVersion(int *v) { *v = 10020; return 0; }"
	fails(library(t, old), native.ErrDriverTooOld, "10.2", "11.0", "450")

	// After all these a driver can be opened, and it is the process's.
	d := open(t, emu.Options{}, fake.Options{})
	again, err := native.Open("libcuda-nowhere.so")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []cuda.Driver{d, again} {
		if infos, err := d.Devices(); err != nil || len(infos) != 1 || infos[0].Name != "Emulated sm_80" {
			t.Errorf("%+v, %v", infos, err)
		}
	}
	if _, err := fake.Install(emu.New(emu.Options{}), fake.Options{}); err == nil {
		t.Error("two drivers in one process")
	}
}

// library compiles C into a shared library.
func library(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	c, so := filepath.Join(dir, "driver.c"), filepath.Join(dir, "libcuda.so.1")
	if err := os.WriteFile(c, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cmp.Or(os.Getenv("CC"), "gcc"), "-shared", "-fPIC", "-o", so, c).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return so
}

// An instance is a driver whose device is a MIG instance.
type instance struct{ cuda.Driver }

func (d instance) Devices() ([]cuda.DeviceInfo, error) {
	infos, err := d.Driver.Devices()
	infos[0].UUID = "MIG-01234567-89ab-cdef-0123-456789abcdef"
	return infos, err
}

// A MIG instance is told from the GPU that it is part of, where the driver knows both names.
func TestMIG(t *testing.T) {
	for want, lacking := range map[string][]string{
		"MIG-01234567-89ab-cdef-0123-456789abcdef": nil,
		"GPU-00000000-0000-0000-0000-000000000000": {"cuDeviceGetUuid_v2"},
	} {
		remove, err := fake.Install(instance{emu.New(emu.Options{})}, fake.Options{Lacking: lacking})
		if err != nil {
			t.Fatal(err)
		}
		d, err := native.Open("")
		if err != nil {
			t.Fatal(err)
		}
		if infos, err := d.Devices(); err != nil || infos[0].UUID != want {
			t.Errorf("%+v, %v, want %s", infos, err, want)
		}
		remove()
	}
}
