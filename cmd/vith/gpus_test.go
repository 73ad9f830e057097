package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"vith/cmd/internal/open"
	"vith/cuda"
	"vith/cuda/emu"
	"vith/kernels/ptx"
	"vith/kernels/tensor"
	"vith/server"
)

// TestDescribe tells apart what does not answer and what is lost.
func TestDescribe(t *testing.T) {
	for want, err := range map[string]error{
		server.DeviceOK: nil, server.DeviceSilent: open.ErrSilent, server.DeviceDown: cuda.ErrIllegalAddress,
	} {
		d := describe(open.State{ID: "cuda:0", Err: err})
		if d.State != want || d.ID != "cuda:0" || (d.Error == "") != (err == nil) {
			t.Errorf("%v gives %+v, want %s", err, d, want)
		}
	}
}

// withGPUs in the environment is a number of emulated GPUs that vith finds in place of the machine's. At each SIGUSR1 one
// of them is lost, from the last to the first.
const withGPUs = "TEST_GPUS"

// emulateGPUs does what withGPUs says.
func emulateGPUs() {
	n, _ := strconv.Atoi(os.Getenv(withGPUs))
	if n == 0 {
		return
	}
	var targets []ptx.Target
	for range n {
		targets = append(targets, ptx.SM80)
	}
	driver := emu.New(emu.Options{Targets: targets})
	open.Machine = func() (*open.GPUs, error) {
		return &open.GPUs{Driver: driver, Blas: emu.NewBlas, Monitor: idle{}}, nil
	}
	lose := make(chan os.Signal, n)
	signal.Notify(lose, syscall.SIGUSR1)
	go func() {
		for range lose {
			n--
			driver.Lose(n, cuda.ErrIllegalAddress)
		}
	}()
}

// idle is the monitor of GPUs that nobody else uses.
type idle struct{}

func (idle) DriverVersion() (string, error) { return "580.65.06", nil }
func (idle) Close() error                   { return nil }

func (idle) Usage(uuid string) (cuda.Usage, error) {
	const mib = 1 << 20
	return cuda.Usage{
		Total: 1000 * mib, Used: 300 * mib, Free: 700 * mib, Processes: []cuda.Process{{PID: os.Getpid(), Memory: 200 * mib}},
		Utilization: 0.5, Power: 70, PowerLimit: 300, Energy: 1000,
	}, nil
}

// gpus is the environment of vith with two GPUs, and its folder for caches.
func gpus(t *testing.T) (env []string, cache string) {
	cache = t.TempDir()
	return []string{withGPUs + "=2", "XDG_CACHE_HOME=" + cache}, cache
}

// near reports whether two embeddings are as near as fp16 and fp32 must be.
func near(a, b []float32) bool {
	exact := make([]float64, len(b))
	for i, x := range b {
		exact[i] = float64(x)
	}
	return len(a) == len(b) && tensor.RelativeL2(a, exact) < 5e-3
}

// Several batches on two GPUs come out in order, and the algorithms that were chosen are kept for the next time.
func TestEmbedOnGPUs(t *testing.T) {
	env, cache := gpus(t)
	images := []string{photos + "coffee_120x80.bmp", photos + "chelsea_224x224_420.jpg", bad + "text.jpg", photos + "coffee_300x200_1bit.png", photos + "coffee_240x160.gif"}
	onCPU := vith(t, append([]string{"embed", "--device", "cpu", "--model", tiny}, images...)...)
	r := finish(t, command(t, env, append([]string{"embed", "--model", tiny, "--batch", "1"}, images...)...))
	if r.code != exitFailed {
		t.Fatalf("exit %d, %s", r.code, r.stderr)
	}
	got, want := parse(t, r.stdout), parse(t, onCPU.stdout)
	if got.Device != "cuda:0,1" || got.Precision != "fp16" || len(got.Data) != len(images) {
		t.Fatalf("%d images on %s in %s", len(got.Data), got.Device, got.Precision)
	}
	for i, d := range got.Data {
		if (d.Error == nil) != (i != 2) || i != 2 && !near(d.Embedding, want.Data[i].Embedding) {
			t.Errorf("image %d: %v", i, d.Error)
		}
	}
	if _, err := os.Stat(filepath.Join(cache, "vith", "cublaslt.jsonl")); err != nil {
		t.Error(err)
	}
}

func TestDevicesShowsGPUs(t *testing.T) {
	env, _ := gpus(t)
	r := finish(t, command(t, env, "devices"))
	for _, want := range []string{"auto takes", "cuda:0,1", "580.65.06", "700 MiB free of 16384 MiB", "used by process", "200 MiB", "GPU-00000000-0000-0000-0000-000000000001"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("devices does not say %s:\n%s", want, r.stdout)
		}
	}
	r = finish(t, command(t, env, "devices", "--json"))
	if r.code != 0 || !strings.Contains(r.stdout, `"auto":"cuda:0,1"`) || !strings.Contains(r.stdout, `"memory_bytes":209715200`) {
		t.Errorf("exit %d, %s", r.code, r.stdout)
	}
}

// TestServeLosesGPUs serves on two GPUs, and loses one after the other.
func TestServeLosesGPUs(t *testing.T) {
	env, _ := gpus(t)
	s := serveIn(t, env, "--device", "cuda", "--gelu", "exact", "--max-batch", "1", "--memory-limit", "400MiB", "--output", "projected")
	image := readFile(t, photos+"coffee_120x80.bmp")
	embed := func() int {
		status, _ := s.post(t, "/api/embed", nil, image)
		return status
	}
	get := func(path string) (status int, body string) {
		res, err := http.Get(s.url + path)
		if err != nil {
			return 0, ""
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(text)
	}
	type device struct{ ID, UUID, Driver, State, Error string }
	states := func() (list []device) {
		var answer struct{ Devices []device }
		_, body := get("/api/devices")
		if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Devices) != 2 {
			t.Fatalf("/api/devices: %v in %s", err, body)
		}
		return answer.Devices
	}
	if status := embed(); status != 200 {
		t.Fatalf("status %d", status)
	}
	if d := states()[1]; d.ID != "cuda:1" || d.State != "ok" || d.Error != "" || d.Driver != "580.65.06" {
		t.Errorf("%+v", d)
	}
	if _, info := get("/api/info"); !strings.Contains(info, `"device":"cuda:0,1"`) || !strings.Contains(info, `"gelu":"exact"`) || !strings.Contains(info, `"max_batch":1`) {
		t.Errorf("/api/info says %s", info)
	}
	uuid := states()[1].UUID
	wantMetrics := func(want ...string) {
		t.Helper()
		_, metrics := get("/metrics")
		for _, line := range want {
			if !strings.Contains(metrics, line+"\n") {
				t.Errorf("the metrics do not say %s", line)
			}
		}
	}
	wantMetrics(`nv_gpu_utilization{gpu_uuid="`+uuid+`"} 0.5`, `nv_gpu_power_usage{gpu_uuid="`+uuid+`"} 70`,
		`vith_device_up{gpu_uuid="`+uuid+`"} 1`, `vith_device_memory_bytes{gpu_uuid="`+uuid+`",kind="other"} 1.048576e+08`)

	s.cmd.Process.Signal(syscall.SIGUSR1)
	for states()[1].State == "ok" {
		if status := embed(); status != 200 {
			t.Fatalf("status %d while a GPU is lost", status)
		}
	}
	if list := states(); list[0].State != "ok" || list[1].State != "down" || !strings.Contains(list[1].Error, "CUDA_ERROR_ILLEGAL_ADDRESS") {
		t.Errorf("%+v", list)
	}
	wantMetrics(`vith_device_up{gpu_uuid="`+uuid+`"} 0`, `vith_device_up{gpu_uuid="`+states()[0].UUID+`"} 1`)
	if status, body := get("/health/ready"); status != 200 || embed() != 200 {
		t.Errorf("with one GPU left: %d %s", status, body)
	}

	hold := s.half(t, image) // keeps the server from ending before it was looked at
	s.cmd.Process.Signal(syscall.SIGUSR1)
	for status := 200; status == 200; {
		status = embed()
	}
	if status, body := get("/health/ready"); status != 503 {
		t.Errorf("without a GPU: %d %s", status, body)
	}
	if res, err := hold(); err != nil || res.StatusCode != 503 {
		t.Errorf("the request under way gets %v, %v", res, err)
	}
	code, logs := s.wait()
	if code != exitUnusable || strings.Count(logs, "a device failed and gets no more work") != 2 || !strings.Contains(logs, "no device is left") || !strings.Contains(logs, "ILLEGAL_ADDRESS") {
		t.Errorf("exit %d\n%s", code, logs)
	}
}
