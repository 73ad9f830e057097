package ptxsim

import (
	"fmt"
	"math/bits"
	"testing"

	"vith/kernels/ptx"
)

// results runs body on n threads and returns %r10 of each.
func results(t *testing.T, l Launch, shared, body string, n int) []uint32 {
	t.Helper()
	r := newRig(t, shared, body+"\nst.global.b32 [%rd4], %r10;", n, n)
	r.l.Seed, r.l.Accumulation, r.l.Exact = l.Seed, l.Accumulation, l.Exact
	if _, err := r.run(); err != nil {
		t.Fatal(err)
	}
	return r.words(t, n)
}

func wantLanes(t *testing.T, got []uint32, want func(lane int) uint32) {
	t.Helper()
	for l, x := range got {
		if w := want(l); x != w {
			t.Fatalf("lane %d has %d, want %d", l, x, w)
		}
	}
}

func TestShuffles(t *testing.T) {
	// The manual's pseudocode, for whole warps and for segments of 8 and 16 lanes.
	source := func(mode string, lane, b, c int) int {
		mask, bound := c>>8&31, c&31
		maxLane := lane&mask | bound&^mask
		minLane := lane & mask
		var j int
		var in bool
		switch mode {
		case "up":
			j = lane - b
			in = j >= maxLane
		case "down":
			j = lane + b
			in = j <= maxLane
		case "bfly":
			j = lane ^ b
			in = j <= maxLane
		case "idx":
			j = minLane | b&^mask
			in = j <= maxLane
		}
		if !in {
			return lane
		}
		return j
	}
	for _, mode := range []string{"up", "down", "bfly", "idx"} {
		for _, width := range []int{32, 16, 8} {
			for _, b := range []int{0, 1, 5, 16, 31} {
				c := (32-width)<<8 | 31
				if mode == "up" {
					c &^= 31
				}
				body := fmt.Sprintf("add.u32 %%r1, %%r0, 100;\nshfl.sync.%s.b32 %%r10, %%r1, %d, %d, -1;", mode, b, c)
				wantLanes(t, results(t, Launch{}, "", body, 32), func(l int) uint32 { return uint32(100 + source(mode, l, b, c)) })
			}
		}
	}
}

func TestShuffleOfHalfWarps(t *testing.T) {
	// Each half shuffles by itself, with its own membermask, in one instruction and on the two sides of a branch.
	wantLanes(t, results(t, Launch{}, "", `setp.lt.u32 %p0, %r0, 16;
	selp.b32 %r1, 65535, -65536, %p0;
	shfl.sync.bfly.b32 %r10, %r0, 15, 31, %r1;`, 32), func(l int) uint32 { return uint32(l ^ 15) })
	wantLanes(t, results(t, Launch{}, "", `setp.lt.u32 %p0, %r0, 16;
	@%p0 bra low;
	shfl.sync.bfly.b32 %r10, %r0, 1, 31, -65536;
	bra join;
	low:
	shfl.sync.bfly.b32 %r10, %r0, 2, 31, 65535;
	join:`, 32), func(l int) uint32 {
		if l < 16 {
			return uint32(l ^ 2)
		}
		return uint32(l ^ 1)
	})
}

func TestThreadsMeetAtSync(t *testing.T) {
	// A loop of lane/4 turns, then a vote of all lanes: groups must wait there for the slowest.
	wantLanes(t, results(t, Launch{}, "", `shr.u32 %r1, %r0, 2;
	mov.b32 %r2, 0;
	loop:
	setp.ge.u32 %p0, %r2, %r1;
	@%p0 bra done;
	add.u32 %r2, %r2, 1;
	bra loop;
	done:
	and.b32 %r3, %r2, 1;
	setp.eq.u32 %p1, %r3, 1;
	vote.sync.ballot.b32 %r10, %p1, -1;`, 32), func(int) uint32 { return 0xf0f0f0f0 })

	// Warps that exit early do not keep the rest of theirs from voting.
	r := newRig(t, "", `setp.lt.u32 %p0, %r0, 4;
	@%p0 exit;
	setp.lt.u32 %p1, %r0, 6;
	vote.sync.ballot.b32 %r10, %p1, -1;
	st.global.b32 [%rd1], %r10;`, 32, 1)
	if _, err := r.run(); err != nil {
		t.Fatal(err)
	}
	if x := r.words(t, 1)[0]; x != 0x30 {
		t.Errorf("ballot %#x", x)
	}
}

func TestVotesAndReductions(t *testing.T) {
	for _, c := range []struct {
		mode  string
		below int // the predicate is true in lanes below
		want  uint32
	}{{"all", 32, 1}, {"all", 31, 0}, {"any", 1, 1}, {"any", 0, 0}} {
		body := fmt.Sprintf("setp.lt.u32 %%p0, %%r0, %d;\nvote.sync.%s.pred %%p1, %%p0, -1;\nselp.b32 %%r10, 1, 0, %%p1;", c.below, c.mode)
		wantLanes(t, results(t, Launch{}, "", body, 32), func(int) uint32 { return c.want })
	}
	minus := func(x int32) uint32 { return uint32(x) }
	for op, want := range map[string]uint32{
		"add.u32": 31*16 - 5*32, "add.s32": 31*16 - 5*32, "min.u32": 0, "max.u32": minus(-1), "min.s32": minus(-5), "max.s32": 26,
	} {
		body := "sub.u32 %r1, %r0, 5;\nredux.sync." + op + " %r10, %r1, -1;"
		wantLanes(t, results(t, Launch{}, "", body, 32), func(int) uint32 { return want })
	}
	wantLanes(t, results(t, Launch{}, "", "activemask.b32 %r10;", 20), func(int) uint32 { return 1<<20 - 1 })
}

func TestSpecialRegisters(t *testing.T) {
	const bx, by, bz = 5, 3, 4
	for name, want := range map[string]func(tid, block [3]int) int{
		"%tid.x": func(tid, _ [3]int) int { return tid[0] }, "%tid.y": func(tid, _ [3]int) int { return tid[1] },
		"%tid.z": func(tid, _ [3]int) int { return tid[2] }, "%ntid.x": func(_, _ [3]int) int { return bx },
		"%ntid.y": func(_, _ [3]int) int { return by }, "%ntid.z": func(_, _ [3]int) int { return bz },
		"%ctaid.x": func(_, b [3]int) int { return b[0] }, "%ctaid.y": func(_, b [3]int) int { return b[1] },
		"%ctaid.z": func(_, b [3]int) int { return b[2] }, "%nctaid.x": func(_, _ [3]int) int { return 2 },
		"%nctaid.y": func(_, _ [3]int) int { return 3 }, "%nctaid.z": func(_, _ [3]int) int { return 4 },
		"%laneid": func(tid, _ [3]int) int { return (tid[0] + bx*(tid[1]+by*tid[2])) % 32 },
	} {
		// The linear index of the thread is ((ctaid.z·3 + ctaid.y)·2 + ctaid.x)·60 + (tid.z·3 + tid.y)·5 + tid.x.
		r := newRig(t, "", `mov.u32 %r1, %tid.y;
	mov.u32 %r2, %tid.z;
	mad.lo.u32 %r1, %r2, 3, %r1;
	mad.lo.u32 %r1, %r1, 5, %r0;
	mov.u32 %r3, %ctaid.x;
	mov.u32 %r4, %ctaid.y;
	mov.u32 %r5, %ctaid.z;
	mad.lo.u32 %r4, %r5, 3, %r4;
	mad.lo.u32 %r4, %r4, 2, %r3;
	mad.lo.u32 %r1, %r4, 60, %r1;
	mul.wide.u32 %rd5, %r1, 4;
	add.u64 %rd5, %rd1, %rd5;
	mov.u32 %r9, `+name+`;
	st.global.b32 [%rd5], %r9;`, 1, 60*24)
		r.l.Grid, r.l.Block = [3]int{2, 3, 4}, [3]int{bx, by, bz}
		if _, err := r.run(); err != nil {
			t.Fatal(err)
		}
		for i, x := range r.words(t, 60*24) {
			tid, block := position(i%60, r.l.Block), position(i/60, r.l.Grid)
			if w := want(tid, block); int(x) != w {
				t.Fatalf("%s is %d in thread %v of block %v, want %d", name, x, tid, block, w)
			}
		}
	}
	first := results(t, Launch{Seed: 1}, "", "mov.u32 %r10, %warpid;", 64)
	if first[63] != (first[0]+1)%64 {
		t.Errorf("%%warpid is %d and %d", first[0], first[63])
	}
	differs := false
	for seed := range uint64(8) {
		differs = differs || results(t, Launch{Seed: seed}, "", "mov.u32 %r10, %warpid;", 64)[0] != first[0]
	}
	if !differs {
		t.Error("%warpid can be relied on")
	}
}

func TestLoadsAndStores(t *testing.T) {
	const shared = ".shared .align 16 .b8 s[2048];"
	// Bytes of a: word i is i. Thread l copies and widens; want is %r10.
	for _, c := range []struct {
		body string
		want func(l int) uint32
	}{
		{"ld.global.u8 %r10, [%rd3];", func(l int) uint32 { return uint32(l) & 255 }},
		{"xor.b32 %r1, %r0, -1;\nst.global.b8 [%rd4], %r1;\nld.global.s8 %r10, [%rd4];", func(l int) uint32 { return uint32(int8(^l)) }},
		{"ld.global.b16 %h0, [%rd3];\ncvt.u32.u16 %r10, %h0;", func(l int) uint32 { return uint32(l) }},
		{"ld.global.cg.v2.b32 {%r1, %r2}, [%rd0+64];\nadd.u32 %r10, %r1, %r2;", func(int) uint32 { return 33 }},
		{"ld.global.nc.v4.b32 {%r1, %r2, %r3, %r10}, [%rd0+64];", func(int) uint32 { return 19 }},
		{"ld.global.f32 %f0, [%rd3];\nmov.b32 %r10, %f0;", func(l int) uint32 { return uint32(l) }},
		{"ld.global.b64 %rd5, [%rd0+8];\nshr.u64 %rd5, %rd5, 32;\ncvt.u32.u64 %r10, %rd5;", func(int) uint32 { return 3 }},
		{"shl.b32 %r1, %r0, 4;\nmov.u32 %r2, s;\nadd.u32 %r1, %r1, %r2;\nst.shared.v4.b32 [%r1], {%r0, %r1, %r2, %r0};\nld.shared.v2.b32 {%r3, %r10}, [%r1+8];",
			func(l int) uint32 { return uint32(l) }},
		{"shl.b32 %r1, %r0, 1;\nmov.u32 %r2, s;\nadd.u32 %r1, %r1, %r2;\ncvt.u16.u32 %h0, %r0;\nst.shared.b16 [%r1], %h0;\nld.shared.u8 %r10, [%r1];",
			func(l int) uint32 { return uint32(l) }},
		{"mov.b32 {%h0, %h1}, %r0;\nmov.b32 %r10, {%h1, %h0};", func(l int) uint32 { return uint32(l) << 16 }},
	} {
		wantLanes(t, results(t, Launch{}, shared, c.body, 96), c.want)
	}
	wantLanes(t, results(t, Launch{}, "", "mov.b32 %r1, 7;\nmov.b64 %rd5, {%r0, %r1};\nmov.b64 {%r2, %r10}, %rd5;\nadd.u32 %r10, %r2, %r10;", 32),
		func(l int) uint32 { return uint32(l) + 7 })
}

func TestAsyncCopies(t *testing.T) {
	// Two groups of copies; after wait_group 1 the first is there, after wait_all the second, filled with zeros behind
	// its source size.
	got := results(t, Launch{}, ".shared .align 16 .b8 s[512];", `mov.u32 %r1, s;
	shl.b32 %r2, %r0, 3;
	add.u32 %r1, %r1, %r2;
	add.u64 %rd5, %rd3, 128;
	cp.async.ca.shared.global [%r1], [%rd3], 4;
	cp.async.commit_group;
	mov.b32 %r3, 2;
	cp.async.ca.shared.global [%r1+4], [%rd3], 4, %r3;
	cp.async.commit_group;
	cp.async.wait_group 1;
	ld.shared.b32 %r4, [%r1];
	cp.async.wait_all;
	ld.shared.b32 %r5, [%r1+4];
	shl.b32 %r5, %r5, 8;
	add.u32 %r10, %r4, %r5;`, 32)
	wantLanes(t, got, func(l int) uint32 { return uint32(l | l<<8) })

	// Of a source of no bytes the address does not matter.
	wantLanes(t, results(t, Launch{}, ".shared .align 16 .b8 s[512];", `mov.b64 %rd5, 0;
	mov.u32 %r1, s;
	shl.b32 %r2, %r0, 4;
	add.u32 %r1, %r1, %r2;
	cp.async.cg.shared.global [%r1], [%rd5], 16, 0;
	cp.async.wait_all;
	ld.shared.b32 %r10, [%r1+12];`, 32), func(int) uint32 { return 0 })
}

func TestAtomics(t *testing.T) {
	// 64 threads draw tickets; each number is drawn once, in an order that depends on the seed.
	orders := map[string]bool{}
	for seed := range uint64(4) {
		got := results(t, Launch{Seed: seed}, ".shared .align 16 .b8 s[16];", `setp.eq.u32 %p0, %r0, 0;
	mov.b32 %r1, 0;
	@%p0 st.shared.b32 [s], %r1;
	bar.sync 0;
	atom.shared.add.u32 %r10, [s], 1;`, 64)
		var drawn uint64
		for _, x := range got {
			drawn |= 1 << x
		}
		if bits.OnesCount64(drawn) != 64 {
			t.Fatalf("tickets %v", got)
		}
		orders[fmt.Sprint(got)] = true
	}
	if len(orders) < 2 {
		t.Error("the schedule does not depend on the seed")
	}
	for op, want := range map[string]uint32{"max.u32": 0xffffffff, "max.s32": 30} {
		r := newRig(t, "", "sub.u32 %r1, %r0, 1;\nred.global."+op+" [%rd0], %r1;\natom.global."+op+" %r2, [%rd0], %r1;", 32, 32)
		if _, err := r.run(); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 4)
		if err := r.mem.Read(r.a, p); err != nil {
			t.Fatal(err)
		}
		if got := uint32(getElement(p, 4, false)); got != want {
			t.Errorf("%s gives %#x, want %#x", op, got, want)
		}
	}
	r := newRig(t, "", "mov.f32 %f0, 0f3F800000;\nred.global.add.f32 [%rd0], %f0;", 32, 32)
	if _, err := r.run(); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4)
	if err := r.mem.Read(r.a, p); err != nil || fl(getElement(p, 4, false)) != 32 {
		t.Errorf("32 ones are %v, %v", fl(getElement(p, 4, false)), err)
	}
}

func TestStats(t *testing.T) {
	const shared = ".shared .align 16 .b8 s[4096];"
	run := func(body string) Stats {
		t.Helper()
		r := newRig(t, shared, body, 32, 1024)
		s, err := r.run()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	conflicts := func(stride, width int) (wavefronts, extra int64) {
		values := map[int]string{4: "b32 [%r1], %r0", 8: "v2.b32 [%r1], {%r0, %r0}", 16: "v4.b32 [%r1], {%r0, %r0, %r0, %r0}"}
		s := run(fmt.Sprintf("mov.u32 %%r2, s;\nmad.lo.u32 %%r1, %%r0, %d, %%r2;\nst.shared.%s;", stride, values[width]))
		return s.SharedWavefronts, s.BankConflicts
	}
	for _, c := range []struct {
		stride, width     int
		wavefronts, extra int64
	}{{4, 4, 1, 0}, {8, 4, 2, 1}, {128, 4, 32, 31}, {36, 4, 1, 0}, {8, 8, 2, 0}, {16, 16, 4, 0}, {32, 16, 8, 4}, {80, 16, 4, 0}} {
		if w, x := conflicts(c.stride, c.width); w != c.wavefronts || x != c.extra {
			t.Errorf("stores of %d bytes every %d take %d passes, %d too many; want %d, %d", c.width, c.stride, w, x, c.wavefronts, c.extra)
		}
	}
	if s := run("mov.b32 %r1, 7;\nst.shared.b32 [s], %r1;"); s.SharedWavefronts != 1 || s.BankConflicts != 0 {
		t.Errorf("a broadcast takes %d passes", s.SharedWavefronts)
	}
	for _, c := range []struct {
		body         string
		sectors, min int64
	}{
		{"ld.global.b32 %r1, [%rd3];", 4, 4},
		{"ld.global.b32 %r1, [%rd0];", 1, 1},
		{"ld.global.b32 %r1, [%rd3+4];", 5, 4},
		{"mul.wide.u32 %rd5, %r0, 32;\nadd.u64 %rd5, %rd5, %rd0;\nld.global.b32 %r1, [%rd5];", 32, 4},
		{"mul.wide.u32 %rd5, %r0, 16;\nadd.u64 %rd5, %rd5, %rd0;\nld.global.v4.b32 {%r1, %r2, %r3, %r4}, [%rd5];", 16, 16},
	} {
		if s := run(c.body); s.GlobalSectors != c.sectors || s.GlobalMinSectors != c.min {
			t.Errorf("%s touches %d sectors, at least %d; want %d, %d", c.body, s.GlobalSectors, s.GlobalMinSectors, c.sectors, c.min)
		}
	}
	if s := run("bar.sync 0;\nbar.warp.sync -1;"); s.Instructions[ptx.ClassBarrier] != 2 {
		t.Errorf("%d barriers issued", s.Instructions[ptx.ClassBarrier])
	}
}
