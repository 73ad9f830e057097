package open

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"vith/cuda"
	"vith/cuda/emu"
	"vith/kernels"
	"vith/kernels/ptx"
	"vith/kernels/tensor"
	"vith/vit"
)

// emulate puts emulated GPUs in place of the machine's.
func emulate(t *testing.T, o emu.Options, m cuda.Monitor) *emu.Driver {
	t.Helper()
	driver, before := emu.New(o), Machine
	Machine = func() (*GPUs, error) {
		return &GPUs{Driver: driver, Blas: emu.NewBlas, Monitor: m, NoMonitor: errors.New("no NVML")}, nil
	}
	t.Cleanup(func() {
		Machine = before
		if err := driver.Leaks(); err != nil {
			t.Error(err)
		}
	})
	return driver
}

// two are GPUs of one kind.
var two = []ptx.Target{ptx.SM80, ptx.SM80}

// onGPU are options of a small model that gives pooled vectors of one image at a time, and what is logged.
func onGPU(device string) (Options, *bytes.Buffer) {
	var log bytes.Buffer
	o := options()
	o.Device, o.Precision, o.MaxBatch, o.Outputs = device, "fp32", 1, []vit.Output{vit.Pooled}
	o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return o, &log
}

func load(t *testing.T, o Options) *Model {
	t.Helper()
	m, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// picture is a prepared image.
func picture(m *Model, seed byte) []byte {
	in := make([]byte, m.InBytes())
	for i := range in {
		in[i] = byte(i*i/97) ^ seed
	}
	return in
}

// vectors embeds n images.
func vectors(t *testing.T, m *Model, n int) []float32 {
	t.Helper()
	var in []byte
	for i := range n {
		in = append(in, picture(m, byte(31*i))...)
	}
	out := make([]float32, n*m.Outputs["pooled"][0])
	if err := m.Embed(t.Context(), vit.Pooled, n, in, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPick finds the GPUs that a device string names.
func TestPick(t *testing.T) {
	list, err := emu.New(emu.Options{Targets: []ptx.Target{ptx.SM80, ptx.SM86, ptx.SM75}}).Devices()
	if err != nil {
		t.Fatal(err)
	}
	for device, want := range map[string][]int{
		"auto": {0, 1, 2}, "cuda": {0, 1, 2}, "cuda:0,2": {0, 2}, "cuda:2,1": {2, 1}, "cuda:1": {1}, "GPU-00000000-0000-0000-0000-000000000002": {2},
	} {
		chosen, err := Options{Device: device}.pick(list)
		var got []int
		for _, d := range chosen {
			got = append(got, d.Ordinal)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("--device %s takes %v, %v; want %v", device, got, err, want)
		}
	}
}

// TestGPUs embeds images on several GPUs and on one, and compares their vectors with the CPU's, in order.
func TestGPUs(t *testing.T) {
	cpu, _ := onGPU("cpu")
	want := vectors(t, load(t, cpu), 5)
	emulate(t, emu.Options{Targets: []ptx.Target{ptx.SM80, ptx.SM86, ptx.SM75}}, nil)
	for _, c := range []struct{ device, want string }{
		{"auto", "cuda:0,1,2"}, {"GPU-00000000-0000-0000-0000-000000000002", "cuda:2"},
	} {
		o, log := onGPU(c.device)
		m, err := Load(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		got := vectors(t, m, 5)
		for i := range 5 {
			a := slices.Collect(func(yield func(float64) bool) {
				for _, x := range want[i*160:][:160] {
					yield(float64(x))
				}
			})
			if e := tensor.RelativeL2(got[i*160:][:160], a); !(e < 5e-5) {
				t.Errorf("--device %s: vector %d is off by %.2g", c.device, i, e)
			}
		}
		states := m.States()
		if m.Device != c.want || m.Depth() != 2*len(states) || m.Precision != "fp32" || m.GELU != "exact" {
			t.Errorf("--device %s: %s in %s, %d in flight, gelu %s; want %s", c.device, m.Device, m.Precision, m.Depth(), m.GELU, c.want)
		}
		for _, s := range states {
			if s.Err != nil || s.Memory.Weights == 0 || s.Memory.Arena == 0 || s.Memory.Total == 0 || !strings.HasPrefix(s.UUID, "GPU-") || !strings.HasPrefix(s.Name, "Emulated") {
				t.Errorf("--device %s: %+v", c.device, s)
			}
		}
		if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "no NVML") {
			t.Errorf("--device %s says %q", c.device, log)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestUnusableGPUs has GPUs that are too old, or that lack the precision.
func TestUnusableGPUs(t *testing.T) {
	const old = ptx.Target(70)
	for _, c := range []struct {
		targets           []ptx.Target
		device, precision string
		runs, says        string // on what it runs, or else the error
	}{
		{[]ptx.Target{ptx.SM80, old, ptx.SM80}, "cuda", "auto", "cuda:0,2", `level=WARN msg="a GPU is left out" gpu="cuda:1 (Emulated sm_70)" reason="cuda:1: Emulated sm_70 has compute capability 7.0, 7.5 is needed`},
		{[]ptx.Target{ptx.SM80, old}, "auto", "auto", "cuda:0", "7.5 is needed"},
		{[]ptx.Target{ptx.SM80, old}, "cuda:0,1", "auto", "", "7.5 is needed"},
		{[]ptx.Target{ptx.SM75, ptx.SM80}, "cuda", "bf16", "cuda:1", "--precision bf16: cuda:0 (Emulated sm_75) has auto and fp32, fp16"},
		{[]ptx.Target{ptx.SM75, ptx.SM80}, "cuda:0", "bf16", "", "--precision bf16"},
		{[]ptx.Target{ptx.SM75}, "auto", "bf16", "", "--precision bf16"},
		{[]ptx.Target{old, old}, "cuda", "auto", "", "7.5 is needed"},
		{[]ptx.Target{old}, "auto", "auto", "cpu", `running on the CPU`},
		{[]ptx.Target{}, "auto", "auto", "cpu", "the driver shows no GPU"},
		{[]ptx.Target{}, "cuda", "auto", "", "the driver shows no GPU; --device cpu does without"},
		{two, "cuda:0,7", "auto", "", "no such GPU as 7; there are: cuda:0 Emulated sm_80 GPU-00000000-0000-0000-0000-000000000000; cuda:1"},
		{two, "cuda:1,0,1", "auto", "", "names a GPU twice"},
	} {
		emulate(t, emu.Options{Targets: c.targets}, nil)
		o, log := onGPU(c.device)
		o.Precision = c.precision
		m, err := Load(t.Context(), o)
		if err == nil {
			if m.Device != c.runs || !strings.Contains(log.String(), c.says) {
				t.Errorf("--device %s of %v runs on %s, want %s; it says %s", c.device, c.targets, m.Device, c.runs, log)
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		} else if c.runs != "" || !strings.Contains(err.Error(), c.says) {
			t.Errorf("--device %s of %v: %v, want %q", c.device, c.targets, err, c.says)
		}
	}
	emulate(t, emu.Options{Targets: []ptx.Target{ptx.SM80, ptx.SM86}}, nil)
	o, _ := onGPU("cuda")
	o.Deterministic = true
	if _, err := Load(t.Context(), o); err == nil || !strings.Contains(err.Error(), "different bits") {
		t.Errorf("--deterministic on GPUs of two kinds: %v", err)
	}
}

// A batch is halved until it fits.
func TestMemory(t *testing.T) {
	o, log := onGPU("cuda")
	emulate(t, emu.Options{}, nil)
	one := held(load(t, o).States()[0].Memory)
	emulate(t, emu.Options{}, nil)
	o.MaxBatch = 4
	all := held(load(t, o).States()[0].Memory)
	if all <= one {
		t.Fatalf("a batch of 4 takes %d bytes, of 1 %d", all, one)
	}
	log.Reset()
	for _, c := range []struct {
		name           string
		device, limit  int64 // bytes
		told           int64 // free, by the monitor
		batch, warning int   // 0: does not fit
	}{
		{"a small GPU", (one + all) / 2, 0, 0, 2, 1},
		{"a low limit", 0, one + (all-one)/10, 0, 1, 2},
		{"others have memory", 0, 0, (one + all) / 2, 2, 1},
		{"too low a limit", 0, one / 2, 0, 0, 2},
	} {
		var monitor cuda.Monitor
		if c.told > 0 {
			monitor = &fakeMonitor{usage: cuda.Usage{Total: 16 << 30, Used: 16<<30 - c.told, Free: c.told}}
		}
		o.Memory = c.limit
		log.Reset()
		emulate(t, emu.Options{Memory: c.device}, monitor)
		m, err := Load(t.Context(), o)
		if n := strings.Count(log.String(), "the batch does not fit and is halved"); n != c.warning {
			t.Errorf("%s: %d warnings, want %d:\n%s", c.name, n, c.warning, log)
		}
		if c.batch == 0 {
			if !errors.Is(err, cuda.ErrOutOfMemory) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if m.MaxBatch() != c.batch {
			t.Errorf("%s: batches of %d, want %d", c.name, m.MaxBatch(), c.batch)
		}
		if n := held(m.States()[0].Memory); c.limit > 0 && n > c.limit {
			t.Errorf("%s: %d bytes are held of %d", c.name, n, c.limit)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	emulate(t, emu.Options{Memory: (one + all) / 2}, nil)
	o.Deterministic, o.Memory = true, 0
	if _, err := Load(t.Context(), o); !errors.Is(err, cuda.ErrOutOfMemory) {
		t.Errorf("--deterministic in too little memory: %v", err)
	}
	o.Device, o.Deterministic, o.Memory = "cpu", false, 1
	log.Reset()
	load(t, o)
	if !strings.Contains(log.String(), "--memory-limit") {
		t.Errorf("a limit on the CPU says %q", log)
	}
}

// TestLostGPUs loses one GPU after the other.
func TestLostGPUs(t *testing.T) {
	driver := emulate(t, emu.Options{Targets: two}, nil)
	o, _ := onGPU("cuda")
	var mu sync.Mutex
	var lost []State
	o.Lost = func(s State) {
		mu.Lock()
		defer mu.Unlock()
		lost = append(lost, s)
	}
	m := load(t, o)
	want := vectors(t, m, 4)
	driver.Lose(1, cuda.ErrIllegalAddress)
	if got := vectors(t, m, 4); !slices.Equal(got, want) {
		t.Error("other vectors as a GPU is lost")
	}
	if len(lost) != 1 || lost[0].ID != "cuda:1" || !errors.Is(lost[0].Err, cuda.ErrIllegalAddress) || !errors.Is(lost[0].Err, cuda.ErrDown) {
		t.Errorf("lost %+v", lost)
	}
	if s := m.States(); s[0].Err != nil || s[1].Err == nil || s[1].Memory.Total == 0 || s[1].Memory.Weights == 0 {
		t.Errorf("states %+v", s)
	}
	vectors(t, m, 4)
	driver.Lose(0, cuda.ErrLaunchFailed)
	if err := m.Embed(t.Context(), vit.Pooled, 1, picture(m, 0), make([]float32, 160)); !errors.Is(err, kernels.ErrDown) {
		t.Errorf("with all GPUs lost: %v", err)
	}
	<-m.Down()
	if len(lost) != 2 {
		t.Errorf("lost %+v", lost)
	}
}

// A hangingGPU does not answer until it is released.
type hangingGPU struct {
	kernels.Backend
	asked    atomic.Int32
	released chan struct{}
}

func (h *hangingGPU) Memory() kernels.Memory {
	h.asked.Add(1)
	<-h.released
	return h.Backend.Memory()
}

// TestSilentGPU has one of two GPUs hang: the other is told of as it is, that one as it was, and it is not asked twice.
func TestSilentGPU(t *testing.T) {
	emulate(t, emu.Options{Targets: two}, nil)
	o, _ := onGPU("cuda")
	m := load(t, o)
	before := m.States()
	h := &hangingGPU{Backend: m.devices[1].Backend, released: make(chan struct{})}
	m.devices[1].Backend = h
	for range 2 {
		s := m.States()
		if s[0].Err != nil || s[0].Memory != before[0].Memory {
			t.Errorf("beside a silent GPU: %+v", s[0])
		}
		if !errors.Is(s[1].Err, ErrSilent) || s[1].ID != "cuda:1" || s[1].Memory != before[1].Memory {
			t.Errorf("silent: %+v", s[1])
		}
	}
	if n := h.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want 1", n)
	}
	close(h.released)
	if s := m.States(); s[1].Err != nil || s[1].Memory != before[1].Memory {
		t.Errorf("answers again: %+v", s[1])
	}
}

// A fakeMonitor tells the same of every GPU.
type fakeMonitor struct {
	mu    sync.Mutex
	usage cuda.Usage
	err   error
}

func (f *fakeMonitor) DriverVersion() (string, error) { return "580.1", f.err }
func (f *fakeMonitor) Close() error                   { return nil }

func (f *fakeMonitor) Usage(uuid string) (cuda.Usage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !strings.HasPrefix(uuid, "GPU-00000000-") {
		return cuda.Usage{}, errors.New("no such GPU")
	}
	return f.usage, f.err
}

// TestMonitor has States and Devices tell what the monitor does.
func TestMonitor(t *testing.T) {
	const mib = 1 << 20
	f := &fakeMonitor{usage: cuda.Usage{Total: 1000 * mib, Used: 100 * mib, Free: 900 * mib, Utilization: math.NaN(), Power: 70, PowerLimit: math.NaN(), Energy: 5}}
	emulate(t, emu.Options{}, f)
	o, log := onGPU("cuda:0")
	m := load(t, o)
	state := func() State { return m.States()[0] }
	ours := held(state().Memory)
	now := func(used int64, processes ...cuda.Process) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.usage.Used, f.usage.Free, f.usage.Processes = used, f.usage.Total-used, processes
	}
	check := func(what string, context, other, free int64) {
		t.Helper()
		s := state()
		if s.Context != context || s.Other != other || s.Memory.Free != free || s.Memory.Total != 1000*mib {
			t.Errorf("%s: context %d, other %d, free %d of %d; want %d, %d, %d", what, s.Context, s.Other, s.Memory.Free, s.Memory.Total, context, other, free)
		}
	}
	now(400*mib, cuda.Process{PID: os.Getpid(), Memory: 250 * mib}, cuda.Process{PID: 1, Memory: 100 * mib})
	check("our process is known", 250*mib-ours, 150*mib, 600*mib)
	now(400*mib, cuda.Process{PID: os.Getpid(), Memory: -1})
	check("its memory is not", 0, 400*mib-ours, 600*mib)
	if s := state(); s.Power != 70 || s.PowerLimit != 0 || s.Energy != 5 || s.Driver != "580.1" || s.Load != 0 {
		t.Errorf("%+v", s)
	}
	m.devices[0].gpu.before = 400*mib - ours - 30*mib // as if the load had taken that much
	m.devices[0].gpu.noteContext(ours)
	check("measured at the load", 30*mib, 400*mib-ours-30*mib, 600*mib)

	f.usage.Utilization = 0.25
	if s := state(); s.Load != 0.25 {
		t.Errorf("load %g, the monitor says 0.25", s.Load)
	}
	f.err = errors.New("GPU is lost")
	f.usage = cuda.Usage{}
	for range 2 {
		check("the monitor fails", 30*mib, 400*mib-ours-30*mib, 600*mib)
	}
	if n := strings.Count(log.String(), "GPU is lost"); n != 1 {
		t.Errorf("%d warnings of the monitor:\n%s", n, log)
	}

	f.err, f.usage = nil, cuda.Usage{Free: 600 * mib, Processes: []cuda.Process{{PID: 7, Memory: 5}}}
	found, err := Devices("")
	if err != nil {
		t.Fatal(err)
	}
	if d := found.Devices[0]; found.Auto != "cuda:0" || found.Driver != "580.1" || found.NoMonitor != "" || d.Free != 600*mib || len(d.Processes) != 1 || d.ID != "cuda:0" {
		t.Errorf("%+v", found)
	}
	f.err = errors.New("GPU is lost")
	if found, err := Devices(""); err != nil || found.NoMonitor != "GPU is lost" || len(found.Devices) != 2 {
		t.Errorf("%+v, %v", found, err)
	}
}

// TestChoicesFile loads a model again and again and counts the products that the emulated cublasLt is asked for.
func TestChoicesFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vith", "products.jsonl")
	o, log := onGPU("cuda")
	o.Precision = "fp16"
	run := func() (products int) {
		t.Helper()
		log.Reset()
		var mu sync.Mutex
		emulate(t, emu.Options{Trace: func(_ cuda.Stream, work string) {
			mu.Lock()
			defer mu.Unlock()
			if strings.HasPrefix(work, "product") {
				products++
			}
		}}, &fakeMonitor{usage: cuda.Usage{Free: 1 << 30}})
		m, err := Load(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		return products
	}
	none := run()
	o.Choices = file
	first, second := run(), run()
	if first != none || second >= first/2 {
		t.Errorf("%d products without a file, %d as it is made, %d with it", none, first, second)
	}
	text, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(text, []byte("Emulated sm_80")) {
		t.Errorf("the file is %q, %v", text, err)
	}
	o.Deterministic = true
	if n := run(); n == second {
		t.Error("--deterministic uses the file")
	}
	o.Deterministic = false
	if err := os.WriteFile(file, text[:len(text)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	if n := run(); n != first || !strings.Contains(log.String(), "cannot be read") || !strings.Contains(log.String(), file) {
		t.Errorf("a damaged file: %d products, %q", n, log)
	}
	if n := run(); n != second || log.Len() > 0 {
		t.Errorf("after a damaged file: %d products, %q", n, log)
	}
	if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 1 {
		t.Errorf("files left behind: %v", left)
	}
	o.Choices = filepath.Join(file, "below") // a file is no folder
	if n := run(); n != first || !strings.Contains(log.String(), "cannot be kept") {
		t.Errorf("a file that cannot be written: %d products, %q", n, log)
	}
}

// TestCancelGPUs stops loading onto several GPUs.
func TestCancelGPUs(t *testing.T) {
	emulate(t, emu.Options{Targets: two}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o, log := onGPU("cuda")
	if _, err := Load(ctx, o); !errors.Is(err, context.Canceled) || strings.Contains(log.String(), "left out") {
		t.Errorf("cancelled: %v, %q", err, log)
	}
}
