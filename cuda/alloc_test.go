package cuda_test

import (
	"testing"

	"vith/cuda"
	"vith/kernels"
)

// TestPassAllocatesNothing counts the host's allocations in a pass, on a driver that does nothing, and the driver's.
func TestPassAllocatesNothing(t *testing.T) {
	d := &nothing{}
	b, err := cuda.Open(d, 0, cuda.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r := newTowers(kernels.FP32).load(t, b, 2)
	in, out := [][]byte{images(1, 2)}, [][]byte{make([]byte, 2*outputs*4)}
	made := d.made
	n := testing.AllocsPerRun(100, func() {
		wait, err := r.Start(in, out)
		if err == nil {
			err = wait()
		}
		if err != nil {
			t.Error(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations in a pass", n)
	}
	if d.made != made {
		t.Errorf("%d objects of the driver were made in passes", d.made-made)
	}
	if d.launches != 101 { // AllocsPerRun warms up
		t.Errorf("%d graphs were launched", d.launches)
	}
}

// nothing is a driver, and its device, that does nothing and counts.
type nothing struct {
	made     int // objects and allocations
	launches int // of graphs
}

func (d *nothing) handle() uintptr {
	d.made++
	return uintptr(d.made)
}

func (d *nothing) Version() (int, error)                { return 12000, nil }
func (d *nothing) Devices() ([]cuda.DeviceInfo, error)  { return []cuda.DeviceInfo{d.Info()}, nil }
func (d *nothing) Open(int) (cuda.Device, error)        { return d, nil }
func (d *nothing) Info() cuda.DeviceInfo                { return cuda.DeviceInfo{Capability: 80} }
func (d *nothing) SetCurrent() error                    { return nil }
func (d *nothing) Close() error                         { return nil }
func (d *nothing) MemGetInfo() (free, _ int64, _ error) { return 1 << 40, 1 << 40, nil }
func (d *nothing) MemAlloc(int64) (cuda.Ptr, error)     { return cuda.Ptr(d.handle() << 20), nil }
func (d *nothing) MemFree(cuda.Ptr) error               { return nil }
func (d *nothing) MemFreeHost([]byte) error             { return nil }
func (d *nothing) MemHostAlloc(size int) ([]byte, error) {
	d.made++
	return make([]byte, size), nil
}
func (d *nothing) MemcpyHtoDAsync(cuda.Ptr, []byte, cuda.Stream) error      { return nil }
func (d *nothing) MemcpyDtoHAsync([]byte, cuda.Ptr, cuda.Stream) error      { return nil }
func (d *nothing) MemsetD8Async(cuda.Ptr, byte, int64, cuda.Stream) error   { return nil }
func (d *nothing) ModuleLoadData(string) (cuda.Module, error)               { return cuda.Module(d.handle()), nil }
func (d *nothing) ModuleUnload(cuda.Module) error                           { return nil }
func (d *nothing) SetMaxDynamicShared(cuda.Function, int) error             { return nil }
func (d *nothing) StreamCreate() (cuda.Stream, error)                       { return cuda.Stream(d.handle()), nil }
func (d *nothing) StreamDestroy(cuda.Stream) error                          { return nil }
func (d *nothing) StreamSynchronize(cuda.Stream) error                      { return nil }
func (d *nothing) StreamWaitEvent(cuda.Stream, cuda.Event) error            { return nil }
func (d *nothing) EventCreate(bool) (cuda.Event, error)                     { return cuda.Event(d.handle()), nil }
func (d *nothing) EventDestroy(cuda.Event) error                            { return nil }
func (d *nothing) EventRecord(cuda.Event, cuda.Stream) error                { return nil }
func (d *nothing) EventSynchronize(cuda.Event) error                        { return nil }
func (d *nothing) EventElapsedTime(cuda.Event, cuda.Event) (float32, error) { return 1, nil }
func (d *nothing) StreamBeginCapture(cuda.Stream) error                     { return nil }
func (d *nothing) StreamEndCapture(cuda.Stream) (cuda.Graph, error) {
	return cuda.Graph(d.handle()), nil
}
func (d *nothing) GraphDestroy(cuda.Graph) error                                 { return nil }
func (d *nothing) GraphInstantiate(cuda.Graph) (cuda.Exec, error)                { return cuda.Exec(d.handle()), nil }
func (d *nothing) GraphExecDestroy(cuda.Exec) error                              { return nil }
func (d *nothing) GraphUpload(cuda.Exec, cuda.Stream) error                      { return nil }
func (d *nothing) FuncAttributes(cuda.Function) (a cuda.FuncAttributes, _ error) { return a, nil }
func (d *nothing) ModuleGetFunction(cuda.Module, string) (cuda.Function, error) {
	return cuda.Function(d.handle()), nil
}
func (d *nothing) LaunchKernel(cuda.Function, [3]int, [3]int, int, cuda.Stream, []uint64) error {
	return nil
}
func (d *nothing) GraphLaunch(cuda.Exec, cuda.Stream) error {
	d.launches++
	return nil
}
