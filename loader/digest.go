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

	"github.com/nlpodyssey/safetensors"
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
	done := w.sum.elements()
	w.blocks(done, w.rows()*w.cols()-done, func(i int, b []byte) error {
		w.sum.add(i, b, w.dtype)
		return nil
	})
	return w.sum.hash.Sum(nil)
}

// A sum is the running sha256 of a weight. Whoever reads the next elements in line adds them; everything else is
// passed over, so that any interleaving of readers hashes each byte once, in order.
type sum struct {
	mu   sync.Mutex
	hash hash.Hash
	next int // elements hashed
}

func (s *sum) elements() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// add takes the stored bytes of the elements from i on.
func (s *sum) add(i int, b []byte, t safetensors.DType) {
	size := int(t.Size())
	s.mu.Lock()
	defer s.mu.Unlock()
	if skip := s.next - i; skip >= 0 && skip*size < len(b) {
		s.hash.Write(b[skip*size:])
		s.next = i + len(b)/size
	}
}
