//go:build gpu && cuda && cgo && linux && (amd64 || arm64)

package native_test

import (
	"runtime"
	"testing"

	"vith/cuda"
	"vith/cuda/drivertest"
	"vith/cuda/native"
	"vith/cuda/native/internal/shim"
	"vith/cuda/native/lt"
	"vith/cuda/native/nvml"
)

// gpu opens the machine's driver until the end of the test.
func gpu(t *testing.T) cuda.Driver {
	t.Helper()
	d, err := native.Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shim.Unbind)
	return d
}

// The contract holds on this machine's GPU and cublasLt.
func TestGPU(t *testing.T) {
	t.Cleanup(lt.Unbind)
	drivertest.Run(t, gpu, drivertest.Options{Blas: openBlas})
}

// NVML knows every device of the driver by its UUID, and sees an allocation.
func TestGPUMonitor(t *testing.T) {
	m, err := nvml.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if v, err := m.DriverVersion(); err != nil || v == "" {
		t.Errorf("driver version %q, %v", v, err)
	}
	driver := gpu(t)
	infos, err := driver.Devices()
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		u, err := m.Usage(info.UUID)
		t.Logf("%+v: %+v, %v", info, u, err)
		if err != nil || u.Total < info.Memory || u.Used+u.Free > u.Total {
			t.Errorf("%s: %+v, %v", info.UUID, u, err)
		}
	}

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	d, err := driver.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SetCurrent(); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const size = 1 << 30
	before, err := m.Usage(d.Info().UUID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.MemAlloc(size); err != nil {
		t.Fatal(err)
	}
	after, err := m.Usage(d.Info().UUID)
	if err != nil {
		t.Fatal(err)
	}
	if after.Used-before.Used < size/2 {
		t.Errorf("%d bytes in use became %d when %d were allocated", before.Used, after.Used, int64(size))
	}
}
