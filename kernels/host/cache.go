package host

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"

	"vith/kernels"
	"vith/kernels/tensor"
)

// A cache keeps packed weights in the files of a folder. A file is named after, and holds, what its bytes follow from:
//
//	offset  bytes
//	     0      8  "vithpack"
//	     8      4  version of this form
//	    12      4  number of weights n
//	    16      8  bytes of the weights
//	    24     32  sha256 of what they are: see identity
//	    56     4n  CRC-32C of each weight
//	 56+4n      4  CRC-32C of all before
//	              zeros to a multiple of 4096, then the weights as they lie in memory; numbers are little-endian
//
// Nothing in a file is trusted. Its size, its header, every byte of its weights and, against the model, the first rows
// of each weight are checked before it is used; a file that does not hold is written anew. It is written under
// another name and renamed. While it is in use it must not be truncated.
//
// No file is removed. What one was made for cannot be told from its name, and those of another model, instruction set or
// version may be wanted by another program that shares the folder. Whoever wants their space back may remove any of them at
// any time: one in use stays in memory as it is mapped, and one that is missed is made again.
type cache struct {
	folder, model string
	log           *slog.Logger
}

const (
	cacheMagic   = "vithpack"
	cacheVersion = 1
	cachePage    = 4096
	cacheFixed   = 56 // bytes of the header before the sums
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CacheWeights keeps the packed weights of programs that are loaded from now on in files of a folder, and maps those
// that are there already. model identifies the weights; log is told of files that are of no use, and of failures to
// write one, which are no errors.
func (b *Backend) CacheWeights(folder, model string, log *slog.Logger) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cache = &cache{folder, model, log}
}

// A placement is weights to be packed, one after the other, in one piece of memory.
type placement struct {
	keys   []weightKey
	offset []int // of each
	bytes  int
}

// identity is the sha256 of what the bytes of the weights follow from.
func (p *placement) identity(model, tier string, nr int) [32]byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %d\n%s\n%s %d %d\n", cacheMagic, cacheVersion, model, tier, nr, maxK)
	for i, k := range p.keys {
		fmt.Fprintf(&b, "%s %d %x [%d %d] %d\n", k.weight.Key, k.layout, k.alpha, k.weight.Rows, k.weight.Cols, p.offset[i])
	}
	return sha256.Sum256(b.Bytes())
}

// header is the header of a file of weights with these sums.
func (p *placement) header(identity [32]byte, sums []uint32) []byte {
	h := []byte(cacheMagic)
	h = binary.LittleEndian.AppendUint32(h, cacheVersion)
	h = binary.LittleEndian.AppendUint32(h, uint32(len(p.keys)))
	h = binary.LittleEndian.AppendUint64(h, uint64(p.bytes))
	h = append(h, identity[:]...)
	for _, s := range sums {
		h = binary.LittleEndian.AppendUint32(h, s)
	}
	h = binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
	return append(h, make([]byte, (cachePage-len(h)%cachePage)%cachePage)...)
}

// cached returns the weights from the cache, or packs them and leaves them there. all is the memory to release, weights
// the part of it that they are in.
func (b *Backend) cached(p *placement) (all, weights region, err error) {
	identity := p.identity(b.cache.model, b.tier.Name, b.tier.NR)
	path := filepath.Join(b.cache.folder, fmt.Sprintf("%s-%x.packed", b.tier.Name, identity[:16]))
	all, weights, err = b.mapped(p, path, identity)
	if err == nil {
		return all, weights, nil
	}
	if failed := (*fillError)(nil); errors.As(err, &failed) {
		return nil, nil, failed.err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		b.cache.log.Warn("a file of packed weights is made anew", "file", path, "reason", err)
	}
	if weights, err = b.pack(p); err != nil {
		return nil, nil, err
	}
	if err := b.write(p, path, identity, weights); err != nil {
		b.cache.log.Warn("packed weights are not kept", "file", path, "reason", err)
	}
	return weights, weights, nil
}

// A fillError is the model's, not the file's.
type fillError struct{ err error }

func (e *fillError) Error() string { return e.err.Error() }

// mapped maps a file and checks it.
func (b *Backend) mapped(p *placement, path string, identity [32]byte) (all, weights region, err error) {
	all, err = mapFile(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			all.release()
		}
	}()
	start := len(p.header(identity, make([]uint32, len(p.keys))))
	if len(all) != start+p.bytes {
		return nil, nil, fmt.Errorf("it has %d bytes, must have %d", len(all), start+p.bytes)
	}
	sums := make([]uint32, len(p.keys))
	for i := range sums {
		sums[i] = binary.LittleEndian.Uint32(all[cacheFixed+4*i:])
	}
	if !bytes.Equal(all[:start], p.header(identity, sums)) {
		return nil, nil, errors.New("its header is damaged, or that of other weights")
	}
	weights = all[start:]
	return all, weights, b.eachWeight(p, func(i int, packer *packer) (err error) {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			switch fault := recover().(type) {
			case nil:
			case interface{ Addr() uintptr }: // a page that cannot be read, as the runtime documents it
				err = errors.New("it cannot be read: it was cut, or its disk fails")
			default:
				panic(fault)
			}
		}()
		k := p.keys[i]
		w := weights[p.offset[i]:][:k.bytes(b.tier.NR)]
		if crc32.Checksum(w, castagnoli) != sums[i] {
			return fmt.Errorf("its %s is damaged", k.weight.Key)
		}
		same, err := packer.begins(k, w)
		if err != nil {
			return &fillError{err}
		}
		if !same {
			return fmt.Errorf("its %s is not the model's", k.weight.Key)
		}
		return nil
	})
}

// begins reports whether a packed weight has the model's first rows.
func (p *packer) begins(k weightKey, packed region) (bool, error) {
	nr, rows, cols := p.tier.NR, k.weight.Rows, k.weight.Cols
	n := min(nr, rows)
	first := k
	first.weight = &kernels.Weight{Key: k.weight.Key, Type: k.weight.Type, Rows: n, Cols: cols, Fill: k.weight.Fill}
	want := p.first(first.bytes(nr))
	if err := p.placeRows(first, want, 0, n); err != nil {
		return false, err
	}
	if k.layout == plain {
		return bytes.Equal(packed[:4*n*cols], want[:4*n*cols]), nil
	}
	for c := 0; c < cols; c += maxK {
		size := 4 * nr * k.layout.lines(min(maxK, cols-c))
		if !bytes.Equal(packed[panelAt(k.layout, rows, cols, nr, 0, c):][:size], want[panelAt(k.layout, n, cols, nr, 0, c):][:size]) {
			return false, nil
		}
	}
	return true, nil
}

// first returns zeroed memory for one panel.
func (p *packer) first(n int) region {
	words := grow(&p.panel, n/4)
	clear(words)
	return tensor.Bytes(words)
}

// write makes a file of packed weights. What a power failure leaves of it is found when it is checked.
func (b *Backend) write(p *placement, path string, identity [32]byte, weights region) (err error) {
	sums := make([]uint32, len(p.keys))
	if err := b.eachWeight(p, func(i int, _ *packer) error {
		sums[i] = crc32.Checksum(weights[p.offset[i]:][:p.keys[i].bytes(b.tier.NR)], castagnoli)
		return nil
	}); err != nil {
		return err
	}
	if err := os.MkdirAll(b.cache.folder, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(fmt.Sprintf("%s.%d.part", path, os.Getpid()), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
		if err == nil {
			err = os.Rename(f.Name(), path)
		}
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(p.header(identity, sums)); err != nil {
		return err
	}
	_, err = f.Write(weights)
	return err
}

// eachWeight calls f for every weight, on all threads. The first error ends it.
func (b *Backend) eachWeight(p *placement, f func(i int, packer *packer) error) error {
	var failed atomic.Pointer[error]
	packers := make([]packer, b.pool.threads)
	b.pool.run(&step{tasks: len(p.keys), run: func(task, worker int) {
		if failed.Load() != nil {
			return
		}
		packers[worker].tier = b.tier
		if err := f(task, &packers[worker]); err != nil {
			failed.CompareAndSwap(nil, &err)
		}
	}})
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}
