package ptxsim

import (
	"reflect"
	"testing"
)

// mixed exchanges values through shared memory, diverges, and computes an approximation.
const mixed = `mov.u32 %r1, %ctaid.x;
	mov.u32 %r2, %ntid.x;
	mad.lo.u32 %r3, %r1, %r2, %r0;
	mul.wide.u32 %rd5, %r3, 4;
	add.u64 %rd6, %rd0, %rd5;
	add.u64 %rd7, %rd1, %rd5;
	ld.global.b32 %r4, [%rd6];
	mov.u32 %r5, s;
	mad.lo.u32 %r6, %r0, 4, %r5;
	st.shared.b32 [%r6], %r4;
	bar.sync 0;
	xor.b32 %r7, %r0, 32;
	mad.lo.u32 %r7, %r7, 4, %r5;
	ld.shared.b32 %r8, [%r7];
	and.b32 %r9, %r8, 3;
	loop:
	setp.eq.u32 %p0, %r9, 0;
	@%p0 bra done;
	mul.lo.u32 %r8, %r8, 3;
	sub.u32 %r9, %r9, 1;
	bra loop;
	done:
	cvt.rn.f32.u32 %f0, %r8;
	ex2.approx.f32 %f1, %f0;
	rcp.approx.f32 %f1, %f0;
	st.global.f32 [%rd7], %f1;`

func TestResultsDoNotDependOnWorkers(t *testing.T) {
	const threads, blocks = 64, 37
	var bySeed [][]uint32
	for seed := range uint64(3) {
		var words []uint32
		var stats Stats
		for _, workers := range []int{1, 2, 5, 64} {
			r := newRig(t, ".shared .align 4 .b8 s[256];", mixed, threads, threads*blocks)
			r.l.Grid[0], r.l.Seed, r.l.Workers = blocks, seed, workers
			s, err := r.run()
			if err != nil {
				t.Fatal(err)
			}
			got := r.words(t, threads*blocks)
			if words == nil {
				words, stats = got, s
			}
			if !reflect.DeepEqual(got, words) {
				t.Errorf("seed %d: %d workers give other results", seed, workers)
			}
			if s != stats {
				t.Errorf("seed %d: %d workers count %+v, one %+v", seed, workers, s, stats)
			}
		}
		bySeed = append(bySeed, words)
	}
	if reflect.DeepEqual(bySeed[0], bySeed[1]) {
		t.Error("the errors of approximations do not depend on the seed")
	}
}

func TestProgramsAreSharedByGoroutines(t *testing.T) {
	r := newRig(t, ".shared .align 4 .b8 s[256];", mixed, 64, 64)
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			other := *r
			_, err := other.run()
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
