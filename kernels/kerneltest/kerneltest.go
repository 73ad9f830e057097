// Package kerneltest holds every implementation of a kernel to its definition. It knows kernels and backends, and no
// operation by name.
//
// Each kernel runs on its own cases and on random ones: as declared; on views of larger buffers; and in place where the
// kernel allows it. Operands lie between guard bytes, outputs are filled with NaN beforehand, inputs must come back
// unchanged, a second run must give the same bits, and sizes that the kernel does not accept must be refused by name.
// A backend may lack an implementation for odd sizes or views, saying kernels.ErrUnsupported, but not for the largest
// case.
package kerneltest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"vith/kernels"
)

// randomCases is how many cases each kernel's Random adds.
const randomCases = 12

// A T is what Run needs of *testing.T: the harness's own tests hand in another.
type T interface {
	Helper()
	Errorf(format string, args ...any)
}

// Run tests the kernels on every backend. The definition is computed once a case.
func Run(t *testing.T, list []*kernels.Kernel, backends map[string]kernels.Backend) {
	for _, k := range list {
		t.Run(k.Name, func(t *testing.T) { Kernel(t, k, backends) })
	}
}

// Kernel tests one kernel on every backend.
func Kernel(t T, k *kernels.Kernel, backends map[string]kernels.Backend) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, uint64(len(k.Name))))
	cases := append([]kernels.Case(nil), k.Cases...)
	for range randomCases {
		cases = append(cases, k.Random(r))
	}
	Cases(t, k, cases, backends)
	if !slices.ContainsFunc(cases, func(c kernels.Case) bool { return c.Refused }) {
		t.Errorf("%s has no case that must be refused", k.Name)
	}
}

// Cases tests one kernel on some cases.
func Cases(t T, k *kernels.Kernel, cases []kernels.Case, backends map[string]kernels.Backend) {
	t.Helper()
	for i, c := range cases {
		err := k.Check(c.Dims)
		switch {
		case c.Refused:
			if err == nil || !strings.Contains(err.Error(), k.Name) {
				t.Errorf("sizes %v: got %v, want a refusal that names %s", c.Dims, err, k.Name)
			}
			continue
		case err != nil:
			t.Errorf("sizes %v: %v", c.Dims, err)
			continue
		}
		for p, names := range precisions(k, backends) {
			for _, f := range forms(k, c, p) {
				trial := newTrial(k, c, p, f, uint64(i))
				for _, name := range names {
					err := trial.run(backends[name])
					if errors.Is(err, kernels.ErrUnsupported) && (f.views > 0 || size(c) < largest(k)) {
						continue
					}
					if err != nil {
						t.Errorf("%s on %s: %v", trial, name, err)
					}
				}
			}
		}
	}
}

// precisions lists the backends that run each precision. Precisions that give k the same types are one.
func precisions(k *kernels.Kernel, backends map[string]kernels.Backend) map[kernels.Precision][]string {
	uses := map[kernels.Kind]bool{}
	for _, o := range append(slices.Clone(k.In), k.Out...) {
		uses[o.Kind] = true
	}
	list := map[kernels.Precision][]string{}
	for name, b := range backends {
		for _, p := range b.Caps().Precisions {
			if !uses[kernels.Stream] {
				p.Stream = p.Activation
			}
			if !uses[kernels.Activations] {
				p.Activation = p.Stream
			}
			if !slices.Contains(list[p], name) {
				list[p] = append(list[p], name)
			}
		}
	}
	return list
}

// A form is how the operands of a trial lie.
type form struct {
	name  string
	views int            // not 0: inputs are every second row of larger buffers, from this column on
	alias *kernels.Alias // the pair that shares storage
}

// maxForms bounds the work: the forms differ in addresses, not in arithmetic, so large cases run as declared only.
const maxForms = 1 << 16

func forms(k *kernels.Kernel, c kernels.Case, p kernels.Precision) []form {
	list := []form{{name: "as declared"}}
	if size(c) > maxForms {
		return list
	}
	list = append(list, form{name: "on aligned views", views: 8}, form{name: "on odd views", views: 3})
	for i, a := range k.InPlace {
		in, out := k.In[a.In], k.Out[a.Out]
		if !without(c, in.Name) && p.Type(in.Kind) == p.Type(out.Kind) {
			list = append(list, form{name: "in place of " + in.Name, alias: &k.InPlace[i]})
		}
	}
	return list
}

// size is the product of a case's sizes.
func size(c kernels.Case) int {
	n := 1
	for _, d := range c.Dims {
		n *= d
	}
	return n
}

// largest is the size of k's largest case, the real one, which no backend may refuse.
func largest(k *kernels.Kernel) int {
	n := 0
	for _, c := range k.Cases {
		n = max(n, size(c))
	}
	return n
}

func without(c kernels.Case, name string) bool {
	for _, w := range c.Without {
		if w == name {
			return true
		}
	}
	return false
}
