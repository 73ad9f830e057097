package ptxsim

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// TestFaults has a kernel for each fault. Lines are counted in the text of kernelText, whose body starts at line 24.
func TestFaults(t *testing.T) {
	const shared = ".shared .align 16 .b8 s[256];"
	for _, c := range []struct {
		name, shared, body string
		threads            int
		kind               Kind
		text               []string
	}{
		{"read behind the end", "", "ld.global.b32 %r1, [%rd3+4];", 64, OutOfBounds,
			[]string{"ptxsim: k: block [0 0 0] thread [63 0 0] (warp 1 lane 31): line 24: ld.global.b32 %r1, [%rd3+4]; out of bounds: 4 bytes at 0x",
				`, 0 bytes behind the end of "a" (256 bytes at 0x`}},
		{"vector across the end", "", "ld.global.v4.b32 {%r1, %r2, %r3, %r4}, [%rd0+256];", 1, OutOfBounds, []string{"16 bytes at"}},
		{"write before the start", "", "st.global.b32 [%rd0+-4], %r0;", 1, OutOfBounds, []string{`4 bytes before "a"`}},
		{"null", "", "mov.b64 %rd5, 0;\nld.global.b32 %r1, [%rd5];", 1, OutOfBounds, []string{"4 bytes at 0x0"}},
		{"misaligned", "", "ld.global.b64 %rd5, [%rd0+4];", 1, Misaligned, []string{"is not a multiple of 8, byte 4 of \"a\""}},
		{"uninitialised memory", "", "ld.global.b32 %r1, [%rd4];", 1, Uninitialised, []string{`4 bytes at byte 0 of "b"`}},
		{"partly uninitialised memory", "", "st.global.b16 [%rd1], %h0;\nld.global.b32 %r1, [%rd1];", 1, Uninitialised, []string{"register %h0"}},
		{"uninitialised register", "", "add.u32 %r1, %r0, %r2;", 1, Uninitialised, []string{"register %r2"}},
		{"register initialised in some lanes", "", "setp.lt.u32 %p0, %r0, 7;\n@%p0 mov.b32 %r2, 1;\nadd.u32 %r1, %r0, %r2;", 32, Uninitialised,
			[]string{"thread [7 0 0]", "line 26", "register %r2"}},
		{"uninitialised predicate", "", "selp.b32 %r1, 1, 2, %p3;", 1, Uninitialised, []string{"predicate %p3"}},
		{"uninitialised guard", "", "@!%p3 mov.b32 %r1, 1;", 1, Uninitialised, []string{"predicate %p3"}},

		{"shared behind the end", shared, "mov.u32 %r1, s;\nst.shared.b32 [%r1+256], %r0;", 1, OutOfBounds, []string{`byte 256 of array "s" of 256 bytes`}},
		{"shared misaligned", shared, "st.shared.b64 [s+4], %rd0;", 1, Misaligned, []string{"is not a multiple of 8"}},
		{"shared uninitialised", shared, "ld.shared.b32 %r1, [s+8];", 1, Uninitialised, []string{`byte 8 of array "s"`}},
		{"no more aligned than declared", ".shared .align 4 .b8 s[256];", "st.shared.b64 [s], %rd0;", 1, Misaligned, nil},

		{"half a warp at a barrier", "", "setp.lt.u32 %p0, %r0, 16;\n@!%p0 bra skip;\nbar.sync 0;\nskip:", 32, Divergence,
			[]string{"bar.sync 0;", "exited"}},
		{"guarded barrier", "", "setp.lt.u32 %p0, %r0, 16;\n@%p0 bar.sync 0;", 32, Divergence, []string{"the guard keeps lanes 0xffff0000 from the barrier"}},
		{"barrier after exit", "", "setp.lt.u32 %p0, %r0, 5;\n@%p0 exit;\nbar.sync 0;", 32, Divergence, []string{"lanes 0x0000001f of the warp have exited"}},
		{"barrier that a warp never reaches", "", "setp.lt.u32 %p0, %r0, 32;\n@%p0 exit;\nbar.sync 0;", 64, Divergence, []string{"warp 0 never reaches: its threads have exited"}},
		{"different barriers", "", "setp.lt.u32 %p0, %r0, 32;\n@%p0 bra other;\nbar.sync 0;\nret;\nother:\nbar.sync 0;", 64, Divergence,
			[]string{"waits at the same barrier at line"}},
		{"different barrier numbers", "", "setp.lt.u32 %p0, %r0, 32;\n@%p0 bra other;\nbar.sync 0;\nret;\nother:\nbar.sync 1;", 64, Divergence,
			[]string{"barrier that warp"}},
		{"barrier of a ragged count", "", "bar.sync 1, 40;", 64, Undefined, []string{"a barrier of 40 threads"}},
		{"barrier for too few", "", "setp.lt.u32 %p0, %r0, 32;\n@%p0 bar.sync 1, 64;", 64, Divergence, []string{"never reaches"}},

		{"shuffle from an exited lane", "", "setp.eq.u32 %p0, %r0, 3;\n@%p0 exit;\nshfl.sync.bfly.b32 %r1, %r0, 1, 31, -1;", 32, InactiveLane,
			[]string{"thread [2 0 0]", "lane 2 reads from lane 3, which is not among the lanes 0xfffffff7"}},
		{"shuffle guarded off", "", "setp.eq.u32 %p0, %r0, 3;\n@!%p0 shfl.sync.bfly.b32 %r1, %r0, 1, 31, -1;", 32, Divergence,
			[]string{"membermask 0xffffffff names lanes 0x00000008"}},
		{"not in the membermask", "", "shfl.sync.idx.b32 %r1, %r0, 0, 31, 255;", 32, Divergence, []string{"thread [8 0 0]", "not in its own membermask 0x000000ff"}},
		{"votes that never meet", "", "setp.lt.u32 %p0, %r0, 16;\n@%p0 bra other;\nvote.sync.ballot.b32 %r1, %p0, -1;\nret;\nother:\nvote.sync.ballot.b32 %r1, %p0, -1;", 32,
			Divergence, []string{"wait here for lanes"}},
		{"mma in half a warp", "", `setp.lt.u32 %p0, %r0, 16;
	mov.b32 %r1, 0;
	@%p0 mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%r2, %r3}, {%r1}, {%r1}, {%r1, %r1};`, 32, Divergence, []string{"its guard is false in lanes 0xffff0000"}},
		{"mma in a ragged warp", "", `mov.b32 %r1, 0;
	mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%r2, %r3}, {%r1}, {%r1}, {%r1, %r1};`, 20, Divergence, []string{"lanes 0xfff00000 have exited or never existed"}},
		{"ldmatrix misaligned", shared, "mov.u32 %r1, s;\nadd.u32 %r1, %r1, 8;\nldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r2}, [%r1];", 32, Misaligned, []string{"not a multiple of 16"}},

		{"cp.async read before the wait", shared, "cp.async.ca.shared.global [s], [%rd0], 16;\nld.shared.b32 %r1, [s];", 1, PendingCopy,
			[]string{"the destination of a cp.async of thread [0 0 0] that was not waited for"}},
		{"cp.async waited for by group", shared, `mov.u32 %r1, s;
	cp.async.ca.shared.global [%r1], [%rd0], 16;
	cp.async.commit_group;
	cp.async.ca.shared.global [%r1+16], [%rd0], 16;
	cp.async.commit_group;
	cp.async.wait_group 1;
	ld.shared.b32 %r2, [%r1];
	ld.shared.b32 %r2, [%r1+16];`, 1, PendingCopy, []string{"line 31"}},
		{"cp.async not committed", shared, "cp.async.ca.shared.global [s], [%rd0], 16;\ncp.async.wait_group 0;\nld.shared.b32 %r1, [s];", 1, PendingCopy, nil},
		{"cp.async outstanding at exit", shared, "cp.async.ca.shared.global [s], [%rd0], 16;\ncp.async.commit_group;", 1, PendingCopy, []string{"exits without waiting"}},
		{"cp.async over itself", shared, "cp.async.ca.shared.global [s], [%rd0], 16;", 2, PendingCopy, []string{"thread [1 0 0]"}},
		{"cp.async of more than its size", shared, "cp.async.ca.shared.global [s], [%rd0], 4, 5;", 1, Undefined, []string{"source size 5 is more than the 4 bytes"}},
		{"cp.async misaligned source", shared, "cp.async.ca.shared.global [s], [%rd0+4], 8;", 1, Misaligned, nil},

		{"division by zero", "", "div.u32 %r1, 5, %r0;", 32, Undefined, []string{"thread [0 0 0]", "division by zero"}},
		{"tf32 not converted", "", `mov.f32 %f0, 0f3F800001;
	mov.b32 %r1, %f0;
	mov.f32 %f1, 0f00000000;
	mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f2, %f3, %f4, %f5}, {%r1, %r1, %r1, %r1}, {%r1, %r1}, {%f1, %f1, %f1, %f1};`, 32,
			Undefined, []string{"0f3F800001", "cvt.rna.tf32.f32"}},
		{"trap", "", "trap;", 1, Trapped, []string{"line 24: trap;"}},
		{"endless loop", "", "loop:\nbra loop;", 1, OutOfBudget, []string{"has issued 16777216 instructions"}},

		{"lanes of a store disagree", shared, "st.shared.b32 [s], %r0;", 2, Race, []string{"thread [0 0 0] wrote it, and no barrier orders the two"}},
		{"threads of a warp", shared, `mov.u32 %r1, s;
	mad.lo.u32 %r2, %r0, 4, %r1;
	xor.b32 %r3, %r0, 1;
	mad.lo.u32 %r3, %r3, 4, %r1;
	st.shared.b32 [%r2], %r0;
	ld.shared.b32 %r4, [%r3];`, 32, Race, []string{"wrote it"}},
		{"non-coherent load of what the launch writes", "", "ld.global.nc.b32 %r1, [%rd3];\nst.global.b32 [%rd3], %r1;", 1, Race, []string{"a non-coherent load read it"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.shared, strings.ReplaceAll(c.body, "\n", "\n\t"), c.threads, 64)
			_, err := r.run()
			wantFault(t, err, c.kind, c.text...)
		})
	}
}

// Kernels that touch shared memory from two warps, with and without what orders them. Each must be found, or pass, under
// every seed.
func TestRacesUnderEverySeed(t *testing.T) {
	const exchange = `mov.u32 %%r1, s;
	mad.lo.u32 %%r2, %%r0, 4, %%r1;
	xor.b32 %%r3, %%r0, %d;
	mad.lo.u32 %%r3, %%r3, 4, %%r1;
	st.shared.b32 [%%r2], %%r0;
	%s
	ld.shared.b32 %%r4, [%%r3];
	st.global.b32 [%%rd4], %%r4;`
	const reuse = `mov.u32 %%r1, s;
	mad.lo.u32 %%r2, %%r0, 4, %%r1;
	xor.b32 %%r3, %%r0, 32;
	mad.lo.u32 %%r3, %%r3, 4, %%r1;
	st.shared.b32 [%%r2], %%r0;
	bar.sync 0;
	ld.shared.b32 %%r4, [%%r3];
	%s
	st.shared.b32 [%%r2], %%r4;`
	const stage = `mov.u32 %%r1, s;
	mad.lo.u32 %%r2, %%r0, 4, %%r1;
	xor.b32 %%r3, %%r0, 32;
	mad.lo.u32 %%r3, %%r3, 4, %%r1;
	cp.async.ca.shared.global [%%r2], [%%rd3], 4;
	%s
	ld.shared.b32 %%r4, [%%r3];
	cp.async.wait_all;
	st.global.b32 [%%rd4], %%r4;`
	for _, c := range []struct {
		name, body string
		kind       Kind // "" where all is well
	}{
		{"write then read", fmt.Sprintf(exchange, 32, ""), ""}, // its kind depends on the schedule, see below
		{"write, barrier, read", fmt.Sprintf(exchange, 32, "bar.sync 0;"), ""},
		{"write, barrier of all by count, read", fmt.Sprintf(exchange, 32, "bar.sync 3, 128;"), ""},
		{"write, barrier of the other half, read", fmt.Sprintf(exchange, 64, "bar.sync 0;"), ""},
		{"write, fence, read", fmt.Sprintf(exchange, 32, "membar.cta;"), ""},
		{"lanes: write, read", fmt.Sprintf(exchange, 1, ""), Race},
		{"lanes: write, shuffle, read", fmt.Sprintf(exchange, 1, "shfl.sync.idx.b32 %r9, %r0, 0, 31, -1;"), Race},
		{"lanes: write, bar.warp.sync, read", fmt.Sprintf(exchange, 1, "bar.warp.sync -1;"), ""},
		{"warps: write, bar.warp.sync, read", fmt.Sprintf(exchange, 32, "bar.warp.sync -1;"), ""},
		{"read then write", fmt.Sprintf(reuse, ""), Race},
		{"read, barrier, write", fmt.Sprintf(reuse, "bar.sync 0;"), ""},
		{"copy, barrier, wait", fmt.Sprintf(stage, "bar.sync 0;"), PendingCopy},
		{"copy, wait, barrier", fmt.Sprintf(stage, "cp.async.wait_all;\nbar.sync 0;"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, ".shared .align 16 .b8 s[512];", c.body, 128, 128)
			racy := strings.HasSuffix(c.name, "write then read") || strings.Contains(c.name, "fence") || strings.HasPrefix(c.name, "warps")
			for seed := range uint64(40) {
				r.l.Seed = seed
				_, err := r.run()
				switch {
				case racy: // a warp may read before the other has written anything
					if k := kindOf(err); k != Race && k != Uninitialised {
						t.Fatalf("seed %d: %v", seed, err)
					}
				case c.kind == "" && err != nil:
					t.Fatalf("seed %d: %v", seed, err)
				case c.kind != "":
					wantFault(t, err, c.kind)
				}
			}
		})
	}
}

func kindOf(err error) Kind {
	if f, ok := err.(*Fault); ok {
		return f.Kind
	}
	return ""
}

// Partial barriers order the warps that pass them and no others.
func TestPartialBarrierOrdersItsWarpsOnly(t *testing.T) {
	// Warps 0 and 1 meet at barrier 1, warps 2 and 3 at barrier 2; then each warp reads what another wrote before.
	body := `mov.u32 %%r1, s;
	mad.lo.u32 %%r2, %%r0, 4, %%r1;
	xor.b32 %%r3, %%r0, %d;
	mad.lo.u32 %%r3, %%r3, 4, %%r1;
	st.shared.b32 [%%r2], %%r0;
	bar.sync 0;
	st.shared.b32 [%%r2], %%r0;
	setp.lt.u32 %%p0, %%r0, 64;
	@%%p0 bar.sync 1, 64;
	@!%%p0 bar.sync 2, 64;
	ld.shared.b32 %%r4, [%%r3];`
	for seed := range uint64(20) {
		within := newRig(t, ".shared .align 16 .b8 s[512];", fmt.Sprintf(body, 32), 128, 128)
		within.l.Seed = seed
		if _, err := within.run(); err != nil {
			t.Fatal(err)
		}
		across := newRig(t, ".shared .align 16 .b8 s[512];", fmt.Sprintf(body, 64), 128, 128)
		across.l.Seed = seed
		_, err := across.run()
		wantFault(t, err, Race, "no barrier orders the two")
	}
}

func TestLanesMayStoreTheSame(t *testing.T) {
	r := newRig(t, ".shared .align 16 .b8 s[256];", "mov.b32 %r1, 7;\nst.shared.b32 [s], %r1;\nbar.warp.sync -1;\nld.shared.b32 %r2, [s];\nst.global.b32 [%rd4], %r2;", 32, 32)
	if _, err := r.run(); err != nil {
		t.Fatal(err)
	}
	if x := r.words(t, 32)[31]; x != 7 {
		t.Errorf("got %d", x)
	}
}

func TestRacesBetweenBlocks(t *testing.T) {
	for _, c := range []struct{ name, body, text string }{
		{"both write", "st.global.b32 [%rd1], %r0;", "wrote it in the same launch"},
		{"one reads what another writes", `mov.u32 %r1, %ctaid.x;
	setp.eq.u32 %p0, %r1, 3;
	@%p0 st.global.b32 [%rd0], %r0;
	@!%p0 ld.global.b32 %r2, [%rd0];`, "it in the same launch"},
		{"one updates what another writes", `mov.u32 %r1, %ctaid.x;
	setp.eq.u32 %p0, %r1, 3;
	@%p0 st.global.b32 [%rd0], %r0;
	@!%p0 red.global.add.u32 [%rd0], 1;`, "it in the same launch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(10) {
				var first string
				for _, workers := range []int{1, 2, 8} {
					r := newRig(t, "", c.body, 1, 64)
					r.l.Grid, r.l.Seed, r.l.Workers = [3]int{8, 1, 1}, seed, workers
					_, err := r.run()
					wantFault(t, err, Race, c.text)
					if first == "" {
						first = err.Error()
					}
					if err.Error() != first {
						t.Fatalf("seed %d: with %d workers %v, with one %s", seed, workers, err, first)
					}
				}
			}
		})
	}
}

func TestAtomicsOfBlocksAreNoRace(t *testing.T) {
	r := newRig(t, "", "red.global.add.u32 [%rd0], 1;\natom.global.max.u32 %r2, [%rd0+4], %r0;", 64, 64)
	r.l.Grid[0] = 5
	if _, err := r.run(); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 8)
	if err := r.mem.Read(r.a, p); err != nil {
		t.Fatal(err)
	}
	if want := []byte{64, 1, 0, 0, 63, 0, 0, 0}; !bytes.Equal(p, want) { // 5·64 = 0x140
		t.Errorf("got % x, want % x", p, want)
	}
}

func TestFaultRestoresMemory(t *testing.T) {
	for _, workers := range []int{1, 4} {
		// Every block writes its word of b and of a; the last divides by zero.
		r := newRig(t, "", `mov.u32 %r1, %ctaid.x;
	mul.wide.u32 %rd5, %r1, 4;
	add.u64 %rd6, %rd1, %rd5;
	add.u64 %rd7, %rd0, %rd5;
	mov.b32 %r2, 99;
	st.global.b32 [%rd6], %r2;
	st.global.b32 [%rd7], %r2;
	sub.u32 %r3, 63, %r1;
	div.u32 %r4, 1, %r3;`, 1, 64)
		r.l.Grid[0], r.l.Workers = 64, workers
		before := make([]byte, 256)
		if err := r.mem.Read(r.a, before); err != nil {
			t.Fatal(err)
		}
		_, err := r.run()
		wantFault(t, err, Undefined, "block [63 0 0]")
		after := make([]byte, 256)
		if err := r.mem.Read(r.a, after); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, after) {
			t.Error("the launch's writes are still there")
		}
		if kind := r.mem.Read(r.b, after[:4]); kind == nil {
			t.Error("b is initialised")
		}
	}
}

func TestBadLaunches(t *testing.T) {
	for _, c := range []struct {
		text   string
		change func(*Launch)
	}{
		{"ptxsim: k2: bad launch: the module has no such kernel", func(l *Launch) { l.Kernel = "k2" }},
		{"1 parameters given, the kernel has 2", func(l *Launch) { l.Params = l.Params[:1] }},
		{"every dimension must be at least 1", func(l *Launch) { l.Grid[1] = 0 }},
		{"grid [1 65536 1]: more blocks", func(l *Launch) { l.Grid[1] = 65536 }},
		{"grid [2147483647 65535 1]: more blocks", func(l *Launch) { l.Grid = [3]int{1<<31 - 1, 65535, 1} }},
		{"block [1025 1 1]: more than 1024 threads", func(l *Launch) { l.Block[0] = 1025 }},
		{"block [512 2 2]: more than 1024 threads", func(l *Launch) { l.Block = [3]int{512, 2, 2} }},
		{"4 bytes of dynamic shared memory, but the kernel declares none", func(l *Launch) { l.DynamicShared = 4 }},
	} {
		r := newRig(t, "", "", 32, 32)
		c.change(&r.l)
		_, err := r.run()
		wantFault(t, err, BadLaunch, c.text)
	}

	r := newRig(t, ".extern .shared .align 16 .b8 s[];", "st.shared.b32 [s+101372], %r0;", 1, 32)
	r.l.DynamicShared = 99 << 10
	if _, err := r.run(); err != nil {
		t.Error(err)
	}
	r.l.DynamicShared++
	_, err := r.run()
	wantFault(t, err, BadLaunch, "101377 bytes of shared memory (101377 of them dynamic), sm_89 has 101376")

	small := program(t, strings.Replace(kernelText("", ""), ".maxntid 1024,", ".maxntid 64,", 1))
	_, err = small.Launch(r.mem, Launch{Kernel: "k", Grid: [3]int{1, 1, 1}, Block: [3]int{65, 1, 1}, Params: []uint64{0, 0}})
	wantFault(t, err, BadLaunch, "more threads than .maxntid 64, 1, 1")
}
