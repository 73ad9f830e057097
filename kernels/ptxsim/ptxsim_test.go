package ptxsim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"vith/kernels/ptx"
)

// header opens a kernel k with parameters a and b, both addresses, and enough registers.
const header = `.version 8.1
.target sm_89
.address_size 64
%s
.visible .entry k(
	.param .u64 a,
	.param .u64 b
)
.maxntid 1024, 1, 1
.minnctapersm 1
{
%s
	.reg .pred %%p<16>;
	.reg .b16 %%h<16>;
	.reg .b32 %%r<64>;
	.reg .b64 %%rd<32>;
	.reg .f32 %%f<64>;
	ld.param.u64 %%rd0, [a];
	ld.param.u64 %%rd1, [b];
	mov.u32 %%r0, %%tid.x;
	mul.wide.u32 %%rd2, %%r0, 4;
	add.u64 %%rd3, %%rd0, %%rd2;
	add.u64 %%rd4, %%rd1, %%rd2;
%s
	ret;
}
`

// kernelText is kernel k with body. In it, %rd0 and %rd1 are the parameters, %r0 is the thread, and %rd3 and %rd4 are the
// parameters plus 4 bytes for each thread. shared declares its arrays.
func kernelText(shared, body string) string {
	if strings.HasPrefix(shared, ".extern") {
		return fmt.Sprintf(header, shared, "", body)
	}
	return fmt.Sprintf(header, "", shared, body)
}

func program(t testing.TB, text string) *Program {
	t.Helper()
	m, err := ptx.Parse(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	p, err := Load(m)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A rig is kernel k with its two buffers: a of words that are initialised to 0, 1, 2, ..., b of words that are not.
type rig struct {
	p    *Program
	mem  *Memory
	a, b uint64
	l    Launch
}

func newRig(t testing.TB, shared, body string, threads, words int) *rig {
	t.Helper()
	r := &rig{p: program(t, kernelText(shared, body)), mem: NewMemory()}
	r.a, r.b = r.mem.Alloc("a", 4*words), r.mem.Alloc("b", 4*words)
	in := make([]byte, 4*words)
	for i := range words {
		binary.LittleEndian.PutUint32(in[4*i:], uint32(i))
	}
	if err := r.mem.Write(r.a, in); err != nil {
		t.Fatal(err)
	}
	r.l = Launch{Kernel: "k", Grid: [3]int{1, 1, 1}, Block: [3]int{threads, 1, 1}, Params: []uint64{r.a, r.b}, Seed: 1, Workers: 1}
	return r
}

func (r *rig) run() (Stats, error) { return r.p.Launch(r.mem, r.l) }

// words reads n words of buffer b.
func (r *rig) words(t testing.TB, n int) []uint32 {
	t.Helper()
	p := make([]byte, 4*n)
	if err := r.mem.Read(r.b, p); err != nil {
		t.Fatal(err)
	}
	x := make([]uint32, n)
	for i := range x {
		x[i] = binary.LittleEndian.Uint32(p[4*i:])
	}
	return x
}

// wantFault asserts that err is a fault of that kind whose text holds all of parts.
func wantFault(t *testing.T, err error, kind Kind, parts ...string) {
	t.Helper()
	var f *Fault
	if !errors.As(err, &f) || !errors.Is(err, kind) {
		t.Fatalf("got error %v, want a fault of kind %q", err, kind)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("fault does not say %q:\n%v", p, err)
		}
	}
}

func TestGridOfBlocks(t *testing.T) {
	// b[i] = 2·a[i] over 3 ragged blocks of 45 threads.
	r := newRig(t, "", `
	mov.u32 %r1, %ctaid.x;
	mov.u32 %r2, %ntid.x;
	mad.lo.u32 %r3, %r1, %r2, %r0;
	mul.wide.u32 %rd5, %r3, 4;
	add.u64 %rd6, %rd0, %rd5;
	add.u64 %rd7, %rd1, %rd5;
	ld.global.nc.b32 %r4, [%rd6];
	add.u32 %r4, %r4, %r4;
	st.global.b32 [%rd7], %r4;`, 45, 135)
	r.l.Grid[0] = 3
	for _, workers := range []int{1, 4} {
		r.l.Workers = workers
		stats, err := r.run()
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range r.words(t, 135) {
			if x != uint32(2*i) {
				t.Fatalf("b[%d] = %d", i, x)
			}
		}
		if n := stats.Instructions[ptx.ClassLoad]; n != 3*2*3 {
			t.Errorf("%d loads issued, want 3 by each of 2 warps of 3 blocks", n)
		}
	}
}
