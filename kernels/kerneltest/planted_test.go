package kerneltest

import (
	"strings"
	"testing"

	"vith/kernels"
	"vith/kernels/ptx"
	"vith/kernels/ptxsim"
)

// TestPlantedInPTX plants one fault after the other in a kernel's PTX, as an author might make it, and expects the
// harness to find it on the interpreter.
func TestPlantedInPTX(t *testing.T) {
	replace := func(old, new string) func(string) string {
		return func(text string) string {
			if !strings.Contains(text, old) {
				t.Errorf("the text has no %q to plant a fault in:\n%.2000s", old, text)
			}
			return strings.ReplaceAll(text, old, new)
		}
	}
	same := func(text string) string { return text }
	// with replaces a kernel's text by what it would be for another Spec, or with other parameters.
	with := func(k *kernels.Kernel, change func(k *kernels.Kernel, f *ptx.Func, s kernels.Spec, p kernels.Params)) *kernels.Kernel {
		changed, gpu := *k, *k.GPU
		gpu.PTX = func(f *ptx.Func, s kernels.Spec, p kernels.Params) { change(k, f, s, p) }
		changed.GPU = &gpu
		return &changed
	}
	only := func(k *kernels.Kernel, cases ...kernels.Case) *kernels.Kernel {
		k = with(k, func(k *kernels.Kernel, f *ptx.Func, s kernels.Spec, p kernels.Params) { k.GPU.PTX(f, s, p) })
		k.Cases = cases
		k.Random = nil
		return k
	}
	rows := func(rows, cols int) kernels.Case {
		return kernels.Case{Dims: []int{rows, cols}, Scalars: []float32{1e-5}}
	}
	product := kernels.Case{Dims: []int{64, 64, 256}, Scalars: []float32{1}, Without: []string{"residual"}}
	all257 := kernels.Case{Dims: []int{1, 1, 257, 257, 80}, Scalars: []float32{0.1118034}}

	for _, fault := range []struct {
		name    string
		kernel  *kernels.Kernel
		rewrite func(string) string
		want    string
	}{
		{"nothing", only(named("layernorm"), rows(5, 64)), same, ""},
		{"nothing in a product", only(named("gemm"), product), same, ""},
		{"nothing in attention", only(named("attention"), all257), same, ""},
		{"> for >= at the last row", only(named("layernorm"), rows(5, 64)), replace("setp.ge.u32", "setp.gt.u32"), "out of bounds"},
		{"a missing barrier in a product", only(named("gemm"), product), replace("\tbar.sync 0;\n", ""), "race"},
		{"a missing barrier in attention", only(named("attention"), all257), replace("\tbar.sync 0;\n", ""), "race"},
		{"a wrong lane", only(named("layernorm"), rows(5, 64)), replace(", 16, 31, -1;", ", 8, 31, -1;"), "out of tolerance"},
		{"the 257th key dropped", only(with(named("attention"), func(k *kernels.Kernel, f *ptx.Func, s kernels.Spec, p kernels.Params) {
			s.Dims[3]-- // keys
			k.GPU.PTX(f, s, p)
		}), all257), same, "out of tolerance"},
		{"tanh for erf", only(with(named("gelu"), func(_ *kernels.Kernel, f *ptx.Func, s kernels.Spec, p kernels.Params) {
			named("gelu_tanh").GPU.PTX(f, s, p)
		}), kernels.Case{Dims: []int{7, 64}}), same, "out of tolerance"},
		{"epsilon 1e-6 for 1e-5", only(with(named("layernorm"), func(k *kernels.Kernel, f *ptx.Func, s kernels.Spec, p kernels.Params) {
			p.Scalars = []ptx.F32{f.MovF32(ptx.Float(1e-6))}
			k.GPU.PTX(f, s, p)
		}), rows(64, 64)), same, "out of tolerance"},
	} {
		gpu := NewInterpreter(ptx.SM80, 1, ptxsim.Sequential)
		gpu.rewrite = fault.rewrite
		var f findings
		for _, c := range fault.kernel.Cases {
			for p := range precisions(fault.kernel, map[string]kernels.Backend{"sm_80": gpu}) {
				if err := newTrial(fault.kernel, c, p, form{name: "as declared"}, 1).run(gpu); err != nil {
					f.Errorf("%v", err)
				}
			}
		}
		got := strings.Join(f, "\n")
		if fault.want == "" && got != "" || !strings.Contains(got, fault.want) {
			t.Errorf("%s: the harness reports %q, want %q", fault.name, got, fault.want)
		}
	}
}
