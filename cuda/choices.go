package cuda

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"vith/kernels/tensor"
)

// Choices is a table of the algorithms that were chosen on this and other machines. Its methods may be called
// concurrently.
type Choices struct {
	mu      sync.Mutex
	list    map[choiceKey]Algorithm
	changed bool
}

// A choiceKey is what a choice holds for.
type choiceKey struct {
	GPU     string // DeviceInfo.Name
	Library int    // Blas.Version
	Matmul
}

// A choiceEntry is a line of the file.
type choiceEntry struct {
	GPU     string `json:"gpu"`
	Library int    `json:"cublaslt"`

	M        int     `json:"m"`
	N        int     `json:"n"`
	K        int     `json:"k"`
	Type     string  `json:"type"`
	Out      string  `json:"out"`
	TF32     bool    `json:"tf32,omitempty"`
	PitchX   int     `json:"pitch_x"`
	PitchC   int     `json:"pitch_c,omitempty"`
	PitchY   int     `json:"pitch_y"`
	Alpha    float32 `json:"alpha"`
	Beta     float32 `json:"beta,omitempty"`
	Bias     bool    `json:"bias,omitempty"`
	GELUTanh bool    `json:"gelu_tanh,omitempty"`

	Algorithm [8]uint64 `json:"algorithm"`
	Workspace int64     `json:"workspace,omitempty"`
}

// ReadChoices reads what Write wrote. An empty file is an empty table.
func ReadChoices(r io.Reader) (*Choices, error) {
	c := &Choices{list: map[choiceKey]Algorithm{}}
	for d := json.NewDecoder(r); ; {
		var e choiceEntry
		if err := d.Decode(&e); err == io.EOF {
			return c, nil
		} else if err != nil {
			return nil, fmt.Errorf("cuda: choice %d: %w", len(c.list)+1, err)
		}
		in, out := dtypeNamed(e.Type), dtypeNamed(e.Out)
		if !in.Float() || !out.Float() {
			return nil, fmt.Errorf("cuda: choice %d: types %q and %q", len(c.list)+1, e.Type, e.Out)
		}
		c.list[choiceKey{e.GPU, e.Library, Matmul{
			M: e.M, N: e.N, K: e.K, Type: in, Out: out, TF32: e.TF32, PitchX: e.PitchX, PitchC: e.PitchC, PitchY: e.PitchY,
			Alpha: e.Alpha, Beta: e.Beta, Bias: e.Bias, GELUTanh: e.GELUTanh,
		}}] = Algorithm{Data: e.Algorithm, Workspace: e.Workspace}
	}
}

// dtypeNamed is the float type of a name, or one that is none.
func dtypeNamed(name string) tensor.DType {
	for t := tensor.F32; t.Float(); t++ {
		if t.String() == name {
			return t
		}
	}
	return tensor.U8
}

// Write writes a JSON object a line, in an order of its own.
func (c *Choices) Write(w io.Writer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []choiceEntry
	for k, a := range c.list {
		list = append(list, choiceEntry{
			GPU: k.GPU, Library: k.Library, M: k.M, N: k.N, K: k.K, Type: k.Type.String(), Out: k.Out.String(), TF32: k.TF32,
			PitchX: k.PitchX, PitchC: k.PitchC, PitchY: k.PitchY, Alpha: k.Alpha, Beta: k.Beta, Bias: k.Bias, GELUTanh: k.GELUTanh,
			Algorithm: a.Data, Workspace: a.Workspace,
		})
	}
	slices.SortFunc(list, func(a, b choiceEntry) int {
		return cmp.Or(cmp.Compare(a.GPU, b.GPU), cmp.Compare(a.Library, b.Library), cmp.Compare(a.M, b.M), cmp.Compare(a.N, b.N),
			cmp.Compare(a.K, b.K), cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	e := json.NewEncoder(w)
	for _, entry := range list {
		if err := e.Encode(entry); err != nil {
			return err
		}
	}
	return nil
}

func (c *Choices) get(k choiceKey) (Algorithm, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.list[k]
	return a, ok
}

func (c *Choices) put(k choiceKey, a Algorithm) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.list == nil {
		c.list = map[choiceKey]Algorithm{}
	}
	c.list[k], c.changed = a, true
}

// Changed reports whether backends have chosen what was not known when c was read.
func (c *Choices) Changed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// Add takes the choices of another table, which win over those for the same product.
func (c *Choices) Add(o *Choices) {
	o.mu.Lock()
	list := maps.Clone(o.list)
	o.mu.Unlock()
	for k, a := range list {
		c.put(k, a)
	}
}
