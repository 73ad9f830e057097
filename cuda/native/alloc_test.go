//go:build cuda && cgo && linux && (amd64 || arm64)

package native

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"vith/cuda"
	"vith/cuda/native/internal/shim"
)

// idle is a driver that does nothing, so that only this package's allocations count.
const idle = `
#include <stdlib.h>
#include <string.h>
#define DOES_NOTHING(name) int name() { return 0; }
#define MAKES(name) int name(void **handle) { static char place[256]; static int n; *handle = place + ++n; return 0; }
DOES_NOTHING(cuInit)
int cuDriverGetVersion(int *v) { *v = 12040; return 0; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d) { *d = 0; return 0; }
int cuDeviceGetName(char *s) { strcpy(s, "idle"); return 0; }
int cuDeviceGetUuid(char *u) { memset(u, 0, 16); return 0; }
int cuDeviceGetAttribute(int *v) { *v = 1; return 0; }
int cuDeviceTotalMem_v2(size_t *n) { *n = 1 << 30; return 0; }
static void *context = "context";
int cuDevicePrimaryCtxRetain(void **c) { *c = context; return 0; }
int cuCtxGetCurrent(void **c) { *c = context; return 0; }
DOES_NOTHING(cuCtxSetCurrent) DOES_NOTHING(cuCtxSynchronize) DOES_NOTHING(cuDevicePrimaryCtxRelease_v2)
int cuMemHostAlloc(void **p, size_t n) { *p = malloc(n); return 0; }
int cuMemFreeHost(void *p) { free(p); return 0; }
MAKES(cuModuleLoadDataEx) MAKES(cuModuleGetFunction)
MAKES(cuStreamCreate) MAKES(cuEventCreate) MAKES(cuGraphInstantiateWithFlags)
int cuStreamEndCapture(void *s, void **g) { *g = "graph"; return 0; }
DOES_NOTHING(cuMemcpyHtoDAsync_v2) DOES_NOTHING(cuMemcpyDtoHAsync_v2) DOES_NOTHING(cuMemsetD8Async)
DOES_NOTHING(cuLaunchKernel) DOES_NOTHING(cuStreamSynchronize) DOES_NOTHING(cuStreamWaitEvent) DOES_NOTHING(cuStreamBeginCapture_v2)
DOES_NOTHING(cuEventRecord) DOES_NOTHING(cuEventSynchronize) DOES_NOTHING(cuGraphLaunch)
`

// An idleBench is a device of the idle driver, with one of everything.
type idleBench struct {
	cuda.Device
	stream cuda.Stream
	event  cuda.Event
	f      cuda.Function
	exec   cuda.Exec
	host   []byte
	params []uint64
}

func startIdle(t testing.TB) *idleBench {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	c, so := filepath.Join(dir, "idle.c"), filepath.Join(dir, "libcuda.so.1")
	must(os.WriteFile(c, []byte(idle), 0o600))
	if out, err := gcc("-w", "-O2", "-shared", "-fPIC", "-o", so, c); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	driver, err := Open(so)
	must(err)
	t.Cleanup(shim.Unbind)
	b := &idleBench{params: make([]uint64, 8)}
	b.Device, err = driver.Open(0)
	must(err)
	must(b.SetCurrent())
	b.stream, err = b.StreamCreate()
	must(err)
	b.event, err = b.EventCreate(false)
	must(err)
	m, err := b.ModuleLoadData("")
	must(err)
	b.f, err = b.ModuleGetFunction(m, "f")
	must(err)
	must(b.StreamBeginCapture(b.stream))
	g, err := b.StreamEndCapture(b.stream)
	must(err)
	b.exec, err = b.GraphInstantiate(g)
	must(err)
	b.host, err = b.MemHostAlloc(1 << 20)
	must(err)
	return b
}

// calls are those that a backend makes for every batch.
func (b *idleBench) calls() map[string]func() error {
	return map[string]func() error{
		"SetCurrent":        b.SetCurrent,
		"MemcpyHtoDAsync":   func() error { return b.MemcpyHtoDAsync(256, b.host[100:], b.stream) },
		"MemcpyDtoHAsync":   func() error { return b.MemcpyDtoHAsync(b.host, 256, b.stream) },
		"MemsetD8Async":     func() error { return b.MemsetD8Async(256, 0, 16, b.stream) },
		"LaunchKernel":      func() error { return b.LaunchKernel(b.f, [3]int{9, 1, 1}, [3]int{128, 1, 1}, 0, b.stream, b.params) },
		"GraphLaunch":       func() error { return b.GraphLaunch(b.exec, b.stream) },
		"EventRecord":       func() error { return b.EventRecord(b.event, b.stream) },
		"EventSynchronize":  func() error { return b.EventSynchronize(b.event) },
		"StreamWaitEvent":   func() error { return b.StreamWaitEvent(b.stream, b.event) },
		"StreamSynchronize": func() error { return b.StreamSynchronize(b.stream) },
	}
}

// The calls of a batch allocate nothing in Go.
func TestAllocations(t *testing.T) {
	for name, call := range startIdle(t).calls() {
		n := testing.AllocsPerRun(100, func() {
			if err := call(); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

// What a call costs before the driver has it.
func BenchmarkCalls(b *testing.B) {
	for name, call := range startIdle(b).calls() {
		b.Run(name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for b.Loop() {
				if err := call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func gcc(args ...string) ([]byte, error) {
	return exec.Command(cmp.Or(os.Getenv("CC"), "gcc"), args...).CombinedOutput()
}
