package cuda_test

import (
	"slices"
	"testing"

	"vith/cuda"
	"vith/cuda/emu"
	"vith/kernels"
	"vith/kernels/kerneltest"
)

// open opens a backend on an emulated device and closes both with the test, which fails if anything is left.
func open(t *testing.T, e emu.Options, o cuda.Options) *cuda.Backend {
	t.Helper()
	driver := emu.New(e)
	b, err := cuda.Open(driver, 0, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := driver.Leaks(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// TestKernels runs every kernel with all that lies between a program and the interpreter, which runs the large cases
// and random ones in kerneltest's own tests.
func TestKernels(t *testing.T) {
	backends := map[string]kernels.Backend{"sm_80": open(t, emu.Options{Lazy: true, Seed: 1}, cuda.Options{})}
	for _, k := range kernels.All() {
		small := slices.DeleteFunc(slices.Clone(k.Cases), func(c kernels.Case) bool { return !c.Refused && k.FLOPs(c.Dims) > 1<<15 })
		t.Run(k.Name, func(t *testing.T) { kerneltest.Cases(t, k, small, backends) })
	}
}
