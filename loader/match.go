package loader

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"vith/vit/tower"
)

// A match is a set of stored tensors seen through the convention that names a tower among them.
type match struct {
	*convention
	path   string // for errors about no tensor in particular
	stored map[string]*stored
}

func findTower(path string, tensors map[string]*stored) (*match, error) {
	var marks []string
	for i := range conventions {
		mark := conventions[i].spell(tower.ClassEmbedding).tensor
		if tensors[mark] != nil {
			return &match{&conventions[i], path, tensors}, nil
		}
		marks = append(marks, mark)
	}
	return nil, &Error{File: path, Problem: fmt.Sprintf("no CLIP vision tower: none of its %d tensors is %s", len(tensors), strings.Join(marks, " or ")),
		Remedy: "use a checkpoint of CLIP with a ViT image encoder, in transformers' or open_clip's naming"}
}

func (m *match) has(canonical string) bool { return m.stored[m.spell(canonical).tensor] != nil }

// fault is an error about the stored tensor that gives a weight.
func (m *match) fault(canonical, problem string) *Error {
	return m.about(m.spell(canonical).tensor, problem)
}

// about is an error about a tensor, as the file spells it.
func (m *match) about(name, problem string) *Error {
	e := &Error{File: m.path, Tensor: name, Problem: problem,
		Remedy: "check that the weights and the configuration belong together and that the tower is CLIP's ViT"}
	if t := m.stored[name]; t != nil {
		e.File = t.file
	}
	return e
}

// shape returns the shape of a weight in the tower's orientation.
func (m *match) shape(canonical string) ([]int, *Error) {
	s := m.spell(canonical)
	t := m.stored[s.tensor]
	if t == nil {
		return nil, m.fault(canonical, "is missing")
	}
	shape := make([]int, len(t.shape))
	for i, d := range t.shape {
		if d < 1 || d > math.MaxInt32 {
			return nil, m.fault(canonical, fmt.Sprintf("has shape %v", t.shape))
		}
		shape[i] = int(d)
	}
	if s.parts > 0 {
		if len(shape) == 0 || shape[0]%s.parts != 0 {
			return nil, m.fault(canonical, fmt.Sprintf("shape %v cannot be cut into %d", t.shape, s.parts))
		}
		shape[0] /= s.parts
	}
	if s.transposed {
		slices.Reverse(shape)
	}
	return shape, nil
}

// weight returns a weight of the tower, whose configuration came from source.
func (m *match) weight(want tower.Tensor, source string) (*weight, *Error) {
	shape, err := m.shape(want.Name)
	if err != nil {
		return nil, err
	}
	s := m.spell(want.Name)
	t := m.stored[s.tensor]
	if !slices.Equal(shape, want.Shape) {
		return nil, m.fault(want.Name, fmt.Sprintf("gives %s the shape %v, but the tower has %v (from %s)", want.Name, shape, want.Shape, source))
	}
	if !readable(t.dtype) {
		return nil, m.fault(want.Name, fmt.Sprintf("is of type %s, must be F32, F16 or BF16", t.dtype))
	}
	w := &weight{file: t.file, tensor: t.name, shape: shape, dtype: t.dtype, sum: sum{hash: sha256.New()}}
	data, size := t.data, int(t.dtype.Size())
	if s.parts > 0 {
		n := len(data) / s.parts
		data = data[s.part*n:][:n]
	}
	if s.transposed {
		w.values = transposed{data, w.rows(), w.cols(), size}
	} else {
		w.values = straight{data, size, t.mapped}
	}
	return w, nil
}

// weights returns the weights of the tower by name, and what is wrong with those that it lacks. Tensors that belong to
// the tower but not to its list would change what it computes, so they are faults.
func (m *match) weights(c tower.Config, source string) (weights map[string]*weight, faults []*Error) {
	weights = map[string]*weight{}
	used := map[string]bool{}
	for _, t := range c.Tensors() {
		used[m.spell(t.Name).tensor] = true
		w, fault := m.weight(t, source)
		if fault != nil {
			faults = append(faults, fault)
			continue
		}
		weights[t.Name] = w
	}
	for _, name := range slices.Sorted(maps.Keys(m.stored)) {
		if m.owns(name) && !used[name] {
			faults = append(faults, m.about(name, fmt.Sprintf("is no weight of a CLIP ViT of %d layers (from %s)", c.Layers, source)))
		}
	}
	return weights, faults
}

// straight values lie in memory as they are wanted.
type straight struct {
	data   []byte
	size   int  // bytes of a value
	mapped bool // data is part of a mapped file
}

func (s straight) read(_ []byte, i, n int) []byte { return s.data[i*s.size:][:n*s.size] }

// faultAround is the size in bytes of the aligned window whose pages the kernel maps at a fault in it, where they are in
// its cache: fault_around_bytes of Linux, at its default.
//
// Source: do_fault_around in https://github.com/torvalds/linux/blob/master/mm/memory.c.
const faultAround = 64 << 10

// faulted are the bytes whose pages reading elements [i, i+n) may have mapped: theirs and those before them. The ones
// after them are left to the next read.
func (s straight) faulted(i, n int) []byte {
	return s.data[max(0, i*s.size-faultAround) : (i+n)*s.size]
}

// transposed values lie in memory column by column: data is [cols, rows].
type transposed struct {
	data       []byte
	rows, cols int
	size       int // bytes of a value
}

func (t transposed) read(buf []byte, i, n int) []byte {
	r, c := i/t.cols, i%t.cols
	out := buf[:0]
	for range n {
		at := (c*t.rows + r) * t.size
		out = append(out, t.data[at:at+t.size]...)
		if c++; c == t.cols {
			r, c = r+1, 0
		}
	}
	return out
}

// describe lists stored tensors with the weights that they give.
func describe(list []stored, weights map[string]*weight) []TensorInfo {
	gives := map[string][]string{}
	for canonical, w := range weights {
		gives[w.tensor] = append(gives[w.tensor], canonical)
	}
	infos := make([]TensorInfo, len(list))
	for i, t := range list {
		canonical := gives[t.name]
		slices.Sort(canonical)
		infos[i] = TensorInfo{Name: t.name, Canonical: canonical, DType: t.dtype.String(), Shape: t.shape,
			Offset: t.offset, Bytes: t.size, File: t.file}
	}
	return infos
}
