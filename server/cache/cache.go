// Package cache keeps embeddings under the digest of what they were computed
// from: in memory, bounded by bytes, and optionally in a folder that survives
// restarts.
package cache

import (
	"log/slog"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
)

// A Key is a SHA-256 digest of everything that an embedding depends on.
type Key [32]byte

// A Cache is safe for concurrent use.
type Cache struct {
	memory *otter.Cache[Key, []float32] // nil: none
	folder *folder                      // nil: none

	hits, misses atomic.Uint64
}

// Stats are a cache's counters since it was made, and what its memory holds.
type Stats struct {
	Hits    uint64 `json:"hits"`
	Misses  uint64 `json:"misses"`
	Entries int    `json:"entries"`
	Bytes   uint64 `json:"bytes"`
}

// entryBytes is what an entry costs besides its values: key, slice and the
// cache's own bookkeeping, about.
const entryBytes = 160

// New returns a cache that holds up to maxBytes in memory, and writes through to
// the folder dir, which is made if it is not there; an empty dir is none. It
// fails if dir cannot be written. Problems with files later on are logged: they
// cost a computation, and nothing else.
func New(maxBytes int, dir string, log *slog.Logger) (c *Cache, err error) {
	c = &Cache{}
	if maxBytes > 0 {
		c.memory, err = otter.New(&otter.Options[Key, []float32]{
			MaximumWeight: uint64(maxBytes),
			Weigher:       func(_ Key, v []float32) uint32 { return uint32(4*len(v) + entryBytes) },
		})
		if err != nil {
			return nil, err
		}
	}
	if dir != "" {
		if c.folder, err = openFolder(dir, log); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Get returns the embedding of n values under k, or nil. It is not to be
// modified.
func (c *Cache) Get(k Key, n int) []float32 {
	v := c.find(k, n)
	if v != nil {
		c.hits.Add(1)
	} else {
		c.misses.Add(1)
	}
	return v
}

func (c *Cache) find(k Key, n int) []float32 {
	if c.memory != nil {
		if v, ok := c.memory.GetIfPresent(k); ok && len(v) == n {
			return v
		}
	}
	if c.folder == nil {
		return nil
	}
	v := c.folder.read(k, n)
	if v != nil && c.memory != nil {
		c.memory.Set(k, v)
	}
	return v
}

// Put keeps v, which the caller does not modify any more, under k.
func (c *Cache) Put(k Key, v []float32) {
	if c.memory != nil {
		c.memory.Set(k, v)
	}
	if c.folder != nil {
		c.folder.write(k, v)
	}
}

// Stats returns the counters as they are now.
func (c *Cache) Stats() Stats {
	s := Stats{Hits: c.hits.Load(), Misses: c.misses.Load()}
	if c.memory != nil {
		c.memory.CleanUp() // it counts late
		s.Entries, s.Bytes = c.memory.EstimatedSize(), c.memory.WeightedSize()
	}
	return s
}

// Close writes out what is still to be written to the folder. What is put after
// it is not written.
func (c *Cache) Close() {
	if c.folder != nil {
		c.folder.close()
	}
	if c.memory != nil {
		c.memory.StopAllGoroutines()
	}
}
