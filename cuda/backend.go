package cuda

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"vith/kernels"
	"vith/kernels/ptx"
)

// The oldest that run the project's kernels: PTX 7.0, and the tensor cores of Turing.
const (
	oldestDriver     = 11000
	oldestCapability = 75
)

// depth is the number of passes in flight: while one computes, the input of the next and the output of the one before
// are copied.
const depth = 2

// Options choose how a Backend uses a device.
type Options struct {
	Name string // of the backend; "": "cuda:" and the ordinal
	// Blas opens cublasLt on the device, on the device's thread. Nil: products are the project's own kernel's.
	Blas func(Device) (Blas, error)
	TF32 bool // multiply float32 with the rounding of tf32; needs Blas
	// Deterministic takes the first algorithm of cublasLt that will do instead of the fastest: the same one in every
	// process.
	Deterministic bool
	Choices       *Choices // of algorithms, known from before and added to; nil: none
	Memory        int64    // bytes that the backend may allocate; 0: what the device has

	NoReuse  bool // every buffer has memory of its own; for tests
	NoGraphs bool // passes launch one call after the other; for tests
}

// A Backend is a GPU that programs run on. One OS thread makes its calls, another waits for passes to end.
//
// Each Load reserves what its program needs beyond what is there: from then on a pass allocates nothing, on the device
// or the host. Weights stay until Close; buffers are one arena that all programs share, sized for the largest, so that
// loading the largest first saves work.
type Backend struct {
	name    string
	info    DeviceInfo
	target  ptx.Target
	options Options

	holds holding

	main, waiter *thread
	slots        chan *slot // not in use
	down         atomic.Pointer[error]

	mu     sync.Mutex // held by Load and Close, of runners too
	closed bool

	// Below: the main thread's.
	device    Device
	debugger  Debugger // nil: the device is none
	blas      Blas     // or nil
	copyIn    Stream
	compute   Stream
	copyOut   Stream
	all       [depth]slot
	arena     memory
	workspace memory
	weights   map[weightKey]Ptr
	blocks    []memory // that hold weights
	modules   map[moduleKey]*function
	chosen    map[Matmul]choice
	runners   []*runner
}

var _ kernels.Profiler = (*Backend)(nil)

// A slot is what one pass in flight needs: the caller's data in page-locked memory and on the device, and the events
// that order its three streams.
type slot struct {
	index            int
	in, out          memory
	hostIn, hostOut  []byte
	copied, computed Event // the input is on the device; the output is ready there
	done             Event // the output is on the host
}

// Open starts a backend on a device of the driver that no other backend has. It refuses a driver or a GPU that is too old,
// naming both versions.
func Open(d Driver, ordinal int, o Options) (*Backend, error) {
	version, err := d.Version()
	if err != nil {
		return nil, err
	}
	if version < oldestDriver {
		return nil, fmt.Errorf("cuda: the driver supports CUDA %s, %s is needed: %w", cudaVersion(version), cudaVersion(oldestDriver), ErrTooOld)
	}
	b := &Backend{
		name: o.Name, options: o, slots: make(chan *slot, depth),
		weights: map[weightKey]Ptr{}, modules: map[moduleKey]*function{}, chosen: map[Matmul]choice{},
	}
	if b.name == "" {
		b.name = fmt.Sprintf("cuda:%d", ordinal)
	}
	if o.TF32 && o.Blas == nil {
		return nil, fmt.Errorf("%s: tf32 needs cublasLt: %w", b.name, kernels.ErrUnsupported)
	}
	if b.holds = (holding{d, ordinal}); !b.holds.take() {
		return nil, fmt.Errorf("%s: %w", b.name, ErrBusy)
	}
	b.main, b.waiter = startThread(depth), startThread(depth)
	err = b.main.do(func() error { return b.open(d, ordinal) })
	if err == nil {
		err = b.waiter.do(b.device.SetCurrent)
	}
	if err != nil {
		b.main.do(b.release)
		b.main.stop()
		b.waiter.stop()
		b.holds.end()
		return nil, fmt.Errorf("%s: %w", b.name, err)
	}
	return b, nil
}

// A holding is a device of a driver that a backend has. Two backends would share one context, in which a fault of the
// one ends the other, and one's measurements would be the other's noise.
type holding struct {
	driver  Driver
	ordinal int
}

var holdings sync.Map // of this process

// take reports whether nobody else has it.
func (h holding) take() bool {
	_, held := holdings.LoadOrStore(h, true)
	return !held
}

func (h holding) end() { holdings.Delete(h) }

// open begins the order of life: context, cublasLt, streams. Modules, arena and graphs come with each Load.
func (b *Backend) open(d Driver, ordinal int) (err error) {
	if b.device, err = d.Open(ordinal); err != nil {
		return err
	}
	if err := b.device.SetCurrent(); err != nil {
		return err
	}
	b.info = b.device.Info()
	if b.info.Capability < oldestCapability {
		return fmt.Errorf("%s has compute capability %s, %s is needed: %w", b.info.Name, capability(b.info.Capability), capability(oldestCapability), ErrTooOld)
	}
	b.target = targetOf(b.info.Capability)
	b.debugger, _ = b.device.(Debugger)
	if b.options.Blas != nil {
		if b.blas, err = b.options.Blas(b.device); err != nil {
			return err
		}
		if b.workspace, err = b.alloc(workspaceSize(b.info.Capability)); err != nil {
			return err
		}
	}
	for _, s := range [...]*Stream{&b.copyIn, &b.compute, &b.copyOut} {
		if *s, err = b.device.StreamCreate(); err != nil {
			return err
		}
	}
	for i := range b.all {
		s := &b.all[i]
		s.index = i
		for _, e := range [...]*Event{&s.copied, &s.computed, &s.done} {
			if *e, err = b.device.EventCreate(false); err != nil {
				return err
			}
		}
	}
	for i := range b.all {
		b.slots <- &b.all[i]
	}
	return nil
}

// targetOf is the newest target that kernels are written for and a GPU runs.
func targetOf(capability int) ptx.Target {
	list := []ptx.Target{ptx.SM75, ptx.SM80, ptx.SM86, ptx.SM87, ptx.SM89, ptx.SM90, ptx.SM100, ptx.SM120}
	i, exact := slices.BinarySearch(list, ptx.Target(capability))
	if !exact {
		i--
	}
	return list[i]
}

func cudaVersion(v int) string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }

func capability(c int) string { return fmt.Sprintf("%d.%d", c/10, c%10) }

// Name is "cuda:0" or what Options say.
func (b *Backend) Name() string { return b.name }

// Info describes the device.
func (b *Backend) Info() DeviceInfo { return b.info }

// Caps are those of the project's kernels. With cublasLt they are its own: it has no GELU but the tanh form.
func (b *Backend) Caps() kernels.Caps {
	c := kernels.Caps{
		Precisions:  kernels.Precisions(b.target),
		Activations: []kernels.Activation{kernels.GELU, kernels.GELUTanh, kernels.QuickGELU},
		Residual:    true, EmbedNorm: true, Short: true, Pitch: pitch,
	}
	if b.options.Blas != nil {
		c.Activations = []kernels.Activation{kernels.GELUTanh}
	}
	return c
}

// pitch lets every row start at a multiple of 16 bytes.
func pitch(cols, size int) int { return (cols*size + 15) / 16 * 16 / size }

// Memory asks the device for its free memory; what the backend holds changes only with a Load.
func (b *Backend) Memory() kernels.Memory {
	b.mu.Lock()
	defer b.mu.Unlock()
	var m kernels.Memory
	if b.closed {
		return m
	}
	b.main.do(func() error {
		m.Free, m.Total, _ = b.device.MemGetInfo()
		m.Arena, m.Workspace = b.arena.size, b.workspace.size
		for i := range b.all {
			m.Arena += b.all[i].in.size + b.all[i].out.size
		}
		for _, w := range b.blocks {
			m.Weights += w.size
		}
		return nil
	})
	return m
}

// Down is the error that ended the device, which is ErrDown, or nil.
func (b *Backend) Down() error {
	if err := b.down.Load(); err != nil {
		return fmt.Errorf("%s: %w", b.name, *err)
	}
	return nil
}

// failed returns err in the backend's name, and marks the device as down if that is what err means.
func (b *Backend) failed(err error) error {
	if err == nil {
		return nil
	}
	if lost(err) {
		err = b.giveUp(err)
	}
	return fmt.Errorf("%s: %w", b.name, err)
}

// giveUp marks the device as down because of err.
func (b *Backend) giveUp(err error) error {
	if !errors.Is(err, ErrDown) {
		err = fmt.Errorf("%w: %w", ErrDown, err)
	}
	b.down.CompareAndSwap(nil, &err)
	return err
}

// drain waits until no pass is in flight and keeps new ones waiting until refill.
func (b *Backend) drain() {
	for range depth {
		<-b.slots
	}
}

func (b *Backend) refill() {
	for i := range b.all {
		b.slots <- &b.all[i]
	}
}

// Close waits for the passes in flight and frees everything.
func (b *Backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	b.closed = true
	b.drain()
	close(b.slots)
	err := b.main.do(b.release)
	b.main.stop()
	b.waiter.stop()
	b.holds.end()
	if b.Down() != nil {
		return nil // nothing could be freed but the context
	}
	return b.failed(err)
}

// release frees what there is, in the opposite order of its making.
func (b *Backend) release() error {
	if b.device == nil {
		return nil
	}
	errs := []error{b.device.SetCurrent()} // again, in case that is what failed
	for _, r := range b.runners {
		errs = append(errs, r.release())
	}
	errs = append(errs, b.releaseBuffers())
	for i := range b.all {
		for _, e := range [...]Event{b.all[i].copied, b.all[i].computed, b.all[i].done} {
			if e != 0 {
				errs = append(errs, b.device.EventDestroy(e))
			}
		}
	}
	for _, m := range append(b.blocks, b.workspace) {
		errs = append(errs, b.free(m))
	}
	for _, s := range [...]Stream{b.copyOut, b.compute, b.copyIn} {
		if s != 0 {
			errs = append(errs, b.device.StreamDestroy(s))
		}
	}
	for _, f := range b.modules {
		errs = append(errs, b.device.ModuleUnload(f.module))
	}
	if b.blas != nil {
		errs = append(errs, b.blas.Close())
	}
	return errors.Join(append(errs, b.device.Close())...)
}
