// Package loader finds the weights of a CLIP vision tower and reads them as float32.
//
// A checkpoint is a safetensors file, a folder with one (sharded or not), a repository of the Hugging Face hub that is
// already in its cache, or a synthetic tower whose every value follows from a name and a seed. Files are mapped, not
// read: opening touches their headers only, and ReadRows copies what is asked for. Whatever the file's spelling
// (transformers or open_clip), callers use the names of package tower.
//
// Nothing in a file is trusted. Damage is reported by Open where the header shows it and by ReadRows where the values
// do, as an *Error that names the file, the tensor and a remedy.
package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/nlpodyssey/safetensors"
	"golang.org/x/sys/unix"

	"vith/vit/tower"
)

// A Checkpoint is the weights of one tower. All methods may be called concurrently; Close waits for reads in progress.
//
// While a checkpoint is open its files must not be truncated. If one is, reads of the lost pages return an error.
type Checkpoint struct {
	mu     sync.RWMutex // held for reading while mapped bytes are in use
	closed bool
	lost   atomic.Pointer[Error] // a fault leaves running hashes undefined, so it is final
	files  []file

	name      string
	config    tower.Config
	source    string
	synthetic string // CONFIG/SEED, or ""
	weights   map[string]*weight
	tensors   []TensorInfo
	faults    []*Error // of tensors that are missing, extra or not what the tower has; none once it is handed out
}

// A file is the whole content of a safetensors file.
type file struct {
	path   string
	data   []byte
	mapped bool // data is a mapping of the file, whose pages may be let go of
}

// A weight is a tensor of the tower, wherever and however it is stored.
type weight struct {
	file   string
	tensor string // as the file spells it
	shape  []int  // as package tower gives it
	dtype  safetensors.DType
	values elements
	sum    sum
}

// elements are a weight's values in their stored type, little-endian, row-major in the tower's shape.
type elements interface {
	// read returns elements [i, i+n). The result is valid until buf is used again; buf holds at least n elements and
	// is only used where the values do not lie in memory in this order.
	read(buf []byte, i, n int) []byte
}

func (w *weight) rows() int { return w.shape[0] }

func (w *weight) cols() int {
	n := 1
	for _, d := range w.shape[1:] {
		n *= d
	}
	return n
}

// blockBytes keeps a block in the L2 cache from hashing to conversion.
const blockBytes = 64 << 10

var blockBuffers = sync.Pool{New: func() any { return new([blockBytes]byte) }}

// blocks calls f with the stored bytes of elements [i, i+n), in order, a block at a time. Those of a file do not stay in
// memory, except those of transposed weights, whose every row is spread over all of their pages.
func (w *weight) blocks(i, n int, f func(i int, b []byte) error) error {
	if s, ok := w.values.(straight); ok && s.mapped {
		defer forget(s.faulted(i, n))
	}
	buf := blockBuffers.Get().(*[blockBytes]byte)
	defer blockBuffers.Put(buf)
	step := blockBytes / int(w.dtype.Size())
	for end := i + n; i < end; i += step {
		if err := f(i, w.values.read(buf[:], i, min(step, end-i))); err != nil {
			return err
		}
	}
	return nil
}

// Config returns the tower's configuration and where it was found. Projection is 0 when the checkpoint has none.
func (c *Checkpoint) Config() (config tower.Config, source string) { return c.config, c.source }

// Synthetic returns the CONFIG/SEED that a synthetic checkpoint was made from.
func (c *Checkpoint) Synthetic() (ref string, ok bool) { return c.synthetic, c.synthetic != "" }

// Name is what to call the model by default: a synthetic checkpoint's CONFIG, else the known tower's name, else the
// name of the repository, folder or file.
func (c *Checkpoint) Name() string { return c.name }

// Files returns the paths of the weights, in name order; none for Synthetic.
func (c *Checkpoint) Files() []string {
	var paths []string
	for _, f := range c.files {
		paths = append(paths, f.path)
	}
	return paths
}

// TensorInfo describes a tensor as a file holds it.
type TensorInfo struct {
	Name      string   // as the file spells it
	Canonical []string // the weights of the tower that it gives, as package tower names them; none: it is skipped
	DType     string   // as safetensors spells it: "F32", "BF16", …
	Shape     []uint64 // outermost first
	Offset    int64    // of its first byte from the start of the file
	Bytes     int64
	File      string
}

// Tensors lists every tensor of the files, skipped ones included, in the order of files and offsets. The caller owns
// the list but not the slices within.
func (c *Checkpoint) Tensors() []TensorInfo { return slices.Clone(c.tensors) }

// Has reports whether the checkpoint gives the weight of that name in package tower.
func (c *Checkpoint) Has(name string) bool { return c.weights[name] != nil }

// ReadRows fills dst with rows [row0, row0+rows) of a weight, widened exactly to float32. Rows are those of the view
// [shape[0], product of the rest]; a vector has rows of one value. dst holds rows x columns values.
//
// A NaN or an infinity is an error. The bytes read feed Digest.
func (c *Checkpoint) ReadRows(name string, dst []float32, row0, rows int) error {
	w := c.weights[name]
	if w == nil {
		return &Error{File: c.name, Tensor: name, Problem: "is not among the checkpoint's weights", Remedy: "ask Has first"}
	}
	if row0 < 0 || rows < 0 || rows > w.rows()-row0 {
		return &Error{File: w.file, Tensor: name, Problem: fmt.Sprintf("rows %d to %d are outside its %d rows", row0, row0+rows, w.rows())}
	}
	cols := w.cols()
	if len(dst) != rows*cols {
		return &Error{File: w.file, Tensor: name, Problem: fmt.Sprintf("%d rows of %d values do not fit a destination of %d", rows, cols, len(dst))}
	}
	return c.reading(w.file, func() error {
		return w.blocks(row0*cols, rows*cols, func(i int, b []byte) error {
			size := int(w.dtype.Size())
			w.sum.add(i, b, size)
			block := dst[i-row0*cols:][:len(b)/size]
			if k := widen(block, b, w.dtype); k >= 0 {
				return w.notFinite(name, i+k, block[k])
			}
			return nil
		})
	})
}

// index is where element i lies, a number for each dimension.
func (w *weight) index(i int) []int {
	index := make([]int, len(w.shape))
	for d := len(w.shape) - 1; d >= 0; d-- {
		index[d], i = i%w.shape[d], i/w.shape[d]
	}
	return index
}

func (w *weight) notFinite(name string, i int, value float32) error {
	what := "infinite"
	if math.IsNaN(float64(value)) {
		what = "NaN"
	}
	problem := fmt.Sprintf("element %v is %s", w.index(i), what)
	if w.tensor != name {
		problem += " (read as " + name + ")"
	}
	return &Error{File: w.file, Tensor: w.tensor, Problem: problem,
		Remedy: compareSum}
}

// reading runs f, which reads the bytes of a file.
func (c *Checkpoint) reading(path string, f func() error) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return &Error{File: path, Problem: "the checkpoint is closed", Err: fs.ErrClosed}
	}
	if err := c.lost.Load(); err != nil {
		return err
	}
	err := guarded(path, f)
	if lost := (*Error)(nil); errors.As(err, &lost) && lost.Err == errFault {
		c.lost.Store(lost)
	}
	return err
}

// Close unmaps the files. Reads that come later return an error.
func (c *Checkpoint) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	return unmap(c.files)
}

func unmap(files []file) error {
	var first error
	for _, f := range files {
		if err := unix.Munmap(f.data); err != nil && first == nil {
			first = &Error{File: f.path, Problem: "cannot unmap", Err: err}
		}
	}
	return first
}
