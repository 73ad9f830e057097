// Package ptxsim executes PTX without a GPU and treats everything that a GPU leaves undefined as an error.
//
//	p, err := ptxsim.Load(module)
//	mem := ptxsim.NewMemory()
//	x := mem.Alloc("x", 4*n)
//	err = mem.Write(x, data)
//	stats, err := p.Launch(mem, ptxsim.Launch{Kernel: "axpy", Grid: ..., Block: ..., Params: []uint64{x}})
//	err = mem.Read(x, data)
//
// # Execution
//
// A warp executes an instruction for its 32 threads at once. A branch that not all of them take divides the warp into
// groups; the group furthest behind in the text runs first, and groups that come to the same instruction are one again.
// That is a schedule, not a promise: as on hardware since Volta, nothing but a .sync instruction makes threads meet. Such
// an instruction waits until the threads that it names, or for an .aligned one all 32, have come to it.
//
// Warps of a block take turns of random length, drawn from the seed of the launch. Blocks have no order at all; they run
// on several goroutines unless the kernel has atomics on global memory, in which case they run one after the other in an
// order drawn from the seed. Results, statistics and faults depend on the kernel, its data and the Launch, except for its
// Workers.
//
// # Memory
//
// Addresses are fictional, with unmapped bytes between allocations and between arrays of shared memory, and aligned to
// what is promised and no more. Every byte, register and predicate is uninitialised until written.
//
// # Faults
//
// A launch ends at the first of these, with a *Fault that names kernel, block, thread, line, instruction and the nearest
// allocation, and leaves memory as it was:
//
//   - an access outside of an allocation or an array, or not aligned to its width; ld.global.nc of what the launch writes;
//   - a read of anything uninitialised;
//   - two threads of a block that touch a byte of shared memory, one of them writing, with no bar.sync that both passed
//     between, or within a warp no bar.warp.sync; shuffles, votes and fences order nothing between threads. Only lanes that
//     store the same value to the same address in one instruction may overlap;
//   - two blocks of a launch that touch a byte of global memory, one of them writing, unless both do so by atomics;
//   - a destination of cp.async that is touched before its thread has waited, or a thread that exits without;
//   - a barrier that some threads do not reach, exited ones included; an .aligned instruction without all 32 threads; a
//     membermask that names threads which do not come;
//   - a shuffle that reads from a thread that does not take part;
//   - division of integers by zero, bits below tf32's in an operand of that type, a source size above the size of a
//     cp.async;
//   - trap, or more instructions than the budget;
//   - a launch beyond the kernel's or the target's limits, or with the wrong number of parameters.
//
// Not found are races through global memory within a block, and those of a cp.async with a later write of its source.
//
// # Arithmetic
//
// Where the manual defines the result, it is that result to the bit, with the canonical NaN. Approximate instructions
// give the exact value with an error within the manual's bound, drawn from the seed and the operands, or the correctly
// rounded value if Launch.Exact. Sums within mma.sync follow one of two models, see Accumulation.
package ptxsim
