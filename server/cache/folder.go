package cache

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A folder has a file for each embedding: DIR/ab/cdef..., named by its key in
// hexadecimal, with a header and the values as little-endian float32. A file is
// whole or not there, and whoever runs out of space may delete any of them at
// any time.
type folder struct {
	dir  string
	log  *slog.Logger
	done sync.WaitGroup

	mu     sync.RWMutex
	queue  chan entry
	closed bool

	complained time.Time // by the one goroutine that writes
}

type entry struct {
	key    Key
	values []float32
}

// The header of a file: magic, which ends in the version of the format, and the
// CRC-32C of the values. It finds what a crash of the machine left half-written;
// a crash of the program leaves nothing.
const (
	magic      = "vithvec1"
	headerSize = len(magic) + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// queued is the number of embeddings that wait to be written. More than that are
// not written: they are computed again after a restart.
const queued = 1024

// complainEvery is the least time between two lines in the log about the folder.
const complainEvery = time.Minute

func openFolder(dir string, log *slog.Logger) (*folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return nil, fmt.Errorf("cache: the folder cannot be written: %w", err)
	}
	probe.Close()
	os.Remove(probe.Name())
	f := &folder{dir: dir, log: log, queue: make(chan entry, queued)}
	f.done.Go(func() {
		for e := range f.queue {
			if err := f.save(e); err != nil && time.Since(f.complained) > complainEvery {
				f.complained = time.Now()
				log.Warn("the cache's folder cannot be written", "error", err)
			}
		}
	})
	return f, nil
}

func (f *folder) path(k Key) string {
	name := hex.EncodeToString(k[:])
	return filepath.Join(f.dir, name[:2], name[2:])
}

// read returns the n values under k, or nil.
func (f *folder) read(k Key, n int) []float32 {
	b, err := os.ReadFile(f.path(k))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			f.log.Debug("a file of the cache cannot be read", "error", err)
		}
		return nil
	}
	if len(b) != headerSize+4*n || !bytes.HasPrefix(b, []byte(magic)) {
		return nil
	}
	payload := b[headerSize:]
	if binary.LittleEndian.Uint32(b[len(magic):]) != crc32.Checksum(payload, castagnoli) {
		return nil
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(payload[4*i:]))
	}
	return values
}

// write has the values written soon, unless too many wait for that.
func (f *folder) write(k Key, values []float32) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return
	}
	select {
	case f.queue <- entry{k, values}:
	default:
	}
}

// save writes a file beside its place and moves it there.
func (f *folder) save(e entry) error {
	b := make([]byte, headerSize, headerSize+4*len(e.values))
	for _, v := range e.values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[len(magic):], crc32.Checksum(b[headerSize:], castagnoli))

	path := f.path(e.key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

func (f *folder) close() {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		close(f.queue)
	}
	f.mu.Unlock()
	f.done.Wait()
}
