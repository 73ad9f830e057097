package simd

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// eachTier runs a test once for every tier that this machine has.
func eachTier(t *testing.T, f func(t *testing.T, tier *Tier)) {
	for _, tier := range Tiers() {
		t.Run(tier.Name, func(t *testing.T) { f(t, tier) })
	}
}

// A fence is memory of which no routine may touch what lies before or after it. An operand taken from its start shows
// an access before the first byte, one taken from its end an access beyond the last.
type fence []byte

// place returns n bytes at the start or the end of the fence.
func (f fence) place(n int, end bool) []byte {
	if end {
		return f[len(f)-n:]
	}
	return f[:n]
}

// source makes test runs repeatable.
var source = rand.New(rand.NewPCG(1, 2))

// fill makes bytes, many of them extreme.
func fill(p []byte) []byte {
	for i := range p {
		p[i] = byte(source.Uint32())
		if source.IntN(3) == 0 {
			p[i] = byte(source.IntN(2) * 255)
		}
	}
	return p
}

// lengths are row lengths: all around one and two chunks, and real ones.
func lengths(from int) []int {
	var n []int
	for i := from; i <= 100; i++ {
		n = append(n, i)
	}
	return append(n, 240, 319, 320, 640, 1001)
}

func TestTiers(t *testing.T) {
	tiers := Tiers()
	if last := tiers[len(tiers)-1]; last.Name != "generic" {
		t.Errorf("the last tier is %q, want generic", last.Name)
	}
	if Best() != tiers[0] {
		t.Errorf("the best tier is %q, want %q", Best().Name, tiers[0].Name)
	}
	if clear(tiers); slices.Contains(Tiers(), nil) {
		t.Error("a caller changed what Tiers returns")
	}
}

// Routines on rows: all lengths, at both ends of a fence, against the portable ones.
func TestRows(t *testing.T) {
	const most = 4096
	dst := newFence(t, most)
	var src [3]fence
	for i := range src {
		src[i] = newFence(t, most)
	}
	for _, routine := range []struct {
		name          string
		operands      int
		shortest, out int // samples of an operand, bytes for one
		run           func(tier *Tier, dst []byte, src [3][]byte)
	}{
		{"H2V1", 1, 1, 2, func(tier *Tier, dst []byte, src [3][]byte) { tier.H2V1(dst, src[0]) }},
		{"H1V2 up", 2, 1, 1, func(tier *Tier, dst []byte, src [3][]byte) { tier.H1V2(dst, src[0], src[1], 1) }},
		{"H1V2 down", 2, 1, 1, func(tier *Tier, dst []byte, src [3][]byte) { tier.H1V2(dst, src[0], src[1], 2) }},
		{"H2V2", 2, 1, 2, func(tier *Tier, dst []byte, src [3][]byte) { tier.H2V2(dst, src[0], src[1]) }},
		{"RGB", 3, 0, 3, func(tier *Tier, dst []byte, src [3][]byte) { tier.RGB(dst, src[0], src[1], src[2]) }},
		{"Interleave", 3, 0, 3, func(tier *Tier, dst []byte, src [3][]byte) { tier.Interleave(dst, src[0], src[1], src[2]) }},
	} {
		eachTier(t, func(t *testing.T, tier *Tier) {
			for _, n := range lengths(routine.shortest) {
				for _, end := range []bool{false, true} {
					var operands [3][]byte
					for i := range routine.operands {
						operands[i] = fill(src[i].place(n, end))
					}
					before := [3][]byte{bytes.Clone(operands[0]), bytes.Clone(operands[1]), bytes.Clone(operands[2])}
					want := make([]byte, routine.out*n)
					routine.run(&generic, want, operands)
					got := fill(dst.place(len(want), end))
					routine.run(tier, got, operands)
					if !bytes.Equal(got, want) {
						t.Fatalf("%s of %d: byte %d differs from the portable routine", routine.name, n, difference(got, want))
					}
					for i := range operands {
						if !bytes.Equal(operands[i], before[i]) {
							t.Fatalf("%s of %d changed operand %d", routine.name, n, i)
						}
					}
				}
			}
		})
	}
}

// difference is the index of the first byte that differs.
func difference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

// Operands that are too short are a panic.
func TestShortOperands(t *testing.T) {
	eachTier(t, func(t *testing.T, tier *Tier) {
		long, short := make([]byte, 400), make([]byte, 99)
		filters := []Filter{{0, []int32{1 << FractionBits}}, {1, []int32{1}}, {2, []int32{1}}, {99, []int32{1}}}
		for name, f := range map[string]func(){
			"IDCT":              func() { tier.IDCT(make([]byte, 7*9+7), 9, new([64]int16), new([64]uint16)) },
			"H2V1, dst":         func() { tier.H2V1(short[:99:99], long[:50]) },
			"H1V2, dst":         func() { tier.H1V2(short[:99:99], long[:100], long[:100], 1) },
			"H1V2, far":         func() { tier.H1V2(long, long[:100], short[:99:99], 1) },
			"H2V2, dst":         func() { tier.H2V2(short[:99:99], long[:50], long[:50]) },
			"H2V2, far":         func() { tier.H2V2(long, long[:100], short[:99:99]) },
			"RGB, dst":          func() { tier.RGB(short[:99:99], long[:34], long[:34], long[:34]) },
			"RGB, blue":         func() { tier.RGB(make([]byte, 300), long[:100], short[:99:99], long) },
			"RGB, red":          func() { tier.RGB(make([]byte, 300), long[:100], long, short[:99:99]) },
			"Interleave, dst":   func() { tier.Interleave(short[:99:99], long[:34], long[:34], long[:34]) },
			"Interleave, b":     func() { tier.Interleave(make([]byte, 300), long[:100], long, short[:99:99]) },
			"Across, dst":       func() { tier.Across(filters, 100)(make([]byte, 11), make([]byte, 300)) },
			"Across, row":       func() { tier.Across(filters, 100)(make([]byte, 12), make([]byte, 299)) },
			"Down, ring":        func() { tier.Down(make([]byte, 50), long[:99:99], []int{0, 50}, []int32{1, 1}) },
			"Down, negative":    func() { tier.Down(make([]byte, 50), long, []int{0, -1}, []int32{1, 1}) },
			"Down, few offsets": func() { tier.Down(make([]byte, 50), long, []int{0}, []int32{1, 1}) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: accepted", name)
					}
				}()
				f()
			}()
		}
	})
}

func TestAllocations(t *testing.T) {
	eachTier(t, func(t *testing.T, tier *Tier) {
		p, dst := make([]byte, 3000), make([]byte, 3000)
		block, quant := new([64]int16), new([64]uint16)
		block[9] = 1
		pass := tier.Across(randomFilters(100, 50, 9), 100)
		offsets, weights := []int{0, 100, 200}, []int32{1, 2, 3}
		for name, f := range map[string]func(){
			"IDCT":       func() { tier.IDCT(dst, 8, block, quant) },
			"H2V1":       func() { tier.H2V1(dst, p[:70]) },
			"H1V2":       func() { tier.H1V2(dst, p[:70], p[100:170], 1) },
			"H2V2":       func() { tier.H2V2(dst, p[:70], p[100:170]) },
			"RGB":        func() { tier.RGB(dst, p[:70], p[:70], p[:70]) },
			"Interleave": func() { tier.Interleave(dst, p[:70], p[:70], p[:70]) },
			"Across":     func() { pass(dst, p[:300]) },
			"Down":       func() { tier.Down(dst[:100], p, offsets, weights) },
		} {
			if n := testing.AllocsPerRun(10, f); n != 0 {
				t.Errorf("%s allocates %g times", name, n)
			}
		}
	})
}

func BenchmarkTiers(b *testing.B) {
	for _, tier := range Tiers() {
		p, dst := fill(make([]byte, 8000)), make([]byte, 8000)
		full, row, quant := new([64]int16), &[64]int16{1, 2, 3}, new([64]uint16)
		for i := range full {
			full[i], quant[i] = int16(i), 3
		}
		pass := tier.Across(randomFilters(640, 224, 9), 640)
		offsets, weights := []int{0, 700, 1400, 2100, 2800, 3500, 4200, 4900, 5600}, make([]int32, 9)
		for _, routine := range []struct {
			name  string
			bytes int
			f     func()
		}{
			{"IDCT", 64, func() { tier.IDCT(dst, 640, full, quant) }},
			{"IDCT-first-row", 64, func() { tier.IDCT(dst, 640, row, quant) }},
			{"H2V1", 640, func() { tier.H2V1(dst, p[:320]) }},
			{"H1V2", 640, func() { tier.H1V2(dst, p[:640], p[640:1280], 1) }},
			{"H2V2", 640, func() { tier.H2V2(dst, p[:320], p[320:640]) }},
			{"RGB", 1920, func() { tier.RGB(dst, p[:640], p[640:1280], p[1280:1920]) }},
			{"Interleave", 1920, func() { tier.Interleave(dst, p[:640], p[640:1280], p[1280:1920]) }},
			{"Across", 1920, func() { pass(dst, p[:1920]) }},
			{"Down", 672, func() { tier.Down(dst[:672], p, offsets, weights) }},
		} {
			b.Run("routine="+routine.name+"/tier="+tier.Name, func(b *testing.B) {
				b.SetBytes(int64(routine.bytes))
				for b.Loop() {
					routine.f()
				}
			})
		}
	}
}
