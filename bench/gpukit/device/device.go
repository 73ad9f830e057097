// Package device is what the GPU kit runs on: the GPU, or the emulated one where the kit itself is tested. Its tests are
// the kit's stage "correct".
package device

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"vith/cuda"
	"vith/cuda/emu"
	"vith/kernels"
	"vith/kernels/tensor"
	"vith/loader"
	"vith/vit"
)

// The kit's environment variables.
const (
	envDevice  = "VITH_KIT_DEVICE"  // emu, the default, or cuda:0
	envSmall   = "VITH_KIT_SMALL"   // not empty: the emulator's sizes on any device
	envData    = "VITH_KIT_DATA"    // the folder of photographs and reference embeddings
	envResults = "VITH_KIT_RESULTS" // the file that Record adds to
)

// A Device is where the kit runs.
type Device struct {
	Name    string // as --device of vith spells it
	Driver  cuda.Driver
	Ordinal int
	Blas    func(cuda.Device) (cuda.Blas, error)
	Small   bool // sizes for an emulator, or under a sanitizer
}

// Find opens the device that the environment names.
func Find() (Device, error) {
	d := Device{Name: cmp.Or(os.Getenv(envDevice), "emu")}
	d.Small = d.Name == "emu" || os.Getenv(envSmall) != ""
	if d.Name == "emu" {
		d.Driver, d.Blas = emu.New(emu.Options{}), emu.NewBlas
		return d, nil
	}
	number, ok := strings.CutPrefix(d.Name, "cuda:")
	ordinal, err := strconv.Atoi(number)
	if !ok || err != nil {
		return Device{}, fmt.Errorf("%s=%s: must be emu or cuda:N, N being the GPU's number", envDevice, d.Name)
	}
	d.Ordinal, d.Blas = ordinal, openBlas
	d.Driver, err = openDriver()
	return d, err
}

// A mode is a way to compute.
type mode struct {
	types kernels.Precision
	tf32  bool
	own   bool // products by the project's own kernels
	tanh  bool // gelu in its tanh form, which cublasLt has
}

// modes are by the names that --precision of vith has for them; "-own" is without cublasLt, "-tanh" with its GELU,
// "-residual" with a residual stream of the same type.
var modes = map[string]mode{
	"fp16":     {types: fp16},
	"bf16":     {types: bf16},
	"tf32":     {types: kernels.FP32, tf32: true},
	"fp32":     {types: kernels.FP32},
	"fp16-own": {types: fp16, own: true},
	"bf16-own": {types: bf16, own: true},
	"fp32-own": {types: kernels.FP32, own: true},

	"fp16-tanh": {types: fp16, tanh: true},
	"bf16-tanh": {types: bf16, tanh: true},

	"fp16-residual": {types: kernels.Precision{Activation: tensor.F16, Stream: tensor.F16}},
}

var (
	fp16 = kernels.Precision{Activation: tensor.F16, Stream: tensor.F32}
	bf16 = kernels.Precision{Activation: tensor.BF16, Stream: tensor.F32}
)

// A Resident is a program on the device.
type Resident struct {
	Program *kernels.Program
	Runner  kernels.Runner
}

// A keeper is a backend that keeps what is loaded.
type keeper struct {
	*cuda.Backend
	loaded []Resident
}

func (k *keeper) Load(p *kernels.Program) (kernels.Runner, error) {
	r, err := k.Backend.Load(p)
	k.loaded = append(k.loaded, Resident{p, r})
	return r, err
}

// Load makes an engine of a checkpoint, a file or synth:CONFIG/SEED, on the device.
func (d Device) Load(model, precision string, c cuda.Options, v vit.Options) (*vit.Engine, error) {
	e, _, _, err := d.LoadPrograms(model, precision, c, v)
	return e, err
}

// LoadPrograms is Load, and also returns the engine's backend and programs, the largest of each output first.
func (d Device) LoadPrograms(model, precision string, c cuda.Options, v vit.Options) (*vit.Engine, *cuda.Backend, []Resident, error) {
	m, ok := modes[precision]
	if !ok {
		return nil, nil, nil, fmt.Errorf("precision %q: must be one of %s", precision, strings.Join(slices.Sorted(maps.Keys(modes)), ", "))
	}
	checkpoint, err := loader.OpenModel(model)
	if err != nil {
		return nil, nil, nil, err
	}
	defer checkpoint.Close()
	config, _ := checkpoint.Config()
	c.Name, c.TF32, v.Precision, v.TanhGELU = d.Name, m.tf32, m.types, m.tanh
	if !m.own {
		c.Blas = d.Blas
	}
	backend, err := cuda.Open(d.Driver, d.Ordinal, c)
	if err != nil {
		return nil, nil, nil, err
	}
	k := &keeper{Backend: backend}
	engine, err := vit.NewEngine(config, checkpoint, k, v)
	if err != nil {
		backend.Close()
		return nil, nil, nil, err
	}
	return engine, backend, k.loaded, nil
}
