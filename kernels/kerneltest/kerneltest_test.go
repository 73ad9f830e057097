package kerneltest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"vith/kernels"
)

// findings collects what the harness reports.
type findings []string

func (f *findings) Helper() {}

func (f *findings) Errorf(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

func named(name string) *kernels.Kernel {
	for _, k := range kernels.All() {
		if k.Name == name {
			return k
		}
	}
	panic("no kernel " + name)
}

func honest(k *kernels.Kernel, a kernels.Args) { k.Host(a) }

// TestDefinitionsPass runs the definitions against themselves: the harness finds nothing where nothing is wrong.
func TestDefinitionsPass(t *testing.T) {
	for _, name := range []string{"add", "cast", "gelu", "layernorm", "l2norm", "embed", "patches"} {
		var f findings
		Kernel(&f, named(name), map[string]kernels.Backend{"definition": definition{honest}})
		if len(f) > 0 {
			t.Errorf("%s: %s", name, f[0])
		}
	}
}

// TestPlantedFaults plants one fault after the other and expects the harness to say what it is.
func TestPlantedFaults(t *testing.T) {
	runs := 0
	for _, fault := range []struct {
		name, kernel string
		host         func(k *kernels.Kernel, a kernels.Args)
		want         string
	}{
		{"last row left out", "add", func(k *kernels.Kernel, a kernels.Args) {
			last := a.Dims[0] - 1
			before := a.Out[0].At(last, 0)
			k.Host(a)
			a.Out[0].Set(last, 0, before)
		}, "out of tolerance"},
		{"writes beyond the last element", "add", func(k *kernels.Kernel, a kernels.Args) {
			k.Host(a)
			end := a.Out[0].Rows * a.Out[0].Cols * a.Out[0].Type.Size()
			if data := a.Out[0].Data; cap(data) > end {
				data[:end+1][end] = 0
			}
		}, "of a buffer of"},
		{"writes an input", "layernorm", func(k *kernels.Kernel, a kernels.Args) {
			k.Host(a)
			a.In[0].Set(0, 0, 1e9)
		}, "input x was written"},
		{"differs from run to run", "gelu", func(k *kernels.Kernel, a kernels.Args) {
			k.Host(a)
			runs++
			a.Out[0].Set(0, 0, a.Out[0].At(0, 0)*(1+1e-7*float64(runs)))
		}, "differs from run to run"},
		{"tanh for erf", "gelu", func(_ *kernels.Kernel, a kernels.Args) {
			named("gelu_tanh").Host(a)
		}, "out of tolerance"},
		{"quick for erf", "gelu", func(_ *kernels.Kernel, a kernels.Args) {
			named("quick_gelu").Host(a)
		}, "out of tolerance"},
		{"epsilon 1e-6 for 1e-5", "layernorm", func(k *kernels.Kernel, a kernels.Args) {
			if a.Scalars[0] == 1e-5 {
				a.Scalars = []float32{1e-6}
			}
			k.Host(a)
		}, "out of tolerance"},
		{"sample variance", "layernorm", func(k *kernels.Kernel, a kernels.Args) {
			k.Host(a)
			n := float64(a.Dims[1])
			for r := range a.Out[0].Rows {
				for c := range a.Out[0].Cols {
					beta := a.In[2].At(0, c)
					a.Out[0].Set(r, c, (a.Out[0].At(r, c)-beta)*math.Sqrt(max(n-1, 1)/n)+beta)
				}
			}
		}, "out of tolerance"},
		{"last key left out", "attention", func(k *kernels.Kernel, a kernels.Args) {
			if d := a.Dims; d[3] > 1 && d[0] == 1 {
				a.Dims = []int{d[0], d[1], d[2], d[3] - 1, d[4]}
			}
			k.Host(a)
		}, "out of tolerance"},
		{"no bias", "gemm", func(k *kernels.Kernel, a kernels.Args) {
			a.In[2].Data = nil
			k.Host(a)
		}, "out of tolerance"},
		{"green for blue", "patches", func(k *kernels.Kernel, a kernels.Args) {
			k.Host(a)
			a.Out[0].Set(0, 2, a.Out[0].At(0, 1))
		}, "out of tolerance 0"},
		{"position 0 for all", "embed", func(k *kernels.Kernel, a kernels.Args) {
			k.Host(a)
			for c := range a.Dims[2] {
				a.Out[0].Set(1, c, a.Out[0].At(1, c)-a.In[2].At(1, c)+a.In[2].At(0, c))
			}
		}, "out of tolerance"},
	} {
		faulty := func(k *kernels.Kernel, a kernels.Args) {
			if k.Name != fault.kernel { // the copies around a call in place
				k.Host(a)
				return
			}
			fault.host(k, a)
		}
		var f findings
		Kernel(&f, small(named(fault.kernel)), map[string]kernels.Backend{"faulty": definition{faulty}})
		if !strings.Contains(strings.Join(f, "\n"), fault.want) {
			t.Errorf("%s: the harness reports %q, want %q", fault.name, f, fault.want)
		}
	}
}

// small is k with its quick cases only.
func small(k *kernels.Kernel) *kernels.Kernel {
	s := *k
	s.Cases = nil
	for _, c := range k.Cases {
		if size(c) < 1<<17 {
			s.Cases = append(s.Cases, c)
		}
	}
	return &s
}

// TestRefusals expects a kernel that accepts what its case says it refuses, or has no such case, to be reported.
func TestRefusals(t *testing.T) {
	k := small(named("add"))
	k.Random = func(*rand.Rand) kernels.Case { return kernels.Case{Dims: []int{1, 1}} }
	k.Cases = []kernels.Case{{Dims: []int{2, 2}, Refused: true}}
	var f findings
	Kernel(&f, k, map[string]kernels.Backend{"definition": definition{honest}})
	if len(f) != 1 || !strings.Contains(f[0], "want a refusal that names add") {
		t.Errorf("got %q", f)
	}
	f, k.Cases = nil, k.Cases[:0]
	Kernel(&f, k, map[string]kernels.Backend{"definition": definition{honest}})
	if len(f) != 1 || !strings.Contains(f[0], "no case that must be refused") {
		t.Errorf("got %q", f)
	}
}
