//go:build cuda && cgo && linux && (amd64 || arm64)

package nvml_test

import (
	"cmp"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vith/cuda"
	"vith/cuda/native/nvml"
)

// library is an NVML with three devices, which differ by the last digit of their UUID: 1 tells everything, 2 only what it
// must, 3 is a MIG instance of 1, 4 fails.
const library = `
#include <string.h>
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned gpu, memory; } utilization;
typedef struct { unsigned pid; unsigned long long used; unsigned gi, ci; } process;
enum { OK, UNINITIALIZED, INVALID, UNSUPPORTED, DENIED, NOT_FOUND = 6, SMALL, LOST = 15 };
static int ready;
int nvmlInit_v2(void) { ready = 1; return OK; }
int nvmlShutdown(void) { ready = 0; return OK; }
const char *nvmlErrorString(int r) { return r == NOT_FOUND ? "Not Found" : r == LOST ? "GPU is lost" : "other"; }
int nvmlSystemGetDriverVersion(char *v, unsigned n) { strcpy(v, "550.163.01"); return ready ? OK : UNINITIALIZED; }
int nvmlDeviceGetHandleByUUID(const char *uuid, long *d) {
	*d = uuid[strlen(uuid) - 1] - '0';
	return *d >= 1 && *d <= 4 ? OK : NOT_FOUND;
}
int nvmlDeviceGetMemoryInfo(long d, memory *m) {
	memory v = {80000000000ull / d, 60000000000ull / d, 20000000000ull / d};
	*m = v;
	return d == 4 ? LOST : OK;
}
int nvmlDeviceGetUtilizationRates(long d, utilization *u) { u->gpu = 42; return d == 1 ? OK : d == 3 ? INVALID : UNSUPPORTED; }
int nvmlDeviceIsMigDeviceHandle(long d, unsigned *mig) { *mig = d == 3; return d == 2 ? UNSUPPORTED : OK; }
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(long d, long *gpu) { *gpu = 1; return OK; }
int nvmlDeviceGetPowerUsage(long d, unsigned *mw) { *mw = 123456; return d == 1 ? OK : UNSUPPORTED; }
int nvmlDeviceGetEnforcedPowerLimit(long d, unsigned *mw) { *mw = 700000; return d == 1 ? OK : DENIED; }
int nvmlDeviceGetTotalEnergyConsumption(long d, unsigned long long *mj) { *mj = 5000000000500ull; return d == 1 ? OK : UNSUPPORTED; }
int nvmlDeviceGetComputeRunningProcesses_v3(long d, unsigned *n, process *p) {
	if (d == 2) return DENIED;
	if (*n < 2) { *n = 2; return SMALL; }
	process one = {17, 1 << 30, -1, -1}, two = {18, ~0ull, -1, -1};
	p[0] = one, p[1] = two, *n = 2;
	return OK;
}
`

func TestMonitor(t *testing.T) {
	if _, err := nvml.Open("libnvidia-nowhere.so"); !errors.Is(err, nvml.ErrNoLibrary) || !strings.Contains(err.Error(), "libnvidia-nowhere.so") {
		t.Errorf("without a library: %v", err)
	}
	m, err := nvml.Open(build(t))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := m.DriverVersion(); v != "550.163.01" || err != nil {
		t.Errorf("driver %q, %v", v, err)
	}
	nan := math.NaN()
	both := []cuda.Process{{PID: 17, Memory: 1 << 30}, {PID: 18, Memory: -1}}
	for uuid, want := range map[string]cuda.Usage{
		"GPU-1": {Total: 80e9, Free: 60e9, Used: 20e9, Processes: both, Utilization: 0.42, Power: 123.456, PowerLimit: 700, Energy: 5000000000.5},
		"GPU-2": {Total: 40e9, Free: 30e9, Used: 10e9, Utilization: nan, Power: nan, PowerLimit: nan, Energy: nan},
		"MIG-3": {Total: 26666666666, Free: 20e9, Used: 6666666666, Processes: both, Utilization: nan, Power: 123.456, PowerLimit: 700, Energy: 5000000000.5},
	} {
		got, err := m.Usage(uuid)
		if err != nil || !equal(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", uuid, got, err, want)
		}
	}
	for uuid, why := range map[string]string{"GPU-4": "GPU is lost", "GPU-9": "Not Found"} {
		if _, err := m.Usage(uuid); err == nil || !strings.Contains(err.Error(), uuid) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", uuid, err, why)
		}
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

func equal(a, b cuda.Usage) bool {
	same := a.Total == b.Total && a.Used == b.Used && a.Free == b.Free && len(a.Processes) == len(b.Processes)
	for i := 0; same && i < len(a.Processes); i++ {
		same = a.Processes[i] == b.Processes[i]
	}
	for _, x := range [][2]float64{{a.Utilization, b.Utilization}, {a.Power, b.Power}, {a.PowerLimit, b.PowerLimit}, {a.Energy, b.Energy}} {
		same = same && math.Float64bits(x[0]) == math.Float64bits(x[1])
	}
	return same
}

// build compiles the library.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c, so := filepath.Join(dir, "nvml.c"), filepath.Join(dir, "libnvidia-ml.so.1")
	if err := os.WriteFile(c, []byte(library), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cmp.Or(os.Getenv("CC"), "gcc"), "-shared", "-fPIC", "-o", so, c).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return so
}
