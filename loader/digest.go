package loader

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Digest identifies the tower's weights: "sha256:" and the hexadecimal sha256 of one line for each weight, in the
// byte order of names:
//
//	NAME DTYPE [D0 D1 …] SHA256\n
//
// NAME and the dimensions are those of package tower, DTYPE is the stored type ("F32", "F16", "BF16"), SHA256 is the
// hexadecimal sha256 of the stored values, little-endian, row-major in those dimensions. So the digest does not depend
// on how a file spells, orders, fuses, transposes or shards the tower, nor on what else it holds.
//
// ReadRows hashes what it reads when it reads a weight in order; Digest reads the rest.
func (c *Checkpoint) Digest() (string, error) {
	names := slices.Sorted(maps.Keys(c.weights))
	lines := make([]string, len(names))
	errs := make([]error, len(names))
	next := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				w := c.weights[names[i]]
				errs[i] = c.reading(w.file, func() error {
					lines[i] = fmt.Sprintf("%s %s %v %x\n", names[i], w.dtype, w.shape, w.digest())
					return nil
				})
			}
		})
	}
	for i := range names {
		next <- i
	}
	close(next)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(strings.Join(lines, "")))), nil
}

// digest hashes what has not been hashed yet.
func (w *weight) digest() []byte {
	done := int(w.sum.next.Load())
	w.blocks(done, w.rows()*w.cols()-done, func(i int, b []byte) error {
		w.sum.add(i, b, int(w.dtype.Size()))
		return nil
	})
	return w.sum.hash.Sum(nil)
}

// A sum is the running sha256 of a weight. Whoever reads the next elements in line adds them; everything else is
// passed over, so that any interleaving of readers hashes each byte once, in order.
type sum struct {
	mu   sync.Mutex // held while hashing
	hash hash.Hash
	next atomic.Int64 // elements hashed
}

// add takes the stored bytes of the elements from i on, size bytes each. Readers elsewhere in the weight do not wait.
func (s *sum) add(i int, b []byte, size int) {
	skip := func() (bytes int, inLine bool) {
		bytes = (int(s.next.Load()) - i) * size
		return bytes, 0 <= bytes && bytes < len(b)
	}
	if _, inLine := skip(); !inLine {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, inLine := skip(); inLine {
		s.hash.Write(b[n:])
		s.next.Store(int64(i + len(b)/size))
	}
}
