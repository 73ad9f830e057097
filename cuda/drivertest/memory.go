package drivertest

import (
	"math"
	"slices"

	"vith/cuda"
)

func testMemory(b *bench) {
	free, total, err := b.MemGetInfo()
	if err != nil || free <= 0 || free > total || total > b.Info().Memory {
		b.Errorf("%d of %d bytes are free, %v; the device has %d", free, total, err, b.Info().Memory)
	}

	type area struct{ start, end cuda.Ptr }
	var areas []area
	for _, size := range []int64{1, 3, 255, 256, 257, 4099, 1<<20 + 1, 1 << 22} {
		p := b.alloc(size)
		if p == 0 || p%256 != 0 {
			b.Errorf("%d bytes at %#x, want a multiple of 256", size, p)
		}
		for _, a := range areas {
			if p < a.end && a.start < p+cuda.Ptr(size) {
				b.Errorf("%d bytes at %#x overlap [%#x, %#x)", size, p, a.start, a.end)
			}
		}
		areas = append(areas, area{p, p + cuda.Ptr(size)})
	}

	for _, size := range []int64{0, -1, math.MinInt64} {
		_, err := b.MemAlloc(size)
		b.fails(err, invalidValue)
	}
	_, err = b.MemAlloc(b.Info().Memory + 1<<30)
	b.fails(err, []cuda.Status{cuda.ErrOutOfMemory})

	p, err := b.MemAlloc(1000) // memory is to be had after a failure
	b.must(err)
	b.fails(b.MemFree(p+1), invalidValue)
	b.must(b.MemFree(p))
	b.fails(b.MemFree(p), invalidValue)
	b.fails(b.MemFree(0), invalidValue)
}

func testHostMemory(b *bench) {
	for _, size := range []int{1, 4099, 1 << 20} {
		h, err := b.MemHostAlloc(size)
		b.must(err)
		if len(h) != size || cap(h) != size {
			b.Errorf("%d bytes of capacity %d, want %d", len(h), cap(h), size)
		}
		for i := range h {
			h[i] = byte(i)
		}
		b.fails(b.MemFreeHost(h[:size-1]), invalidValue)
		b.must(b.MemFreeHost(h))
		b.fails(b.MemFreeHost(h), invalidValue)
	}
	for _, size := range []int{0, -1} {
		_, err := b.MemHostAlloc(size)
		b.fails(err, invalidValue)
	}
	b.fails(b.MemFreeHost(make([]byte, 64)), invalidValue)
	b.fails(b.MemFreeHost(nil), invalidValue)
}

func testCopies(b *bench) {
	const size = 1<<20 + 3
	src, dst := b.host(size), b.host(size)
	p := b.alloc(size)
	for i := range src {
		src[i] = byte(i * 7 >> 3)
	}
	b.must(b.MemcpyHtoDAsync(p, src, b.stream))
	b.must(b.MemcpyDtoHAsync(dst, p, b.stream))
	b.sync()
	if !slices.Equal(src, dst) {
		b.Error("bytes differ after the way to the device and back")
	}

	// Parts, at odd places on both sides.
	want := slices.Clone(src)
	b.must(b.MemsetD8Async(p+5, 0xc3, 1001, b.stream))
	for i := range 1001 {
		want[5+i] = 0xc3
	}
	b.must(b.MemcpyHtoDAsync(p+2001, src[17:17+99], b.stream))
	copy(want[2001:], src[17:17+99])
	b.sync()
	b.must(b.MemcpyDtoHAsync(dst[1:size-1], p+1, b.stream))
	b.sync()
	if !slices.Equal(want[1:size-1], dst[1:size-1]) || dst[0] != src[0] || dst[size-1] != src[size-1] {
		b.Error("parts of the memory were not set and copied as asked")
	}

	// Only page-locked memory.
	plain := make([]byte, 64)
	b.fails(b.MemcpyHtoDAsync(p, plain, b.stream), invalidValue)
	b.fails(b.MemcpyDtoHAsync(plain, p, b.stream), invalidValue)
	b.fails(b.MemcpyHtoDAsync(p, nil, b.stream), invalidValue)
}
