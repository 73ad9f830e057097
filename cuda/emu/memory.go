package emu

import (
	"fmt"
	"hash/crc32"
	"reflect"
	"slices"
	"sort"

	"vith/cuda"
)

// granularity is what allocations are rounded up to, in bytes.
const granularity = 512

// An allocation is device memory that the caller holds.
type allocation struct {
	base uint64
	size int64
}

// A span is mapped memory: an allocation, or a region of one.
type span struct {
	base, end uint64
	region    bool
}

// MemGetInfo counts allocations, rounded up.
func (d *Device) MemGetInfo() (free, total int64, err error) {
	err = d.call("cuMemGetInfo", func() error {
		free, total = d.info.Memory-d.used, d.info.Memory
		return nil
	})
	return free, total, err
}

// MemAlloc allocates memory whose bytes nobody may read before they are written.
func (d *Device) MemAlloc(size int64) (p cuda.Ptr, err error) {
	const call = "cuMemAlloc"
	err = d.call(call, func() error {
		if size <= 0 {
			return invalid(call, "of %d bytes", size)
		}
		if err := d.notCapturing(call); err != nil {
			return err
		}
		if size > d.info.Memory || d.used+held(size) > d.info.Memory {
			return &cuda.CallError{Call: call, Detail: fmt.Sprintf("of %d bytes, %d are free", size, d.info.Memory-d.used), Status: cuda.ErrOutOfMemory}
		}
		d.quiesce()
		base := d.memory.Alloc("memory", int(size))
		at := sort.Search(len(d.allocs), func(i int) bool { return d.allocs[i].base > base })
		d.allocs = slices.Insert(d.allocs, at, allocation{base, size})
		d.insert(span{base, base + uint64(size), false})
		d.used += held(size)
		p = cuda.Ptr(base)
		return nil
	})
	return p, err
}

func held(size int64) int64 { return (size + granularity - 1) / granularity * granularity }

// MemFree waits for all work and frees an allocation.
func (d *Device) MemFree(p cuda.Ptr) error {
	const call = "cuMemFree"
	return d.destroy(call, func() error {
		i := slices.IndexFunc(d.allocs, func(a allocation) bool { return a.base == uint64(p) })
		if i < 0 {
			return invalid(call, "of %#x, where no allocation starts", uint64(p))
		}
		if err := d.notCapturing(call); err != nil {
			return err
		}
		if err := d.drain(); err != nil {
			return err
		}
		a := d.allocs[i]
		d.allocs = slices.Delete(d.allocs, i, i+1)
		d.used -= held(a.size)
		for i := 0; i < len(d.spans); {
			s := d.spans[i]
			if s.base < a.base || s.base >= a.base+uint64(a.size) {
				i++
				continue
			}
			if err := d.unmap(i); err != nil {
				return fault(call, err)
			}
		}
		return nil
	})
}

// MemHostAlloc allocates memory that counts as page-locked.
func (d *Device) MemHostAlloc(size int) (b []byte, err error) {
	const call = "cuMemHostAlloc"
	err = d.call(call, func() error {
		if size <= 0 {
			return invalid(call, "of %d bytes", size)
		}
		if err := d.notCapturing(call); err != nil {
			return err
		}
		b = make([]byte, size)
		d.pinned[address(b)] = b
		return nil
	})
	return b, err
}

// MemFreeHost waits for all work and frees page-locked memory.
func (d *Device) MemFreeHost(b []byte) error {
	const call = "cuMemFreeHost"
	return d.destroy(call, func() error {
		if len(b) == 0 || len(d.pinned[address(b)]) != len(b) {
			return invalid(call, "of %d bytes that MemHostAlloc did not return", len(b))
		}
		if err := d.drain(); err != nil {
			return err
		}
		delete(d.pinned, address(b))
		return nil
	})
}

func address(b []byte) uintptr { return reflect.ValueOf(b).Pointer() }

// isPinned tells whether b lies in page-locked memory.
func (d *Device) isPinned(b []byte) bool {
	at := address(b)
	for base, p := range d.pinned {
		if at >= base && at+uintptr(len(b)) <= base+uintptr(len(p)) {
			return true
		}
	}
	return false
}

// MemcpyHtoDAsync queues a copy, during which src must be what it is now.
func (d *Device) MemcpyHtoDAsync(dst cuda.Ptr, src []byte, h cuda.Stream) error {
	const call = "cuMemcpyHtoDAsync"
	return d.call(call, func() error {
		s, err := d.copies(call, dst, src, h)
		if err != nil {
			return err
		}
		sum, captured := crc32.ChecksumIEEE(src), d.capturing == s
		return d.enqueue(s, &work{
			call: call, what: fmt.Sprintf("copy of %d bytes to the device", len(src)), cost: copyCost(len(src)),
			touch: touches(dst, int64(len(src)), true),
			run: func() error {
				if !captured && crc32.ChecksumIEEE(src) != sum {
					return fmt.Errorf("emu: %d bytes of page-locked memory changed before they were copied", len(src))
				}
				return d.memory.Write(uint64(dst), src)
			},
		})
	})
}

// MemcpyDtoHAsync queues a copy, and fills dst with rubbish until then.
func (d *Device) MemcpyDtoHAsync(dst []byte, src cuda.Ptr, h cuda.Stream) error {
	const call = "cuMemcpyDtoHAsync"
	return d.call(call, func() error {
		s, err := d.copies(call, src, dst, h)
		if err != nil {
			return err
		}
		if d.capturing != s {
			for i := range dst {
				dst[i] = 0xa5
			}
		}
		return d.enqueue(s, &work{
			call: call, what: fmt.Sprintf("copy of %d bytes to the host", len(dst)), cost: copyCost(len(dst)),
			touch: touches(src, int64(len(dst)), false),
			run:   func() error { return d.memory.Read(uint64(src), dst) },
		})
	})
}

// copies checks the operands of a copy.
func (d *Device) copies(call string, p cuda.Ptr, b []byte, h cuda.Stream) (*stream, error) {
	s, err := lookup(d.streams, h, call, "stream")
	if err != nil {
		return nil, err
	}
	if len(b) == 0 || !d.isPinned(b) {
		return nil, invalid(call, "of %d bytes that are not page-locked memory", len(b))
	}
	return s, d.inside(call, p, int64(len(b)))
}

// MemsetD8Async queues a fill.
func (d *Device) MemsetD8Async(dst cuda.Ptr, value byte, size int64, h cuda.Stream) error {
	const call = "cuMemsetD8Async"
	return d.call(call, func() error {
		s, err := lookup(d.streams, h, call, "stream")
		if err != nil {
			return err
		}
		if err := d.inside(call, dst, size); err != nil {
			return err
		}
		return d.enqueue(s, &work{
			call: call, what: fmt.Sprintf("fill of %d bytes", size), cost: copyCost(int(size)), touch: touches(dst, size, true),
			run: func() error {
				b := make([]byte, size)
				for i := range b {
					b[i] = value
				}
				return d.memory.Write(uint64(dst), b)
			},
		})
	})
}

// inside refuses bytes that do not lie in one allocation.
func (d *Device) inside(call string, p cuda.Ptr, size int64) error {
	a, ok := d.allocationOf(uint64(p))
	if !ok || size <= 0 || size > a.size-int64(uint64(p)-a.base) {
		return invalid(call, "of %d bytes at %#x, which do not lie in one allocation", size, uint64(p))
	}
	return nil
}

func (d *Device) allocationOf(p uint64) (a allocation, ok bool) {
	i := sort.Search(len(d.allocs), func(i int) bool { return d.allocs[i].base > p }) - 1
	if i < 0 || p >= d.allocs[i].base+uint64(d.allocs[i].size) {
		return allocation{}, false
	}
	return d.allocs[i], true
}

// Region maps size bytes of an allocation as a buffer of their own, when the stream comes to it.
func (d *Device) Region(p cuda.Ptr, size int64, name string, h cuda.Stream) error {
	const call = "Region"
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := lookup(d.streams, h, call, "stream")
	if err != nil {
		return err
	}
	if err := d.inside(call, p, size); err != nil {
		return err
	}
	a, _ := d.allocationOf(uint64(p))
	return d.enqueue(s, &work{call: call, touch: touches(p, size, true), run: func() error {
		if i := d.spanOf(a.base); i >= 0 && !d.spans[i].region {
			if err := d.unmap(i); err != nil {
				return err
			}
		}
		if err := d.memory.AllocAt(name, uint64(p), int(size)); err != nil {
			return err
		}
		d.insert(span{uint64(p), uint64(p) + uint64(size), true})
		return nil
	}})
}

// Dead unmaps a region.
func (d *Device) Dead(p cuda.Ptr, h cuda.Stream) error {
	const call = "Dead"
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := lookup(d.streams, h, call, "stream")
	if err != nil {
		return err
	}
	return d.enqueue(s, &work{call: call, touch: touches(p, 1, true), run: func() error {
		i := d.spanOf(uint64(p))
		if i < 0 || d.spans[i].base != uint64(p) || !d.spans[i].region {
			return fmt.Errorf("emu: no region starts at %#x", uint64(p))
		}
		return d.unmap(i)
	}})
}

func touches(p cuda.Ptr, size int64, write bool) func() []access {
	list := []access{{uint64(p), uint64(p) + uint64(size), write}}
	return func() []access { return list }
}

// insert adds a span.
func (d *Device) insert(s span) {
	at := sort.Search(len(d.spans), func(i int) bool { return d.spans[i].base > s.base })
	d.spans = slices.Insert(d.spans, at, s)
}

// spanOf is the index of the span that holds p, or -1.
func (d *Device) spanOf(p uint64) int {
	i := sort.Search(len(d.spans), func(i int) bool { return d.spans[i].base > p }) - 1
	if i < 0 || p >= d.spans[i].end {
		return -1
	}
	return i
}

// unmap ends a span.
func (d *Device) unmap(i int) error {
	base := d.spans[i].base
	d.spans = slices.Delete(d.spans, i, i+1)
	return d.memory.Free(base)
}

// quiesce waits until no work is running.
func (d *Device) quiesce() {
	for d.running {
		d.idle.Wait()
	}
}

// copyCost is that of n bytes at 16 bytes a nanosecond.
func copyCost(n int) func() float64 { return func() float64 { return 1000 + float64(n)/16 } }
