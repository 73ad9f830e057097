package kernels

import "slices"

// Lower returns p as a backend with these capabilities runs it: an activation and an addition that follow a gemm are
// folded into it where the backend has them, and embed with the layernorms that follow it; buffers that no call touches
// any more are dropped, and scratch rows get the backend's pitch. p is unchanged. The error is p.Err().
func Lower(p *Program, caps Caps) (*Program, error) {
	if err := p.Err(); err != nil {
		return nil, err
	}
	l := &Program{Bufs: slices.Clone(p.Bufs), Calls: slices.Clone(p.Calls)}
	for i := 0; i < len(l.Calls); i++ {
		switch l.Calls[i].Kernel {
		case gemm:
			i -= l.fuse(i, caps)
		case embed:
			if caps.EmbedNorm {
				l.fuseNorms(i)
			}
		}
	}
	l.compact()
	if caps.Pitch != nil {
		for i := range l.Bufs {
			if b := &l.Bufs[i]; b.Role == Scratch {
				b.Pitch = caps.Pitch(b.Cols, b.Type.Size())
			}
		}
	}
	return l, nil
}

// fuse folds the call that alone reads the result of gemm i into it, if it can, and reports how many calls before the
// place of the fused one were removed: the fused gemm stands where its last part stood, so that every operand exists.
func (p *Program) fuse(i int, caps Caps) (removed int) {
	g := p.Calls[i]
	y := g.Out[0]
	if p.Bufs[y.ID].Role != Scratch {
		return 0
	}
	j := p.soleReader(y)
	if j < 0 {
		return 0
	}
	next := p.Calls[j]
	switch next.Kernel {
	case gelu, geluTanh, quickGELU:
		f := map[*Kernel]Activation{gelu: GELU, geluTanh: GELUTanh, quickGELU: QuickGELU}[next.Kernel]
		if g.Attrs.Activation != NoActivation || g.In[3].ID != None || !slices.Contains(caps.Activations, f) {
			return 0
		}
		g.Attrs.Activation = f
	case add:
		if !caps.Residual || g.In[3].ID != None {
			return 0
		}
		other := next.In[0]
		if other == y {
			other = next.In[1]
		}
		if other == y || next.Precision.Stream != g.Precision.Stream {
			return 0
		}
		g.In = slices.Clone(g.In)
		g.In[3] = other
	default:
		return 0
	}
	g.Out = next.Out
	p.Calls[j] = g
	p.Calls = slices.Delete(p.Calls, i, i+1)
	return 1
}

// fuseNorms folds into embed i the layernorm that alone reads its result, and the first one that reads that one's: both
// results stay, as others may read them, too.
func (p *Program) fuseNorms(i int) {
	e := p.Calls[i]
	j := p.soleReader(e.Out[0])
	if j < 0 || p.Calls[j].Kernel != layernorm || p.Bufs[e.Out[0].ID].Role != Scratch {
		return
	}
	pre := p.Calls[j]
	x := pre.Out[0]
	k := slices.IndexFunc(p.Calls, func(c Call) bool { return c.Kernel == layernorm && c.In[0] == x })
	if k < 0 || p.typeOf(x) != e.Precision.Stream || embedNorm.Check(e.Dims) != nil {
		return
	}
	norm := p.Calls[k]
	p.Calls[i] = Call{
		Kernel:    embedNorm,
		In:        slices.Concat(e.In, pre.In[1:], norm.In[1:]),
		Out:       []Buf{x, norm.Out[0]},
		Dims:      e.Dims,
		Scalars:   slices.Concat(pre.Scalars, norm.Scalars),
		Precision: norm.Precision,
	}
	p.Calls = slices.Delete(p.Calls, k, k+1)
	p.Calls = slices.Delete(p.Calls, j, j+1)
}

// soleReader is the only call that reads y's buffer, and reads it as the whole of y, or -1.
func (p *Program) soleReader(y Buf) int {
	reader := -1
	for j, c := range p.Calls {
		for _, b := range c.In {
			if b.ID != y.ID {
				continue
			}
			if reader >= 0 || b != y {
				return -1
			}
			reader = j
		}
	}
	return reader
}

// compact drops scratch buffers that no call names and renumbers the rest.
func (p *Program) compact() {
	used := make([]bool, len(p.Bufs))
	for i, b := range p.Bufs {
		used[i] = b.Role == Input || b.Role == Output
	}
	for _, c := range p.Calls {
		for _, b := range append(slices.Clone(c.In), c.Out...) {
			if b.ID != None {
				used[b.ID] = true
			}
		}
	}
	number := make([]int, len(p.Bufs))
	var bufs []BufInfo
	for i, b := range p.Bufs {
		number[i] = len(bufs)
		if used[i] {
			bufs = append(bufs, b)
		}
	}
	renumber := func(list []Buf) []Buf {
		list = slices.Clone(list)
		for i := range list {
			if list[i].ID != None {
				list[i].ID = number[list[i].ID]
			}
		}
		return list
	}
	for i, c := range p.Calls {
		p.Calls[i].In, p.Calls[i].Out = renumber(c.In), renumber(c.Out)
	}
	p.Bufs = bufs
}
