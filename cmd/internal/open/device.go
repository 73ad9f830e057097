package open

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"vith/bench/roofs"
	"vith/cuda"
	"vith/cuda/emu"
	"vith/kernels"
	"vith/kernels/host"
	"vith/kernels/ptx"
	"vith/kernels/tensor"
	"vith/vit"
)

// Spellings of options. Whether a device is there and can do it is another matter.
var (
	devices    = regexp.MustCompile(`^(auto|cpu|cuda(:\d+(,\d+)*)?|(GPU|MIG)-[0-9a-fA-F-]+|emu(:sm_\d+[a-z]?)?)$`)
	precisions = []string{"auto", "fp32", "tf32", "fp16", "bf16", "int8", "fp8"}
	tiers      = []string{"amx", "avx512bf16", "avx512", "avx2", "neon", "generic"}
)

// cpuPrecisions and gpuPrecisions are what devices compute in.
var cpuPrecisions = []string{"fp32", "bf16"}

// types are the precisions of programs; tf32 is a choice of the backend.
var types = map[string]kernels.Precision{
	"fp32": kernels.FP32,
	"tf32": kernels.FP32,
	"fp16": {Activation: tensor.F16, Stream: tensor.F32},
	"bf16": {Activation: tensor.BF16, Stream: tensor.F32},
}

// gpuPrecisions are what a GPU of a compute capability computes in.
func gpuPrecisions(capability int) []string {
	if capability < int(ptx.SM80) {
		return []string{"fp32", "fp16"}
	}
	return []string{"fp32", "tf32", "fp16", "bf16"}
}

// check reports options that are wrong on any machine.
func (o Options) check() error {
	if !devices.MatchString(o.Device) {
		return &UsageError{"--device", o.Device, "must be auto, cpu, cuda, cuda:0,2 (numbers of GPUs), a GPU's UUID, emu or emu:sm_80"}
	}
	if err := checkTier(o.CPU); err != nil {
		return err
	}
	if !slices.Contains(precisions, o.Precision) {
		return &UsageError{"--precision", o.Precision, "must be one of " + strings.Join(precisions, ", ")}
	}
	if numbers, ok := strings.CutPrefix(o.Device, "cuda:"); ok {
		list := strings.Split(numbers, ",")
		if slices.Sort(list); len(slices.Compact(list)) < strings.Count(numbers, ",")+1 {
			return &UsageError{"--device", o.Device, "names a GPU twice"}
		}
	}
	if o.GELU == "tanh" && (o.Precision == "fp32" || o.Precision == "tf32") {
		return &UsageError{"--gelu", o.GELU, o.Precision + " is always exact: choose exact or auto"}
	}
	return nil
}

func checkTier(tier string) error {
	if tier != "" && !slices.Contains(tiers, tier) {
		return &UsageError{"VITH_CPU", tier, "must be one of " + strings.Join(tiers, ", ")}
	}
	return nil
}

// A device is what a model runs on, one of several if they are GPUs.
type device struct {
	kernels.Backend
	precision string // that it computes in
	timed     bool   // what passes take on it tells how they are best made; not on the emulated GPU
	gpu       *gpu   // nil: the CPU
	engine    *vit.Engine
	watch     watch
	best      roofs.Roof // as far as measured
}

// devices opens what o names, if that can do what o asks of it. All compute in one precision.
func (o Options) devices() ([]*device, error) {
	switch {
	case o.Device == "cpu":
		return o.cpu()
	case strings.HasPrefix(o.Device, "emu"):
		return o.emulator()
	}
	list, err := o.gpus()
	if err == nil {
		return list, nil
	}
	if _, wrong := errors.AsType[*precisionError](err); o.Device == "auto" && !wrong {
		o.Log.Warn("running on the CPU; --device cpu says that this is meant", "reason", err)
		return o.cpu()
	}
	return nil, fmt.Errorf("--device %s: %w", o.Device, err)
}

func (o Options) cpu() ([]*device, error) {
	precision, err := o.choose("the CPU", "fp32", cpuPrecisions)
	if err != nil {
		return nil, err
	}
	if o.Memory > 0 {
		o.Log.Warn("--memory-limit is of GPU memory and has no effect on the CPU")
	}
	backend, err := host.New(host.Options{Threads: o.Threads, Tier: o.CPU})
	if err != nil {
		return nil, fmt.Errorf("VITH_CPU=%s: %w", o.CPU, err)
	}
	return []*device{{Backend: backend, precision: precision}}, nil
}

// emulator is the emulated GPU: slow, and right where a GPU would be.
func (o Options) emulator() ([]*device, error) {
	target := ptx.SM80
	if _, sm, found := strings.Cut(o.Device, ":sm_"); found {
		n, err := strconv.Atoi(sm)
		if target = ptx.Target(n); err != nil || target < ptx.SM75 || target.MaxShared() == 0 {
			return nil, fmt.Errorf("--device %s: no such GPU is emulated: choose sm_75, sm_80, sm_86, sm_89 or sm_90", o.Device)
		}
	}
	precision, err := o.choose(o.Device, "fp16", gpuPrecisions(int(target)))
	if err != nil {
		return nil, err
	}
	g := &gpu{GPUs: &GPUs{Driver: emu.New(emu.Options{Targets: []ptx.Target{target}}), Blas: emu.NewBlas}, log: o.Log}
	options := o.cuda(precision)
	options.Deterministic = true // its times do not tell which algorithm is the fastest
	d, err := g.open("emu:"+target.String(), precision, options)
	if err != nil {
		return nil, err
	}
	return []*device{d}, nil
}

// A precisionError is a precision that a device has not.
type precisionError struct{ problem string }

func (e *precisionError) Error() string { return e.problem }

// choose returns the precision that o asks of a device, which can do those given and takes the favourite by itself.
func (o Options) choose(device, favourite string, possible []string) (string, error) {
	p := o.Precision
	if p == "auto" {
		p = favourite
	}
	if !slices.Contains(possible, p) {
		return "", &precisionError{fmt.Sprintf("--precision %s: %s has auto and %s", p, device, strings.Join(possible, ", "))}
	}
	if o.GELU == "tanh" && types[p] == kernels.FP32 {
		return "", &precisionError{fmt.Sprintf("--gelu tanh: %s computes in %s, which is always exact: choose exact or auto", device, p)}
	}
	if o.Residual == "fp16" && p != "fp16" {
		return "", &precisionError{fmt.Sprintf("--residual fp16: %s computes in %s: choose fp32, or --precision fp16", device, p)}
	}
	return p, nil
}

// types are those of a program in a precision that choose returned.
func (o Options) types(precision string) kernels.Precision {
	t := types[precision]
	if o.Residual == "fp16" {
		t.Stream = tensor.F16
	}
	return t
}

// cuda is how a GPU is to be used.
func (o Options) cuda(precision string) cuda.Options {
	return cuda.Options{TF32: precision == "tf32", Deterministic: o.Deterministic, Memory: o.Memory}
}
