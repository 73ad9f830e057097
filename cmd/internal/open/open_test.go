package open

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"vith/bench/roofs"
	"vith/kernels/host/simd"
	"vith/vit"
)

// options are those of a small model on the CPU.
func options() Options {
	return Options{Model: "synth:vit-tiny/1", Device: "cpu", Precision: "auto", GELU: "auto", Log: slog.New(slog.DiscardHandler)}
}

func TestLoad(t *testing.T) {
	o := options()
	var last, total int64
	o.Progress = func(d, n int64) { last, total = max(last, d), n }
	o.Threads = 1 // which calls Progress from one goroutine at a time
	m, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Name != "vit-tiny" || !m.Synthetic || m.Precision != "fp32" || m.Preprocess.Size != 56 || !strings.HasPrefix(m.Digest, "sha256:") {
		t.Errorf("%+v", m)
	}
	if !slices.Equal(m.Outputs["pooled"], []int{160}) || !slices.Equal(m.Outputs["projected"], []int{96}) || !slices.Equal(m.Outputs["penultimate"], []int{17, 160}) {
		t.Errorf("outputs %v", m.Outputs)
	}
	if last == 0 || last != total {
		t.Errorf("progress ends at %d of %d bytes", last, total)
	}

	// The digest is the weights', whichever of them an output needs.
	o = options()
	o.Outputs = []vit.Output{vit.Penultimate}
	some, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer some.Close()
	if some.Digest != m.Digest || len(some.Outputs) != 1 {
		t.Errorf("digest %s with outputs %v, want %s", some.Digest, some.Outputs, m.Digest)
	}
}

func TestLoadErrors(t *testing.T) {
	for _, test := range []struct {
		change func(*Options)
		usage  bool
		want   string
	}{
		{func(o *Options) { o.Model = "" }, false, "no model is named"},
		{func(o *Options) { o.Device = "cuda" }, false, "--device cuda"},
		{func(o *Options) { o.Device = "cuda:0,1" }, false, "--device cuda:0,1"},
		{func(o *Options) { o.Device = "MIG-41a2-b" }, false, "--device MIG-41a2-b"},
		{func(o *Options) { o.Device = "emu:sm_30" }, false, "sm_75"},
		{func(o *Options) { o.Device, o.Precision = "emu:sm_75", "bf16" }, false, "fp32, fp16"},
		{func(o *Options) { o.Device, o.Precision = "emu", "fp8" }, false, "tf32"},
		{func(o *Options) { o.Device = "" }, true, "--device"},
		{func(o *Options) { o.Device = "CPU" }, true, "CPU"},
		{func(o *Options) { o.Device = "cuda:" }, true, "cuda:"},
		{func(o *Options) { o.Device = "emu:80" }, true, "emu:80"},
		{func(o *Options) { o.Precision = "fp16" }, false, "fp32, bf16"},
		{func(o *Options) { o.Precision = "half" }, true, "half"},
		{func(o *Options) { o.GELU = "tanh" }, false, "exact"},
		{func(o *Options) { o.Precision, o.GELU = "tf32", "tanh" }, true, "exact"},
		{func(o *Options) { o.Residual = "fp16" }, false, "--residual fp16"},
		{func(o *Options) { o.CPU = "avx" }, true, "VITH_CPU"},
		{func(o *Options) { o.Outputs = []vit.Output{"cls"} }, false, "cls"},
		{func(o *Options) { o.Activation = "relu" }, false, "relu"},
	} {
		o := options()
		test.change(&o)
		m, err := Load(t.Context(), o)
		if err == nil {
			m.Close()
			t.Errorf("%+v is loaded, want an error about %q", o, test.want)
			continue
		}
		if _, usage := errors.AsType[*UsageError](err); usage != test.usage || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v (usage: %v), want %q (usage: %v)", err, usage, test.want, test.usage)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Load(ctx, options()); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled load ends with %v", err)
	}
}

// auto says once that it settles for the CPU, cpu says nothing.
func TestAutoWarns(t *testing.T) {
	for device, lines := range map[string]int{"auto": 1, "cpu": 0} {
		var log bytes.Buffer
		o := options()
		o.Device, o.Log = device, slog.New(slog.NewTextHandler(&log, nil))
		m, err := Load(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
		if got := strings.Count(log.String(), "level=WARN"); got != lines || m.Device != "cpu" {
			t.Errorf("--device %s runs on %s and says %q", device, m.Device, log.String())
		}
	}
}

// Every instruction set of the machine can be asked for, and no other.
func TestDevices(t *testing.T) {
	for _, name := range tiers {
		o := options()
		o.CPU = name
		m, err := Load(t.Context(), o)
		if err == nil {
			m.Close()
		}
		if here := slices.ContainsFunc(simd.Tiers(), func(t *simd.Tier) bool { return t.Name == name }); here != (err == nil) {
			t.Errorf("VITH_CPU=%s: %v", name, err)
		} else if !here && !strings.Contains(err.Error(), "VITH_CPU="+name) {
			t.Errorf("VITH_CPU=%s: %v, want an error that says so", name, err)
		}
	}
	for _, tier := range simd.Tiers() {
		found, err := Devices(tier.Name)
		if err != nil {
			t.Fatal(err)
		}
		if d := found.Devices[0]; found.Auto != "cpu" || d.Tier != tier.Name || len(d.Tiers) != len(simd.Tiers()) || d.Threads < 1 || d.Free > d.Total || d.Name == "" {
			t.Errorf("VITH_CPU=%s: %+v", tier.Name, found)
		}
	}
}

// TestRoof measures the CPU again in every call, and keeps the best.
func TestRoof(t *testing.T) {
	m := load(t, options())
	first, err := m.Roof()
	if err != nil || first.FLOPS <= 0 || first.Bandwidth <= 0 {
		t.Fatal(first, err)
	}
	m.devices[0].best = roofs.Roof{FLOPS: 1, Bandwidth: 1e15}
	second, err := m.Roof()
	if err != nil || second.FLOPS <= 1 || second.Bandwidth != 1e15 {
		t.Errorf("%+v, %v after a bandwidth of 1e15", second, err)
	}
}

// A second start with a packed cache gives the same vectors and digest.
func TestPackedCache(t *testing.T) {
	o := options()
	o.PackedCache = t.TempDir()
	var want []float32
	for i := range 2 {
		m, err := Load(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float32, 160)
		if err := m.Embed(t.Context(), vit.Pooled, 1, make([]byte, m.InBytes()), out); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			want = out
		}
		list, err := os.ReadDir(o.PackedCache)
		if err != nil || len(list) != 2 || !slices.Equal(out, want) { // one of them for the projection
			t.Errorf("start %d: files %v (%v), the same vector: %t", i, list, err, slices.Equal(out, want))
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}
