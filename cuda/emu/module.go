package emu

import (
	"fmt"

	"vith/cuda"
	"vith/kernels/ptx"
	"vith/kernels/ptxsim"
)

const (
	maxGridX      = 1<<31 - 1
	maxGridYZ     = 65535
	defaultShared = 48 << 10 // bytes of dynamic shared memory without SetMaxDynamicShared
)

// A module is loaded PTX.
type module struct {
	form    *ptx.Module
	program *ptxsim.Program
}

// A function is an entry point of a module.
type function struct {
	owner   cuda.Module
	module  *module
	kernel  *ptx.Kernel
	dynamic int // bytes that launches may ask for
}

// ModuleLoadData parses, verifies and decodes the text.
func (d *Device) ModuleLoadData(text string) (h cuda.Module, err error) {
	const call = "cuModuleLoadDataEx"
	err = d.call(call, func() error {
		if err := d.notCapturing(call); err != nil {
			return err
		}
		refuse := func(status cuda.Status, err error) error {
			return &cuda.CallError{Call: call, Detail: fmt.Sprintf("(%v)", err), Status: status}
		}
		form, err := ptx.Parse(text)
		if err != nil {
			return refuse(cuda.ErrInvalidPTX, err)
		}
		if err := form.Verify(); err != nil {
			return refuse(cuda.ErrInvalidPTX, err)
		}
		if newest := newestPTX(d.driver.options.Version); form.Version > newest {
			return refuse(cuda.ErrUnsupportedPTX, fmt.Errorf("the text is PTX %v, the driver knows up to %v", form.Version, newest))
		}
		if form.Target > ptx.Target(d.info.Capability) {
			return refuse(cuda.ErrInvalidPTX, fmt.Errorf("the text is for %v, the device is sm_%d", form.Target, d.info.Capability))
		}
		program, err := ptxsim.Load(form)
		if err != nil {
			return refuse(cuda.ErrInvalidPTX, err)
		}
		h = cuda.Module(d.handle())
		d.modules[h] = &module{form, program}
		return nil
	})
	return h, err
}

// newestPTX is the PTX version that a driver for a version of CUDA knows: 11.x came with 7.x, 12.x with 8.x and 13.x
// with 9.x, within a version or two.
func newestPTX(cudaVersion int) ptx.Version {
	return ptx.Version(10*(cudaVersion/1000-4) + cudaVersion%1000/10)
}

// ModuleUnload waits for all work and ends a module and its functions.
func (d *Device) ModuleUnload(h cuda.Module) error {
	const call = "cuModuleUnload"
	return d.destroy(call, func() error {
		if _, err := lookup(d.modules, h, call, "module"); err != nil {
			return err
		}
		if err := d.drain(); err != nil {
			return err
		}
		delete(d.modules, h)
		for f, v := range d.functions {
			if v.owner == h {
				delete(d.functions, f)
			}
		}
		return nil
	})
}

// ModuleGetFunction finds an entry point.
func (d *Device) ModuleGetFunction(h cuda.Module, name string) (f cuda.Function, err error) {
	const call = "cuModuleGetFunction"
	err = d.call(call, func() error {
		m, err := lookup(d.modules, h, call, "module")
		if err != nil {
			return err
		}
		k := m.form.Kernel(name)
		if k == nil {
			return &cuda.CallError{Call: call, Detail: name, Status: cuda.ErrNotFound}
		}
		f = cuda.Function(d.handle())
		d.functions[f] = &function{owner: h, module: m, kernel: k, dynamic: max(0, defaultShared-static(k))}
		return nil
	})
	return f, err
}

// static is the size of a kernel's static shared memory in bytes.
func static(k *ptx.Kernel) (n int) {
	for _, s := range k.Shared {
		n += s.Size
	}
	return n
}

// FuncAttributes counts the 32-bit registers that the text declares: a compiler needs fewer.
func (d *Device) FuncAttributes(h cuda.Function) (a cuda.FuncAttributes, err error) {
	const call = "cuFuncGetAttribute"
	err = d.call(call, func() error {
		f, err := lookup(d.functions, h, call, "function")
		if err != nil {
			return err
		}
		r := f.kernel.Regs
		a = cuda.FuncAttributes{
			Registers: min(255, r[ptx.RegB16]+r[ptx.RegB32]+2*r[ptx.RegB64]+r[ptx.RegF32]),
			Shared:    static(f.kernel), MaxThreads: threads(f.kernel),
			PTX: int(f.module.form.Version), Binary: d.info.Capability,
		}
		return nil
	})
	return a, err
}

// threads is the largest block that a kernel allows.
func threads(k *ptx.Kernel) int {
	if n := k.MaxNTID[0] * k.MaxNTID[1] * k.MaxNTID[2]; n > 0 {
		return n
	}
	return 1024
}

// SetMaxDynamicShared allows launches with that many bytes of dynamic shared memory.
func (d *Device) SetMaxDynamicShared(h cuda.Function, size int) error {
	const call = "cuFuncSetAttribute"
	return d.call(call, func() error {
		f, err := lookup(d.functions, h, call, "function")
		if err != nil {
			return err
		}
		if size < 0 || size+static(f.kernel) > d.info.SharedPerBlock {
			return invalid(call, "of %s: %d bytes of dynamic shared memory beside %d static ones, a block may have %d",
				f.kernel.Name, size, static(f.kernel), d.info.SharedPerBlock)
		}
		f.dynamic = size
		return nil
	})
}

// LaunchKernel queues a launch.
func (d *Device) LaunchKernel(h cuda.Function, grid, block [3]int, shared int, sh cuda.Stream, params []uint64) error {
	const call = "cuLaunchKernel"
	return d.call(call, func() error {
		f, err := lookup(d.functions, h, call, "function")
		if err != nil {
			return err
		}
		s, err := lookup(d.streams, sh, call, "stream")
		if err != nil {
			return err
		}
		if why := f.refuses(grid, block, shared, params); why != "" {
			return invalid(call, "of %s, grid %v, block %v, %d bytes of shared memory: %s", f.kernel.Name, grid, block, shared, why)
		}
		l := ptxsim.Launch{
			Kernel: f.kernel.Name, Grid: grid, Block: block, DynamicShared: shared, Params: append([]uint64(nil), params...),
			Seed: d.driver.options.Seed, Accumulation: d.driver.options.Accumulation, Workers: d.driver.options.Workers,
		}
		var stats ptxsim.Stats
		return d.enqueue(s, &work{
			call: call, what: "kernel " + l.Kernel,
			touch: func() []access { return d.pointees(l.Params) },
			run: func() error {
				stats, err = f.module.program.Launch(d.memory, l)
				return err
			},
			cost: func() float64 {
				n := int64(0)
				for _, c := range stats.Instructions {
					n += c
				}
				return 2000 + float64(n)/float64(d.info.SMs)
			},
		})
	})
}

// refuses says what is wrong with a launch, if anything is.
func (f *function) refuses(grid, block [3]int, shared int, params []uint64) string {
	for i := range 3 {
		if grid[i] < 1 || block[i] < 1 {
			return "a dimension is below 1"
		}
	}
	switch {
	case grid[0] > maxGridX || grid[1] > maxGridYZ || grid[2] > maxGridYZ:
		return "the grid is too large"
	case block[0]*block[1]*block[2] > threads(f.kernel):
		return fmt.Sprintf("the kernel allows blocks of %d threads", threads(f.kernel))
	case shared < 0 || shared > f.dynamic:
		return fmt.Sprintf("launches may ask for %d", f.dynamic)
	case len(params) != len(f.kernel.Params):
		return fmt.Sprintf("%d parameters, the kernel has %d", len(params), len(f.kernel.Params))
	}
	return ""
}

// pointees are the spans that parameters point into.
func (d *Device) pointees(params []uint64) (list []access) {
	for _, p := range params {
		if i := d.spanOf(p); i >= 0 {
			list = append(list, access{d.spans[i].base, d.spans[i].end, true})
		}
	}
	return list
}
