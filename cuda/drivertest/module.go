package drivertest

import (
	"math"
	"slices"
	"strings"

	"vith/cuda"
)

func testModule(b *bench) {
	text := accumulate.text()
	m, err := b.ModuleLoadData(text)
	b.must(err)
	f, err := b.ModuleGetFunction(m, accumulate.name)
	b.must(err)
	_, err = b.ModuleGetFunction(m, "decumulate")
	b.fails(err, []cuda.Status{cuda.ErrNotFound}, "decumulate")
	b.must(b.ModuleUnload(m))
	b.fails(b.ModuleUnload(m), invalidHandle)
	_, err = b.ModuleGetFunction(m, accumulate.name)
	b.fails(err, invalidHandle)
	_, err = b.FuncAttributes(f) // a function ends with its module
	b.fails(err, invalidHandle)

	// The compiler's complaint is in the error.
	_, err = b.ModuleLoadData(strings.Replace(text, "add.rn.f32", "frobnicate.rn.f32", 1))
	b.fails(err, []cuda.Status{cuda.ErrInvalidPTX}, "frobnicate")
	for _, text := range []string{"", "PTX", text[:len(text)/2], text + "\x00" + text} {
		_, err = b.ModuleLoadData(text)
		b.fails(err, anyStatus)
	}
	first, rest, _ := strings.Cut(text, "\n.version ")
	_, rest, _ = strings.Cut(rest, "\n")
	_, err = b.ModuleLoadData(first + "\n.version 99.0\n" + rest)
	b.fails(err, []cuda.Status{cuda.ErrUnsupportedPTX, cuda.ErrInvalidPTX})
}

func testAttributes(b *bench) {
	a, err := b.FuncAttributes(b.function(shift))
	b.must(err)
	// Since sm_80 the system has 1 KiB of a block's shared memory for itself, which drivers may count.
	if a.Registers < 1 || a.Registers > 255 || a.Local != 0 || a.Shared < staticShared || a.Shared > staticShared+1024 ||
		a.MaxThreads != block || a.PTX < 60 || a.Binary < 75 || a.Binary > b.Info().Capability {
		b.Errorf("the attributes of a small kernel with %d bytes of shared memory are %+v", staticShared, a)
	}
}

// blocks is a grid for n threads.
func blocks(n int) [3]int { return [3]int{(n + block - 1) / block, 1, 1} }

var oneBlock, threads = [3]int{1, 1, 1}, [3]int{block, 1, 1}

func testLaunch(b *bench) {
	f := b.function(accumulate)
	for _, n := range []int{1, 31, 32, 33, block - 1, block, block + 1, 10007} {
		x, y := ramp(0.25, n), ramp(-3, n)
		px, py := b.upload(bytes32(x...)), b.upload(bytes32(y...))
		params := []uint64{uint64(px), uint64(py), uint64(n) | 7<<32} // a kernel reads as much of a slot as it declares
		b.must(b.LaunchKernel(f, blocks(n), threads, 0, b.stream, params))
		clear(params)
		b.sync()
		for i, v := range floats(b.download(px, 4*n)) {
			if v != x[i]+y[i] {
				b.Fatalf("n %d: element %d is %v, want %v", n, i, v, x[i]+y[i])
			}
		}
	}

	p := uint64(b.upload(make([]byte, 4*block)))
	params := []uint64{p, p, block}
	launch := func(grid, block [3]int, shared int, params []uint64) error {
		return b.LaunchKernel(f, grid, block, shared, b.stream, params)
	}
	for _, bad := range [][3]int{{0, 1, 1}, {1, 0, 1}, {1, 1, 0}, {-1, 1, 1}, {1, 1, 65536}, {1, 65536, 1}, {1 << 40, 1, 1}} {
		b.fails(launch(bad, threads, 0, params), invalidValue, accumulate.name)
	}
	for _, bad := range [][3]int{{0, 1, 1}, {1, -1, 1}, {2 * block, 1, 1}, {block, 2, 1}, {1 << 33, 1, 1}} {
		b.fails(launch(oneBlock, bad, 0, params), []cuda.Status{cuda.ErrInvalidValue, cuda.ErrLaunchResources}, accumulate.name)
	}
	for _, bad := range []int{-1, 1 << 30, math.MaxInt64} {
		b.fails(launch(oneBlock, threads, bad, params), []cuda.Status{cuda.ErrInvalidValue, cuda.ErrLaunchResources}, accumulate.name)
	}
	for _, bad := range [][]uint64{nil, params[:2], {p, p, block, 1}} {
		b.fails(launch(oneBlock, threads, 0, bad), invalidValue, accumulate.name)
	}
	b.must(launch(oneBlock, threads, 0, params)) // a refused launch does no harm
	b.sync()

	s, x := b.function(shift), ramp(1, block)
	px := b.upload(bytes32(x...))
	b.must(b.LaunchKernel(s, oneBlock, threads, 0, b.stream, []uint64{uint64(px)}))
	b.sync()
	if got, want := floats(b.download(px, 4*block)), append([]float32{x[block-1]}, x[:block-1]...); !slices.Equal(got, want) {
		b.Errorf("through shared memory %v became %v", x, got)
	}
}

func testDynamicShared(b *bench) {
	f, x := b.function(reverse), ramp(1, block)
	p := b.upload(bytes32(x...))
	launch := func() error {
		return b.LaunchKernel(f, oneBlock, threads, dynamicShared, b.stream, []uint64{uint64(p)})
	}
	b.fails(launch(), []cuda.Status{cuda.ErrInvalidValue, cuda.ErrLaunchResources}, reverse.name)
	b.fails(b.SetMaxDynamicShared(f, b.Info().SharedPerBlock+1), invalidValue, reverse.name)
	b.fails(b.SetMaxDynamicShared(f, -1), invalidValue, reverse.name)
	b.must(b.SetMaxDynamicShared(f, dynamicShared))
	b.must(launch())
	b.sync()
	slices.Reverse(x)
	if got := floats(b.download(p, 4*block)); !slices.Equal(got, x) {
		b.Errorf("reversed through shared memory: %v", got)
	}
}
