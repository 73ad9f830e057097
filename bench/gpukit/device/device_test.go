package device

import (
	"cmp"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"vith/cuda"
	"vith/cuda/drivertest"
	"vith/kernels"
	"vith/kernels/kerneltest"
)

// data is a file of the photographs and references.
func data(parts ...string) string {
	return filepath.Join(append([]string{cmp.Or(os.Getenv(envData), "../../../vit/testdata")}, parts...)...)
}

func find(t *testing.T) Device {
	t.Helper()
	d, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// record adds a row to the results.
func record(t *testing.T, table string, row any) {
	t.Helper()
	if err := Record(table, row); err != nil {
		t.Error(err)
	}
}

// The contract of drivers and of cublasLt holds on the device. A process whose GPU met a fault cannot open it again.
func TestDriver(t *testing.T) {
	d := find(t)
	drivertest.Run(t, func(*testing.T) cuda.Driver { return d.Driver }, drivertest.Options{Blas: d.Blas, Recovers: d.Name == "emu"})
}

// Every kernel agrees with its definition on every case in every precision. The products of cublasLt, which add a bias
// in the type of the output, have a contract of their own in TestDriver.
func TestKernels(t *testing.T) {
	d := find(t)
	b, err := cuda.Open(d.Driver, d.Ordinal, cuda.Options{Name: d.Name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, k := range kernels.All() {
		if d.Small {
			k = small(k)
		}
		t.Run(k.Name, func(t *testing.T) {
			began := time.Now()
			kerneltest.Kernel(t, k, map[string]kernels.Backend{d.Name: b})
			record(t, "kernels", struct {
				Kernel  string  `json:"kernel"`
				Passed  bool    `json:"passed"`
				Seconds float64 `json:"seconds"`
			}{k.Name, !t.Failed(), time.Since(began).Seconds()})
		})
	}
}

// small is a kernel with its quick cases only.
func small(k *kernels.Kernel) *kernels.Kernel {
	s := *k
	s.Cases = slices.DeleteFunc(slices.Clone(k.Cases), func(c kernels.Case) bool { return !c.Refused && k.FLOPs(c.Dims) > 1<<12 })
	s.Random = func(*rand.Rand) kernels.Case { return s.Cases[0] }
	return &s
}
