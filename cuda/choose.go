package cuda

import (
	"bytes"
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"

	"vith/kernels"
)

const (
	candidates   = 8  // algorithms of a product that are tried
	repeats      = 8  // timed runs of each
	distinctRows = 64 // of operands in timed runs: on equal rows an H100 took up to 12 % less time than it does in a pass
)

// A choice is the algorithm for a product, if there is one.
type choice struct {
	algorithm Algorithm
	ok        bool
}

// choose gives every product its algorithm: the one of an earlier program or process, or else the fastest of those that
// give a row the same bits wherever it stands. A product that has none becomes a launch of the project's own kernel.
func (r *runner) choose() (err error) {
	var t *tuner
	defer func() {
		if t != nil {
			err = join(err, t.close())
		}
	}()
	for i := range r.steps {
		p := r.steps[i].product
		if p == nil {
			continue
		}
		c, known := r.backend.known(p.Matmul)
		if !known {
			if t == nil {
				if t, err = r.newTuner(); err != nil {
					return err
				}
			}
			if c, err = t.tune(p); err != nil {
				return err
			}
			r.backend.learn(p.Matmul, c)
		}
		if p.algorithm = c.algorithm; !c.ok {
			if r.steps[i], err = r.launch(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// known is the choice of an earlier program, or of Options.Choices.
func (b *Backend) known(m Matmul) (choice, bool) {
	if c, ok := b.chosen[m]; ok {
		return c, true
	}
	if b.options.Choices == nil || b.options.Deterministic {
		return choice{}, false
	}
	a, ok := b.options.Choices.get(b.choiceKey(m))
	return choice{a, true}, ok && a.Workspace <= b.workspace.size
}

func (b *Backend) learn(m Matmul, c choice) {
	b.chosen[m] = c
	if c.ok && b.options.Choices != nil && !b.options.Deterministic {
		b.options.Choices.put(b.choiceKey(m), c.algorithm)
	}
}

func (b *Backend) choiceKey(m Matmul) choiceKey { return choiceKey{b.info.Name, b.blas.Version(), m} }

// A tuner tries algorithms on the arena, with the program's own weights.
type tuner struct {
	*runner
	staging    *staging
	start, end Event
	random     *rand.Rand
}

func (r *runner) newTuner() (*tuner, error) {
	row, total := 0, 0
	for _, info := range r.program.Bufs {
		row, total = max(row, info.Pitch*info.Type.Size()), max(total, info.Bytes())
	}
	t := &tuner{runner: r, random: rand.New(rand.NewPCG(1, 2))}
	var err error
	if t.staging, err = r.backend.newStaging(row, total); err != nil {
		return nil, err
	}
	if t.start, err = r.backend.device.EventCreate(true); err == nil {
		t.end, err = r.backend.device.EventCreate(true)
	}
	if err != nil {
		return nil, join(err, t.close())
	}
	return t, nil
}

func (t *tuner) close() error {
	err := t.staging.close()
	for _, e := range [...]Event{t.start, t.end} {
		if e != 0 {
			err = join(err, t.backend.device.EventDestroy(e))
		}
	}
	return err
}

// tune returns the best algorithm for a product.
func (t *tuner) tune(p *product) (c choice, err error) {
	b := t.backend
	list, err := b.blas.Heuristics(p.Matmul, b.workspace.size, candidates)
	if errors.Is(err, ErrNotSupported) {
		return choice{}, nil
	}
	if err != nil {
		return choice{}, err
	}
	ids := p.buffers()
	defer func() { err = join(err, t.exit(ids), b.device.StreamSynchronize(b.compute)) }()
	if err := t.enter(ids); err != nil {
		return choice{}, err
	}
	if !b.options.Deterministic && len(list) > 1 {
		if err := t.fill(ids, distinctRows); err != nil {
			return choice{}, err
		}
		if list, err = t.sort(p, list); err != nil {
			return choice{}, err
		}
	}
	for _, a := range list {
		ok, err := t.even(p, a, ids)
		if errors.Is(err, ErrNotSupported) {
			continue
		}
		if ok || err != nil {
			return choice{a, ok}, err
		}
	}
	return choice{}, nil
}

// buffers are those that the product touches, each once, the result last.
func (p *product) buffers() (ids []int) {
	y := p.call.Out[0].ID
	for _, b := range [...]kernels.Buf{p.call.In[inX], p.call.In[inResidual]} {
		if b.ID != kernels.None && !slices.Contains(ids, b.ID) {
			ids = append(ids, b.ID)
		}
	}
	return append(ids, y)
}

// enter makes the buffers regions; a result in the storage of an operand is none of its own.
func (t *tuner) enter(ids []int) error {
	for _, id := range t.storages(ids) {
		info := t.program.Bufs[id]
		if err := t.backend.region(t.base(id, t.slot()), int64(info.Bytes()), info.Name, t.backend.compute); err != nil {
			return err
		}
	}
	return nil
}

func (t *tuner) exit(ids []int) error {
	var errs []error
	for _, id := range t.storages(ids) {
		errs = append(errs, t.backend.dead(t.base(id, t.slot()), t.backend.compute))
	}
	return errors.Join(errs...)
}

// storages are the scratch buffers among these with storage of their own.
func (t *tuner) storages(ids []int) (list []int) {
	seen := map[int]bool{}
	for _, id := range ids {
		if at := t.plan.Offset[id]; at >= 0 && !seen[at] {
			seen[at] = true
			list = append(list, id)
		}
	}
	return list
}

func (t *tuner) slot() *slot { return &t.backend.all[0] }

// fill gives the rows of each buffer random values, which repeat after so many distinct rows.
func (t *tuner) fill(ids []int, distinct int) error {
	for _, id := range ids {
		info := t.program.Bufs[id]
		values := make([]float32, info.Pitch*min(distinct, info.Rows))
		for i := range values {
			values[i] = float32(t.random.NormFloat64())
		}
		pattern := make([]byte, len(values)*info.Type.Size())
		encode(pattern, info.Type, values)
		row := info.Pitch * info.Type.Size()
		for r := 0; r < info.Rows; {
			buffer, err := t.staging.take()
			if err != nil {
				return err
			}
			rows := min(info.Rows-r, len(buffer)/row)
			for n := 0; n < rows*row; {
				n += copy(buffer[n:rows*row], pattern[(r*row+n)%len(pattern):])
			}
			if err := t.staging.upload(t.base(id, t.slot())+Ptr(r*row), rows*row, t.backend.compute); err != nil {
				return err
			}
			r += rows
		}
	}
	return nil
}

// sort returns the algorithms that the device runs, the fastest first.
func (t *tuner) sort(p *product, list []Algorithm) ([]Algorithm, error) {
	turns := t.like(p)
	ms := map[Algorithm]float32{}
	var runs []Algorithm
	for _, a := range list {
		var err error
		ms[a], err = t.time(turns, a)
		if errors.Is(err, ErrNotSupported) {
			continue
		}
		if err != nil {
			return nil, err
		}
		runs = append(runs, a)
	}
	slices.SortStableFunc(runs, func(a, b Algorithm) int { return cmp.Compare(ms[a], ms[b]) })
	return runs, nil
}

// time measures an algorithm in milliseconds, on like products in turn, so that their weights come from memory as they
// do in a pass, and not from the cache.
func (t *tuner) time(turns []*product, a Algorithm) (ms float32, err error) {
	d, stream := t.backend.device, t.backend.compute
	for i := range 1 + repeats {
		if i == 1 {
			if err := d.EventRecord(t.start, stream); err != nil {
				return 0, err
			}
		}
		if err := turns[i%len(turns)].issue(t.runner, a, t.slot()); err != nil {
			return 0, err
		}
	}
	if err := d.EventRecord(t.end, stream); err != nil {
		return 0, err
	}
	if err := d.EventSynchronize(t.end); err != nil {
		return 0, err
	}
	return d.EventElapsedTime(t.start, t.end)
}

// like are the program's products that differ from p in nothing but their weights, on the buffers of p.
func (t *tuner) like(p *product) (list []*product) {
	for _, s := range t.steps {
		if s.product == nil || s.product.Matmul != p.Matmul {
			continue
		}
		call := *p.call
		call.In = slices.Clone(call.In)
		call.In[inW] = s.product.call.In[inW]
		list = append(list, &product{Matmul: p.Matmul, call: &call, bias: s.product.bias})
	}
	return list
}

// even tells whether all rows of a product of equal rows are equal.
func (t *tuner) even(p *product, a Algorithm, ids []int) (bool, error) {
	if err := t.fill(ids, 1); err != nil {
		return false, err
	}
	if err := p.issue(t.runner, a, t.slot()); err != nil {
		return false, err
	}
	info := t.program.Bufs[p.call.Out[0].ID]
	size := info.Type.Size()
	row, base := info.Pitch*size, t.base(p.call.Out[0].ID, t.slot())
	most := len(t.staging.buffers[0]) / row
	var first []byte
	for r := 0; r < info.Rows; r += most {
		rows := min(most, info.Rows-r)
		y, err := t.staging.download(base+Ptr(r*row), rows*row, t.backend.compute)
		if err != nil {
			return false, err
		}
		if first == nil {
			first = bytes.Clone(y[:p.N*size])
		}
		for i := range rows {
			if !bytes.Equal(y[i*row:][:p.N*size], first) {
				return false, nil
			}
		}
	}
	return true, nil
}
