package open

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"vith/kernels"
	"vith/kernels/host"
)

// noGPU says why no GPU can be used.
const noGPU = "this build of vith has no GPU support"

// What the CPU computes in.
var cpuPrecisions = []string{"fp32"}

// Spellings of options. Whether a device is there and can do it is another matter.
var (
	devices    = regexp.MustCompile(`^(auto|cpu|cuda(:\d+(,\d+)*)?|(GPU|MIG)-[0-9a-fA-F-]+|emu(:sm_\d+[a-z]?)?)$`)
	precisions = []string{"auto", "fp32", "tf32", "fp16", "bf16", "int8", "fp8"}
	tiers      = []string{"avx512bf16", "avx512", "avx2", "generic"}
)

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

// backend returns the device that o names, if it can do what o asks of it.
func (o Options) backend() (kernels.Backend, error) {
	switch o.Device {
	case "auto", "cpu":
	default:
		return nil, fmt.Errorf("--device %s: %s: choose cpu, or auto, which takes the CPU here", o.Device, noGPU)
	}
	if o.Precision != "auto" && !slices.Contains(cpuPrecisions, o.Precision) {
		return nil, fmt.Errorf("--precision %s: the CPU has auto and %s", o.Precision, strings.Join(cpuPrecisions, ", "))
	}
	if o.GELU == "tanh" {
		return nil, fmt.Errorf("--gelu tanh: the CPU computes in fp32, which is always exact: choose exact or auto")
	}
	backend, err := host.New(host.Options{Threads: o.Threads, Tier: o.CPU})
	if err != nil {
		return nil, fmt.Errorf("VITH_CPU=%s: %w", o.CPU, err)
	}
	if o.Device == "auto" {
		o.Log.Warn("running on the CPU: " + noGPU + "; --device cpu says that this is meant")
	}
	return backend, nil
}
