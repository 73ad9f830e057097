package open

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"vith/cuda"
	"vith/cuda/emu"
	"vith/kernels"
	"vith/kernels/host"
	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// Spellings of options. Whether a device is there and can do it is another matter.
var (
	devices    = regexp.MustCompile(`^(auto|cpu|cuda(:\d+(,\d+)*)?|(GPU|MIG)-[0-9a-fA-F-]+|emu(:sm_\d+[a-z]?)?)$`)
	precisions = []string{"auto", "fp32", "tf32", "fp16", "bf16", "int8", "fp8"}
	tiers      = []string{"avx512bf16", "avx512", "avx2", "generic"}
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

// backend returns the device that o names, and the precision that it computes in, if it can do what o asks of it.
func (o Options) backend() (kernels.Backend, string, error) {
	switch {
	case o.Device == "cpu":
		return o.cpu()
	case o.Device == "auto":
		driver, err := openDriver()
		if err == nil {
			return o.gpu(driver)
		}
		o.Log.Warn("running on the CPU; --device cpu says that this is meant", "reason", err)
		return o.cpu()
	case strings.HasPrefix(o.Device, "emu"):
		return o.emulator()
	}
	driver, err := openDriver()
	if err != nil {
		return nil, "", fmt.Errorf("--device %s: %w; --device cpu does without", o.Device, err)
	}
	return o.gpu(driver)
}

func (o Options) cpu() (kernels.Backend, string, error) {
	precision, err := o.choose("the CPU", "fp32", cpuPrecisions)
	if err != nil {
		return nil, "", err
	}
	backend, err := host.New(host.Options{Threads: o.Threads, Tier: o.CPU})
	if err != nil {
		return nil, "", fmt.Errorf("VITH_CPU=%s: %w", o.CPU, err)
	}
	return backend, precision, nil
}

// choose returns the precision that o asks of a device, which can do those given and takes the favourite by itself.
func (o Options) choose(device, favourite string, possible []string) (string, error) {
	p := o.Precision
	if p == "auto" {
		p = favourite
	}
	if !slices.Contains(possible, p) {
		return "", fmt.Errorf("--precision %s: %s has auto and %s", p, device, strings.Join(possible, ", "))
	}
	if o.GELU == "tanh" && types[p] == kernels.FP32 {
		return "", fmt.Errorf("--gelu tanh: %s computes in %s, which is always exact: choose exact or auto", device, p)
	}
	return p, nil
}

// emulator is the emulated GPU: slow, and right where a GPU would be.
func (o Options) emulator() (kernels.Backend, string, error) {
	target := ptx.SM80
	if _, sm, found := strings.Cut(o.Device, ":sm_"); found {
		n, err := strconv.Atoi(sm)
		if target = ptx.Target(n); err != nil || target < ptx.SM75 || target.MaxShared() == 0 {
			return nil, "", fmt.Errorf("--device %s: no such GPU is emulated: choose sm_75, sm_80, sm_86, sm_89 or sm_90", o.Device)
		}
	}
	precision, err := o.choose(o.Device, "fp16", gpuPrecisions(int(target)))
	if err != nil {
		return nil, "", err
	}
	backend, err := cuda.Open(emu.New(emu.Options{Targets: []ptx.Target{target}}), 0, cuda.Options{
		Name: "emu:" + target.String(), Blas: emu.NewBlas, TF32: precision == "tf32", Deterministic: o.Deterministic,
	})
	if err != nil {
		return nil, "", err
	}
	return backend, precision, nil
}

// gpu opens a GPU of the driver: the one that o names, or the first.
func (o Options) gpu(driver cuda.Driver) (kernels.Backend, string, error) {
	list, err := driver.Devices()
	if err != nil {
		return nil, "", fmt.Errorf("--device %s: %w", o.Device, err)
	}
	device, err := o.pick(list)
	if err != nil {
		return nil, "", err
	}
	name := fmt.Sprintf("cuda:%d (%s)", device.Ordinal, device.Name)
	precision, err := o.choose(name, "fp16", gpuPrecisions(device.Capability))
	if err != nil {
		return nil, "", err
	}
	options := cuda.Options{Blas: openBlas, TF32: precision == "tf32", Deterministic: o.Deterministic}
	backend, err := cuda.Open(driver, device.Ordinal, options)
	if noBlas(err) && !options.TF32 {
		o.Log.Warn("cublasLt is not found; products run on vith's own kernels, which are slower", "reason", err)
		options.Blas = nil
		backend, err = cuda.Open(driver, device.Ordinal, options)
	}
	if err != nil {
		return nil, "", fmt.Errorf("--device %s: %w", o.Device, err)
	}
	return backend, precision, nil
}

// pick finds the GPU that o names among those that there are.
func (o Options) pick(list []cuda.DeviceInfo) (cuda.DeviceInfo, error) {
	var names []string
	for _, d := range list {
		if o.Device == d.UUID || o.Device == fmt.Sprintf("cuda:%d", d.Ordinal) {
			return d, nil
		}
		names = append(names, fmt.Sprintf("cuda:%d %s %s", d.Ordinal, d.Name, d.UUID))
	}
	switch {
	case len(list) == 0:
		return cuda.DeviceInfo{}, fmt.Errorf("--device %s: the driver shows no GPU", o.Device)
	case strings.Contains(o.Device, ","):
		return cuda.DeviceInfo{}, fmt.Errorf("--device %s: several GPUs at once are not available in this version: name one", o.Device)
	case o.Device != "auto" && o.Device != "cuda":
		return cuda.DeviceInfo{}, fmt.Errorf("--device %s: there is no such GPU; there are: %s", o.Device, strings.Join(names, "; "))
	}
	if len(list) > 1 {
		o.Log.Warn("only the first GPU is used in this version", "gpus", names)
	}
	return list[0], nil
}
