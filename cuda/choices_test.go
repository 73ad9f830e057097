package cuda_test

import (
	"bytes"
	"strings"
	"testing"

	"vith/cuda"
	"vith/cuda/emu"
	"vith/kernels"
)

// TestChoices saves the choices of one backend and starts another with them, which then tries nothing.
func TestChoices(t *testing.T) {
	products := 0
	trace := func(_ cuda.Stream, work string) {
		if strings.HasPrefix(work, "product") {
			products++
		}
	}
	run := func(c *cuda.Choices) (count int, vectors []byte) {
		products = 0
		b := open(t, emu.Options{Trace: trace}, cuda.Options{Blas: emu.NewBlas, Choices: c})
		r := newTowers(precisions["fp16"].types).load(t, b, 2)
		count = products
		return count, pass(t, r, images(1, 2))
	}
	var first cuda.Choices
	chosen, want := run(&first)
	var file bytes.Buffer
	if err := first.Write(&file); err != nil {
		t.Fatal(err)
	}
	text := file.String()
	for _, name := range []string{"Emulated sm_80", `"cublaslt":120405`, `"type":"f16","out":"f32"`, `"n":144`} {
		if !strings.Contains(text, name) {
			t.Errorf("the file does not contain %s:\n%s", name, text)
		}
	}
	second, err := cuda.ReadChoices(&file)
	if err != nil {
		t.Fatal(err)
	}
	known, got := run(second)
	if lines := strings.Count(text, "\n"); known != lines || chosen <= known { // the first pass
		t.Errorf("loading computed %d products with the %d choices of before, %d without", known, lines, chosen)
	}
	if !bytes.Equal(got, want) {
		t.Error("other bits with the same choices")
	}
	if !first.Changed() || second.Changed() {
		t.Errorf("changed: %v, and %v where everything was known", first.Changed(), second.Changed())
	}
	third := &cuda.Choices{}
	if third.Add(second); !third.Changed() {
		t.Error("Add changes nothing")
	}
	file.Reset()
	if err := third.Write(&file); err != nil || file.String() != text {
		t.Errorf("added to an empty table: %v\n%s\nwas\n%s", err, file.String(), text)
	}
	var again bytes.Buffer
	if err := second.Write(&again); err != nil || again.String() != text {
		t.Errorf("written again: %v\n%s\nwas\n%s", err, again.String(), text)
	}
}

func TestBadChoices(t *testing.T) {
	for _, text := range []string{"{", `{"m":"one"}`, `{"type":"u8","out":"f32"}`, `{"type":"f16","out":"f16"}{"type":"f99"}`} {
		if _, err := cuda.ReadChoices(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "choice") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if c, err := cuda.ReadChoices(strings.NewReader("")); err != nil || c == nil {
		t.Errorf("an empty file: %v", err)
	}
}

// TestNoAlgorithm has a cublasLt that knows no algorithm, does not know the products, or cannot run its algorithms:
// products are the project's own kernel's.
func TestNoAlgorithm(t *testing.T) {
	in := images(1, 2)
	run := func(change func(cuda.Blas) cuda.Blas) []byte {
		o := cuda.Options{}
		if change != nil {
			o.Blas = func(d cuda.Device) (cuda.Blas, error) {
				b, err := emu.NewBlas(d)
				return change(b), err
			}
		}
		b := open(t, emu.Options{}, o)
		towers := newTowers(precisions["fp16 pure"].types)
		towers.gelu = kernels.GELUTanh // which is lowered alike with cublasLt and without
		return pass(t, towers.load(t, b, 2), in)
	}
	want := run(nil)
	for name, change := range map[string]func(cuda.Blas) cuda.Blas{
		"no algorithm": func(b cuda.Blas) cuda.Blas { return noAlgorithm{b, nil} },
		"no product":   func(b cuda.Blas) cuda.Blas { return noAlgorithm{b, cuda.ErrNotSupported} },
		"no run":       func(b cuda.Blas) cuda.Blas { return noRun{b} },
	} {
		if !bytes.Equal(run(change), want) {
			t.Errorf("%s: other bits than without cublasLt", name)
		}
	}
}

type noAlgorithm struct {
	cuda.Blas
	err error
}

func (b noAlgorithm) Heuristics(cuda.Matmul, int64, int) ([]cuda.Algorithm, error) { return nil, b.err }

type noRun struct{ cuda.Blas }

func (noRun) Matmul(_ cuda.Matmul, _ cuda.Algorithm, _, _, _, _, _, _ cuda.Ptr, _ cuda.Stream) error {
	return cuda.ErrNotSupported
}
