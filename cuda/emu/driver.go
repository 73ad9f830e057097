package emu

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"vith/cuda"
	"vith/kernels/ptx"
	"vith/kernels/ptxsim"
)

// Options choose what a Driver pretends. The zero value is one A100 with 16 GiB that runs its work at once.
type Options struct {
	Targets []ptx.Target // of the devices; nil: one sm_80
	Version int          // of CUDA, as cuda.Driver.Version gives it; 0: 12040
	Memory  int64        // bytes of each device; 0: 16 GiB

	Lazy         bool   // work runs only when the host waits for it
	Seed         uint64 // of the order of work, of warps, and of the errors of approximate instructions
	Accumulation ptxsim.Accumulation
	Workers      int // goroutines of a launch; 0: GOMAXPROCS

	// FailCall is the number, counted from 1, of the call of the driver, a device or a Blas that fails with FailStatus.
	// A call that frees or destroys something does so nevertheless.
	FailCall   int64
	FailStatus cuda.Status

	// Trace, if not nil, is told of each piece of work before it runs, for instance "kernel add_f32". Work given
	// meanwhile is queued.
	Trace func(s cuda.Stream, work string)
}

// A Driver is an emulated driver.
type Driver struct {
	options Options
	calls   atomic.Int64

	mu      sync.Mutex
	open    map[int]*Device // by ordinal
	current map[int]*Device // by OS thread
	leaks   []error
}

var _ cuda.Driver = (*Driver)(nil)

// New returns a driver.
func New(o Options) *Driver {
	if o.Targets == nil {
		o.Targets = []ptx.Target{ptx.SM80}
	}
	if o.Version == 0 {
		o.Version = 12040
	}
	if o.Memory == 0 {
		o.Memory = 16 << 30
	}
	return &Driver{options: o, open: map[int]*Device{}, current: map[int]*Device{}}
}

// Calls is how many calls there were so far.
func (d *Driver) Calls() int64 { return d.calls.Load() }

// Lose ends the context of an open device, as a fault of its work with that status would: its calls fail from now on.
func (d *Driver) Lose(ordinal int, s cuda.Status) {
	d.mu.Lock()
	v := d.open[ordinal]
	d.mu.Unlock()
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failed(&cuda.CallError{Call: "work", Detail: "(lost by choice)", Status: s})
}

// Leaks are the objects that were alive when their device was closed, unless its context was lost, and the devices that
// are open.
func (d *Driver) Leaks() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	errs := d.leaks
	for ordinal := range d.open {
		errs = append(errs, fmt.Errorf("emu: device %d is open", ordinal))
	}
	return errors.Join(errs...)
}

// Version is the version of Options.
func (d *Driver) Version() (int, error) {
	if err := d.count("cuDriverGetVersion"); err != nil {
		return 0, err
	}
	return d.options.Version, nil
}

// Devices lists a device a target.
func (d *Driver) Devices() ([]cuda.DeviceInfo, error) {
	if err := d.count("cuDeviceGetCount"); err != nil {
		return nil, err
	}
	list := make([]cuda.DeviceInfo, len(d.options.Targets))
	for i := range list {
		list[i] = d.info(i)
	}
	return list, nil
}

func (d *Driver) info(ordinal int) cuda.DeviceInfo {
	target := d.options.Targets[ordinal]
	return cuda.DeviceInfo{
		Ordinal: ordinal, Name: "Emulated " + target.String(), UUID: fmt.Sprintf("GPU-00000000-0000-0000-0000-%012d", ordinal),
		Capability: int(target), SMs: 8, Memory: d.options.Memory, SharedPerBlock: target.MaxShared(), L2: 4 << 20,
		ClockKHz: 1_000_000, MemoryClockKHz: 1_000_000, MemoryBusBits: 256,
	}
}

// Open returns the device, the same one until it has been closed as often as opened.
func (d *Driver) Open(ordinal int) (cuda.Device, error) {
	const call = "cuDevicePrimaryCtxRetain"
	if err := d.count(call); err != nil {
		return nil, err
	}
	if ordinal < 0 || ordinal >= len(d.options.Targets) {
		return nil, &cuda.CallError{Call: call, Detail: fmt.Sprintf("of device %d", ordinal), Status: cuda.ErrInvalidDevice}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.open[ordinal]
	if v == nil {
		v = newDevice(d, d.info(ordinal))
		d.open[ordinal] = v
	}
	v.opened++
	return v, nil
}

// count counts a call and returns the failure that Options wants it to have.
func (d *Driver) count(call string) error {
	if n := d.calls.Add(1); n == d.options.FailCall {
		return &cuda.CallError{Call: call, Detail: fmt.Sprintf("(call %d fails by choice)", n), Status: d.options.FailStatus}
	}
	return nil
}

// closed forgets a device, of which these objects were left. The caller holds mu.
func (d *Driver) closed(v *Device, leaks []error) {
	delete(d.open, v.info.Ordinal)
	for thread, c := range d.current {
		if c == v {
			delete(d.current, thread)
		}
	}
	d.leaks = append(d.leaks, leaks...)
}

func (d *Driver) setCurrent(v *Device) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.current[thread()] = v
}

func (d *Driver) isCurrent(v *Device) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current[thread()] == v
}
