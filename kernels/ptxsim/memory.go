package ptxsim

import (
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

const (
	firstAddress = 0x7_1000_0000 // beyond 32 bits: a truncated address is never mapped
	allocAlign   = 256           // bytes; what cuMemAlloc promises
	allocGap     = 4096          // unmapped bytes behind each allocation, at least
)

// A Memory is the global memory of a fictional device. Addresses mean nothing outside of it. Every byte is uninitialised
// until it is written.
//
// Its methods may be called concurrently. They and launches on the memory exclude each other.
type Memory struct {
	mu     sync.Mutex
	allocs []*allocation // by address
	next   uint64
}

// An allocation is mapped memory.
type allocation struct {
	name string
	base uint64
	data []byte
	init []uint32 // a bit for each byte; blocks of a launch write them atomically
}

func (a *allocation) end() uint64 { return a.base + uint64(len(a.data)) }

func (a *allocation) String() string {
	return fmt.Sprintf("%q (%d bytes at %#x)", a.name, len(a.data), a.base)
}

// NewMemory returns memory without allocations.
func NewMemory() *Memory { return &Memory{next: firstAddress} }

// Alloc maps size bytes, which must not be negative, and returns their address, which is a multiple of 256 and of no greater power of two. The name
// is for faults.
func (m *Memory) Alloc(name string, size int) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	base := roundUp(m.next, 2*allocAlign) + allocAlign
	m.insert(len(m.allocs), name, base, size)
	return base
}

// AllocAt maps size bytes at an address of the caller's choice, which must be a multiple of 256: regions of an arena.
// It is an error if any of them is mapped.
func (m *Memory) AllocAt(name string, base uint64, size int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if base%allocAlign != 0 || size < 0 {
		return fmt.Errorf("ptxsim: AllocAt %q: %d bytes at %#x: the address must be a multiple of %d, the size not negative",
			name, size, base, allocAlign)
	}
	i := m.after(base)
	for _, a := range m.allocs[max(0, i-1):min(len(m.allocs), i+1)] {
		if base < a.end() && a.base < base+uint64(size) {
			return fmt.Errorf("ptxsim: AllocAt %q: %d bytes at %#x overlap %v", name, size, base, a)
		}
	}
	m.insert(i, name, base, size)
	return nil
}

func (m *Memory) insert(i int, name string, base uint64, size int) {
	a := &allocation{name: name, base: base, data: make([]byte, size), init: make([]uint32, (size+31)/32)}
	m.allocs = slices.Insert(m.allocs, i, a)
	m.next = max(m.next, a.end()+allocGap)
}

// Free unmaps the allocation that starts at base.
func (m *Memory) Free(base uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.after(base) - 1
	if i < 0 || m.allocs[i].base != base {
		return fmt.Errorf("ptxsim: Free %#x: no allocation starts there%s", base, m.nearest(base))
	}
	m.allocs = slices.Delete(m.allocs, i, i+1)
	return nil
}

// Write copies src to addr and marks the bytes as initialised.
func (m *Memory) Write(addr uint64, src []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, off, err := m.find("Write", addr, len(src))
	if err != nil {
		return err
	}
	copy(a.data[off:], src)
	a.each(off, len(src), func(word *uint32, mask uint32) { *word |= mask })
	return nil
}

// Read copies len(dst) bytes at addr to dst. To read a byte that was never written is an error that is Uninitialised.
func (m *Memory) Read(addr uint64, dst []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, off, err := m.find("Read", addr, len(dst))
	if err != nil {
		return err
	}
	missing := false
	a.each(off, len(dst), func(word *uint32, mask uint32) { missing = missing || *word&mask != mask })
	if missing {
		i := 0
		for a.initialised(off+i, 1) {
			i++
		}
		return fmt.Errorf("%w: Read %d bytes at %#x: byte %d, which is byte %d of %v, was never written",
			Uninitialised, len(dst), addr, i, off+i, a)
	}
	copy(dst, a.data[off:])
	return nil
}

// Poison makes n bytes at addr uninitialised again.
func (m *Memory) Poison(addr uint64, n int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, off, err := m.find("Poison", addr, n)
	if err != nil {
		return err
	}
	a.each(off, n, func(word *uint32, mask uint32) { *word &^= mask })
	return nil
}

// find returns the allocation that holds n bytes at addr, and the offset of addr in it.
func (m *Memory) find(op string, addr uint64, n int) (*allocation, int, error) {
	if i := m.after(addr) - 1; i >= 0 {
		a := m.allocs[i]
		if off := addr - a.base; off <= uint64(len(a.data)) && n <= len(a.data)-int(off) {
			return a, int(off), nil
		}
	}
	return nil, 0, fmt.Errorf("%w: %s %d bytes at %#x%s", OutOfBounds, op, n, addr, m.nearest(addr))
}

// after returns the index of the first allocation that starts after addr.
func (m *Memory) after(addr uint64) int {
	return sort.Search(len(m.allocs), func(i int) bool { return m.allocs[i].base > addr })
}

// nearest says in words where addr lies, for the end of an error's text.
func (m *Memory) nearest(addr uint64) string {
	i := m.after(addr)
	if i > 0 && (i == len(m.allocs) || addr < m.allocs[i-1].end() || addr-m.allocs[i-1].end() < m.allocs[i].base-addr) {
		a := m.allocs[i-1]
		if addr < a.end() {
			return fmt.Sprintf(", byte %d of %v", addr-a.base, a)
		}
		return fmt.Sprintf(", %d bytes behind the end of %v", addr-a.end(), a)
	}
	if i < len(m.allocs) {
		return fmt.Sprintf(", %d bytes before %v", m.allocs[i].base-addr, m.allocs[i])
	}
	return ": nothing is allocated"
}

// each calls do for the words of init that hold the bits of n bytes at off.
func (a *allocation) each(off, n int, do func(word *uint32, mask uint32)) {
	for end := off + n; off < end; {
		first := off % 32
		count := min(32-first, end-off)
		do(&a.init[off/32], allLanes>>(32-count)<<first)
		off += count
	}
}

// initialised tells whether n bytes at off are. Accesses are aligned, so that their bits are in one word.
func (a *allocation) initialised(off, n int) bool {
	want := uint32(1<<n-1) << (off % 32)
	return atomic.LoadUint32(&a.init[off/32])&want == want
}

func (a *allocation) initialise(off, n int) {
	want := uint32(1<<n-1) << (off % 32)
	if word := &a.init[off/32]; atomic.LoadUint32(word)&want != want {
		atomic.OrUint32(word, want)
	}
}

func roundUp[T int | uint64](x, to T) T { return (x + to - 1) / to * to }
