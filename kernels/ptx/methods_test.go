package ptx

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file in testdata, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	file = "testdata/" + file
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(b)
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Fatalf("%s:%d differs (go test -update rewrites it):\ngot  %q\nwant %q", file, i+1, g[min(i, len(g)):], w[min(i, len(w)):])
		}
	}
}

// notInstructions are the methods of Func that do not stand for one instruction; testKernel has what they emit.
var notInstructions = []string{"Target", "MaxNTID", "MinNCTAPerSM", "Comment", "ParamU32", "ParamU64", "ParamF32", "ParamPtr",
	"Shared", "DynamicShared", "When", "Unless", "If", "IfElse", "For", "DoWhile"}

// intArgs are the constants to call methods with that take ints.
var intArgs = map[string][][]any{
	"BarSync":          {{3}},
	"BarSyncThreads":   {{3, 64}},
	"CpAsyncCA":        {{4}, {8}, {16}},
	"CpAsyncCASrcSize": {{4}, {8}, {16}},
	"CpAsyncWaitGroup": {{2}},
}

var cacheArgs = [][]Cache{nil, {CA}, {CG}, {CS}, {WT}, {NC}, {NoAllocate}, {NC, NoAllocate}}

// choices are the values of an argument that is no register: every combination that is an instruction is called.
func choices(method string, n int, t reflect.Type) (all []reflect.Value) {
	switch t {
	case reflect.TypeFor[Cmp]():
		for c := EQ; c <= NaN; c++ {
			all = append(all, reflect.ValueOf(c))
		}
	case reflect.TypeFor[Round]():
		for r := RN; r <= RNA; r++ {
			all = append(all, reflect.ValueOf(r))
		}
	case reflect.TypeFor[Special]():
		for s := range specials {
			all = append(all, reflect.ValueOf(Special(s)))
		}
	case reflect.TypeFor[[]Cache]():
		for _, c := range cacheArgs {
			all = append(all, reflect.ValueOf(c))
		}
	case reflect.TypeFor[uint8]():
		all = append(all, reflect.ValueOf(uint8(0xE2)))
	case reflect.TypeFor[int]():
		for _, ints := range intArgs[method] {
			all = append(all, reflect.ValueOf(ints[n]))
		}
	}
	return all
}

// register makes a defined register, an array of them, or an address from one.
func register(f *Func, t reflect.Type) reflect.Value {
	switch v := reflect.New(t).Elem(); v.Interface().(type) {
	case Pred:
		return reflect.ValueOf(f.SetpU32(EQ, Int(0), Int(0)))
	case B16:
		return reflect.ValueOf(f.CvtU16U32(f.MovB32(Int(0))))
	case B32, F16x2, BF16x2:
		return reflect.ValueOf(f.MovB32(Int(0))).Convert(t)
	case B64:
		return reflect.ValueOf(f.MovB64(Long(0)))
	case F32:
		return reflect.ValueOf(f.MovF32(Float(0)))
	case GlobalAddr:
		return reflect.ValueOf(f.MovB64(Long(0)).At(-8))
	case SharedAddr:
		return reflect.ValueOf(f.MovB32(Int(0)).At(32))
	default:
		for i := range v.Len() {
			v.Index(i).Set(register(f, t.Elem()))
		}
		return v
	}
}

// Every method of Func that is an instruction is called with every choice, the text is golden, and together with the
// test kernel they emit every form of the table.
func TestMethods(t *testing.T) {
	emitted := map[*Op]bool{}
	for _, i := range assembleTestKernel(t).Kernels[0].Insts {
		emitted[i.Op] = true
	}
	var text strings.Builder
	typ := reflect.TypeFor[*Func]()
	for m := range typ.Methods() {
		if strings.Contains(" "+strings.Join(notInstructions, " ")+" ", " "+m.Name+" ") {
			continue
		}
		tuples := [][]reflect.Value{nil}
		ints := 0
		free := false // a choice may not be an instruction
		for n := 1; n < m.Type.NumIn(); n++ {
			in := m.Type.In(n)
			cs := choices(m.Name, ints, in)
			if in.Kind() == reflect.Int {
				ints++
			}
			if cs == nil {
				cs = []reflect.Value{{}} // a register, made later
			}
			free = free || in.Kind() != reflect.Int && len(cs) > 1
			var longer [][]reflect.Value
			for _, tuple := range tuples {
				for _, c := range cs {
					longer = append(longer, append(tuple[:len(tuple):len(tuple)], c))
				}
			}
			tuples = longer
		}
		called := 0
		for _, tuple := range tuples {
			inst, err := call(m, tuple)
			if err != nil {
				if !free {
					t.Errorf("%s: %v", m.Name, err)
				}
				continue
			}
			called++
			emitted[inst.Op] = true
			fmt.Fprintf(&text, "%s: %s\n", m.Name, inst.Text())
		}
		if called == 0 {
			t.Errorf("%s: no choice of arguments is an instruction", m.Name)
		}
	}
	golden(t, "methods.txt", text.String())
	for _, o := range Ops() {
		if !emitted[o] {
			t.Errorf("no method emits %s %v", o.Name, o.Args)
		}
	}
}

// call returns the instruction that a method emits.
func call(m reflect.Method, args []reflect.Value) (inst Inst, err error) {
	mod, err := Assemble(SM90, Entry{"k", func(f *Func) {
		f.MaxNTID(128, 1, 1)
		f.MinNCTAPerSM(1)
		in := []reflect.Value{reflect.ValueOf(f)}
		for n, a := range args {
			if !a.IsValid() {
				a = register(f, m.Type.In(n+1))
			}
			in = append(in, a)
		}
		f.Comment("here")
		if m.Type.IsVariadic() {
			m.Func.CallSlice(in)
		} else {
			m.Func.Call(in)
		}
	}})
	if err != nil {
		return Inst{}, err
	}
	for _, i := range mod.Kernels[0].Insts {
		if i.Comments != nil {
			inst = i
		}
	}
	return inst, nil
}

// Types of registers that must not be mixed up do not convert; those that are bits of one size do.
func TestRegisterTypes(t *testing.T) {
	kinds := []any{Pred{}, B16{}, B32{}, B64{}, F32{}, F16x2{}, BF16x2{}}
	class := []int{0, 1, 2, 3, 4, 2, 2}
	for i, a := range kinds {
		for j, b := range kinds {
			ta, tb := reflect.TypeOf(a), reflect.TypeOf(b)
			if ta.ConvertibleTo(tb) != (class[i] == class[j]) {
				t.Errorf("%v converts to %v: %v", ta, tb, ta.ConvertibleTo(tb))
			}
			if ta.AssignableTo(tb) != (i == j) {
				t.Errorf("%v is assignable to %v: %v", ta, tb, ta.AssignableTo(tb))
			}
		}
	}
}
