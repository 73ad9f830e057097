package ptx

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
)

// checkRoundTrip checks that the text of m parses to m itself, with the lines of the text.
func checkRoundTrip(t *testing.T, m *Module) {
	t.Helper()
	text := m.Text()
	got, err := Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	want := normal(m, text)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("parsed as\n%s\nprinted as\n%s", got.Text(), text)
	}
}

// normal is m as a parser sees it: without the authors' positions, with the lines where text has the instructions.
func normal(m *Module, text string) *Module {
	c := *m
	c.Kernels = nil
	lines := strings.Split(text, "\n")
	line := 0
	for _, k := range m.Kernels {
		kc := *k
		kc.Insts = nil
		for _, i := range k.Insts {
			i.Source = Pos{}
			for ; lines[line] != "\t"+i.Text(); line++ {
			}
			line++
			i.Line = line
			kc.Insts = append(kc.Insts, i)
		}
		c.Kernels = append(c.Kernels, &kc)
	}
	return &c
}

func TestRoundTripOfForms(t *testing.T) {
	for _, o := range Ops() {
		checkRoundTrip(t, formModule(o.Version, o.Target, o))
	}
}

func TestRoundTripOfKernel(t *testing.T) {
	m := assembleTestKernel(t)
	for _, k := range m.Kernels {
		for _, i := range k.Insts {
			if i.Source.Line == 0 {
				t.Errorf("%s has no source line", i.Text())
			}
		}
	}
	if want := normal(m, m.Text()).Kernels; want[0].Insts[3].Line != m.Kernels[0].Insts[3].Line {
		t.Errorf("line %d, the text has it at %d", m.Kernels[0].Insts[3].Line, want[0].Insts[3].Line)
	}
	checkRoundTrip(t, m)
}

func TestRoundTripOfRandomModules(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		checkRoundTrip(t, randomModule(r))
	}
}

// randomModule is well-formed and otherwise senseless.
func randomModule(r *rand.Rand) *Module {
	m := &Module{Version: Version(10 + r.IntN(90)), Target: Target(r.IntN(200))}
	for range r.IntN(3) {
		k := &Kernel{Name: randomName(r), MaxNTID: [3]int{1 + r.IntN(1024), 1, 1 + r.IntN(9)}, MinNCTAPerSM: 1 + r.IntN(9)}
		for range r.IntN(4) {
			k.Params = append(k.Params, Param{Name: randomName(r), Type: TypeB8 + Type(r.IntN(int(numTypes-TypeB8)))})
		}
		layoutParams(k.Params)
		if r.IntN(2) == 0 {
			k.Shared = append(k.Shared, Shared{Name: randomName(r), Align: 1 + r.IntN(99)})
		}
		for range r.IntN(2) {
			k.Shared = append(k.Shared, Shared{Name: randomName(r), Align: 1 + r.IntN(99), Size: 1 + r.IntN(999)})
		}
		for c := range k.Regs {
			k.Regs[c] = r.IntN(3) * r.IntN(maxRegs/2)
		}
		for range r.IntN(30) {
			f, _ := formKernel("k", ops[r.IntN(len(ops))], -1)
			i := f.Insts[0]
			for n := range i.Args {
				randomise(r, i.Op.Args[n], &i.Args[n])
			}
			for range r.IntN(2) * r.IntN(3) {
				i.Comments = append(i.Comments, []string{"", "c", "  indented // twice; @%p0 ret;"}[r.IntN(3)])
			}
			i.Guard = []Guard{{}, {}, {If, Reg{RegPred, r.IntN(9)}}, {Unless, Reg{RegPred, r.IntN(9)}}}[r.IntN(4)]
			k.Insts = append(k.Insts, i)
			for range r.IntN(2) * r.IntN(3) {
				k.Labels = append(k.Labels, Label{Name: randomName(r), At: len(k.Insts)})
			}
		}
		m.Kernels = append(m.Kernels, k)
	}
	return m
}

func randomise(r *rand.Rand, a Arg, x *Operand) {
	switch {
	case a.Const && a.Type == TypeF32 && r.IntN(2) == 0:
		*x = Float(math.Float32frombits(r.Uint32())).operand()
	case a.Const && a.Type != TypeF32 && r.IntN(2) == 0:
		*x = Long(int64(r.Uint64()) >> r.IntN(64)).operand()
	case x.Kind == KindReg:
		x.Reg.N = r.IntN(maxRegs)
	case x.Kind == KindInt:
		x.Imm = a.Min + r.Int64N(a.Max-a.Min+1)
	case x.Kind == KindAddress:
		x.Imm = int64(int32(r.Uint32()) >> r.IntN(32))
	case x.Kind == KindSpecial:
		x.Special = Special(r.IntN(len(specials)))
	case x.Kind == KindSymbol, x.Kind == KindLabel:
		x.Symbol = randomName(r)
	}
}

func randomName(r *rand.Rand) string {
	const first, rest = "abzAZ_$", "abzAZ_$09"
	b := []byte{first[r.IntN(len(first))], rest[r.IntN(len(rest))]}
	for range r.IntN(4) {
		b = append(b, rest[r.IntN(len(rest))])
	}
	return string(b)
}

func TestSyntaxErrors(t *testing.T) {
	const header = ".version 7.0\n.target sm_80\n.address_size 64\n"
	const entry = header + ".visible .entry k()\n.maxntid 1, 1, 1\n.minnctapersm 1\n{\n"
	f := func(text string, line, col int, token, msg string) {
		t.Helper()
		_, err := Parse(text)
		var s *SyntaxError
		if !errors.As(err, &s) {
			t.Errorf("got %v, want a SyntaxError", err)
			return
		}
		if at := fmt.Sprintf("ptx: %d:%d: at ", line, col); !strings.HasPrefix(err.Error(), at) {
			t.Errorf("got %q, want %q…", err, at)
		}
		if s.Line != line || s.Col != col || s.Token != token || !strings.Contains(s.Msg, msg) {
			t.Errorf("got %v, want %d:%d: at %q: …%s…", err, line, col, token, msg)
		}
	}
	f("", 1, 1, "", `expected ".version"`)
	f(".version 7\n", 1, 10, "7", "a version")
	f(".version 7.0 .target sm_x", 1, 22, "sm_x", "a target")
	f(".version 7.0\n.target 80", 2, 9, "80", "a target")
	f(header+"garbage", 4, 1, "garbage", `expected ".visible"`)
	f(header+".visible .entry %r1()", 4, 17, "%r1", "name of a kernel")
	f(header+".visible .entry k(.param .f80 x)", 4, 26, ".f80", "a type")
	f(header+".visible .entry k(.param .u32 x,)", 4, 33, ")", `expected ".param"`)
	f(header+".visible .entry k() .maxntid 1025, 1, 1", 4, 30, "1025", "from 1 to 1024")
	f(header+".visible .entry k() .maxntid 1, 1, 1 {", 4, 38, "{", ".minnctapersm")
	f(entry, 8, 1, "", "unknown instruction")
	f(entry+".reg .b32 %f<3>;", 8, 11, "%f", `expected "%r"`)
	f(entry+".reg .b32 %r<3>; .reg .b32 %r<3>;", 8, 23, ".b32", "not declared yet")
	f(entry+".reg .b32 %r<99999999999999999999>;", 8, 14, "99999999999999999999", "registers from 1 to 65536")
	f(entry+".shared .align 16 .b8 s[0];", 8, 25, "0", "a size")
	f(entry+"\tmov.u33 %r0, 1;", 8, 2, "mov.u33", "unknown instruction")
	f(entry+"\tmov.b32 %r0, [%r1];", 8, 2, "mov.b32", "no form of mov.b32 takes (a register, an address)")
	f(entry+"\tmov.b32 %r0;", 8, 2, "mov.b32", "no form")
	f(entry+"\tmov.b32 %r0 1;", 8, 14, "1", `expected ","`)
	f(entry+"\tmov.b32 %r0, 1", 8, 16, "", `expected ","`)
	f(entry+"\tmov.b32 %x0, 1;", 8, 10, "%x0", "an operand")
	f(entry+"\tmov.b32 %r65536, 1;", 8, 10, "%r65536", "an operand")
	f(entry+"\tmov.f32 %f0, 0f123;", 8, 15, "0f123", "8 hexadecimal digits")
	f(entry+"\tmov.b64 %rd0, 9223372036854775808;", 8, 16, "9223372036854775808", "an operand")
	f(entry+"\tld.global.b32 %r0, [%rd0+x];", 8, 27, "x", "an offset")
	f(entry+"\tld.global.b32 %r0, [5];", 8, 22, "5", "a register")
	f(entry+"\t@x bra l;", 8, 3, "x", "a register")
	f(entry+"\t@%p0 l: ret;", 8, 7, "l", "unknown instruction")
	f(entry+"\tlop3.b32 %r0, %r0, %r0, %r0, 256;", 8, 2, "lop3.b32", "a constant from 0 to 255")
}

// Whatever parses is printed as text that parses to the same.
func FuzzParse(f *testing.F) {
	b, err := os.ReadFile("testdata/kernel.ptx")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		f.Add(randomModule(r).Text())
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Parse(text)
		if err != nil {
			return
		}
		checkRoundTrip(t, m)
		m.Verify()
	})
}
