package emu

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"vith/cuda"
	"vith/kernels/ptxsim"
)

// A Device is an emulated GPU. Other than the interface asks, its methods may be called concurrently, from every thread
// on which the context is current.
type Device struct {
	driver *Driver
	info   cuda.DeviceInfo
	opened int // guarded by driver.mu

	mu      sync.Mutex
	idle    sync.Cond       // signalled when running becomes false
	running bool            // a piece of work is, without mu; it alone then touches memory, spans and races
	lost    *cuda.CallError // what ended the context
	last    uintptr         // handle
	host    clock           // what the host has waited for
	random  *rand.Rand

	streams   map[cuda.Stream]*stream
	events    map[cuda.Event]*event
	modules   map[cuda.Module]*module
	functions map[cuda.Function]*function
	graphs    map[cuda.Graph][]*work
	execs     map[cuda.Exec][]*work
	blas      int // open
	capturing *stream
	numbers   int // streams made so far

	allocs []allocation // by address
	used   int64        // bytes
	pinned map[uintptr][]byte

	memory *ptxsim.Memory
	spans  []span // mapped, by address
	races  races
	now    float64 // nanoseconds
}

var (
	_ cuda.Device   = (*Device)(nil)
	_ cuda.Debugger = (*Device)(nil)
)

func newDevice(d *Driver, info cuda.DeviceInfo) *Device {
	v := &Device{
		driver: d, info: info, random: rand.New(rand.NewPCG(d.options.Seed, 1)), memory: ptxsim.NewMemory(),
		streams: map[cuda.Stream]*stream{}, events: map[cuda.Event]*event{}, modules: map[cuda.Module]*module{},
		functions: map[cuda.Function]*function{}, graphs: map[cuda.Graph][]*work{}, execs: map[cuda.Exec][]*work{},
		pinned: map[uintptr][]byte{},
	}
	v.idle.L = &v.mu
	return v
}

// Info describes the device.
func (d *Device) Info() cuda.DeviceInfo { return d.info }

// SetCurrent binds the context to the calling thread.
func (d *Device) SetCurrent() error {
	if err := d.driver.count("cuCtxSetCurrent"); err != nil {
		return err
	}
	d.driver.setCurrent(d)
	return nil
}

// Close waits for all work. The last Close releases the context, also a lost one; what is left in another counts as
// leaked, see Driver.Leaks.
func (d *Device) Close() error {
	const call = "cuDevicePrimaryCtxRelease"
	d.mu.Lock()
	defer d.mu.Unlock()
	chosen := d.driver.count(call)
	lost := d.check(call)
	if lost != nil && d.lost == nil {
		return lost
	}
	err := d.drain()
	d.driver.mu.Lock()
	defer d.driver.mu.Unlock()
	if d.opened--; d.opened == 0 {
		var leaks []error
		if d.lost == nil {
			leaks = d.leaks()
		}
		d.driver.closed(d, leaks)
		d.lost = &cuda.CallError{Call: call, Status: cuda.ErrDeinitialized}
	}
	return cmp.Or(chosen, lost, err)
}

// leaks are the objects that exist.
func (d *Device) leaks() (errs []error) {
	count := func(n int, what string) {
		if n > 0 {
			errs = append(errs, fmt.Errorf("emu: device %d: %d %s were not destroyed", d.info.Ordinal, n, what))
		}
	}
	for _, a := range d.allocs {
		errs = append(errs, fmt.Errorf("emu: device %d: %d bytes at %#x were not freed", d.info.Ordinal, a.size, a.base))
	}
	count(len(d.pinned), "allocations of page-locked memory")
	count(len(d.streams), "streams")
	count(len(d.events), "events")
	count(len(d.modules), "modules")
	count(len(d.graphs), "graphs")
	count(len(d.execs), "executable graphs")
	count(d.blas, "cublasLt handles")
	return errs
}

// call runs a call of the driver, with mu held, if the context is current and alive.
func (d *Device) call(name string, f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.driver.count(name); err != nil {
		return d.failed(err)
	}
	if err := d.check(name); err != nil {
		return err
	}
	return f()
}

// destroy is call for calls that end something: if they are to fail, they have their effect nevertheless.
func (d *Device) destroy(name string, f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	chosen := d.driver.count(name)
	if err := d.check(name); err != nil {
		return cmp.Or(chosen, err)
	}
	err := f()
	return cmp.Or(d.failed(chosen), err)
}

// check reports why no call can be made on this thread.
func (d *Device) check(name string) error {
	if d.lost != nil {
		return &cuda.CallError{Call: name, Detail: "after " + d.lost.Call + " " + d.lost.Detail, Status: d.lost.Status}
	}
	if !d.driver.isCurrent(d) {
		return &cuda.CallError{Call: name, Detail: fmt.Sprintf("of device %d on a thread where its context is not current", d.info.Ordinal),
			Status: cuda.ErrInvalidContext}
	}
	return nil
}

// failed returns err, and ends the context if that is its meaning.
func (d *Device) failed(err error) error {
	var e *cuda.CallError
	if errors.As(err, &e) && e.Status.Sticky() && d.lost == nil {
		d.lost = e
	}
	return err
}

// handle is a number that no object had.
func (d *Device) handle() uintptr {
	d.last += 16
	return d.last
}

// lookup returns the object of a handle.
func lookup[H ~uintptr, T any](table map[H]T, h H, call, what string) (T, error) {
	v, ok := table[h]
	if !ok {
		return v, &cuda.CallError{Call: call, Detail: fmt.Sprintf("of %s %#x, which does not exist", what, uintptr(h)), Status: cuda.ErrInvalidHandle}
	}
	return v, nil
}

func invalid(call, format string, args ...any) error {
	return &cuda.CallError{Call: call, Detail: fmt.Sprintf(format, args...), Status: cuda.ErrInvalidValue}
}

// fault is the error of a piece of work, which ends the context.
func fault(call string, err error) *cuda.CallError {
	status := cuda.ErrLaunchFailed
	switch {
	case errors.Is(err, ptxsim.OutOfBounds):
		status = cuda.ErrIllegalAddress
	case errors.Is(err, ptxsim.Misaligned):
		status = cuda.ErrMisalignedAddress
	}
	return &cuda.CallError{Call: call, Detail: fmt.Sprintf("(%v)", err), Status: status}
}
