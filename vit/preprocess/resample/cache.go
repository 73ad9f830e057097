package resample

import (
	"container/list"
	"sync"
)

// Images that come together often have one size, and a plan takes a twelfth of
// the time of a 640 x 480 JPEG: those used last are kept.
var plans = cache{limit: 4 << 20, elements: map[planKey]*list.Element{}}

// A cache keeps the plans that were used last. It is safe for concurrent use.
type cache struct {
	limit int // bytes of all plans

	mu       sync.Mutex
	elements map[planKey]*list.Element
	recent   list.List // of *plan, the latest first
	bytes    int
}

// A planKey is what a plan depends on.
type planKey struct {
	width, height int
	Options
}

// plan returns the plan for the key.
func (c *cache) plan(key planKey) *plan {
	c.mu.Lock()
	if e := c.elements[key]; e != nil {
		c.recent.MoveToFront(e)
		c.mu.Unlock()
		return e.Value.(*plan)
	}
	c.mu.Unlock()

	p := newPlan(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.elements[key] != nil || p.bytes > c.limit { // someone else was faster, or it is not worth it
		return p
	}
	c.elements[key] = c.recent.PushFront(p)
	c.bytes += p.bytes
	for c.bytes > c.limit {
		oldest := c.recent.Remove(c.recent.Back()).(*plan)
		delete(c.elements, oldest.planKey)
		c.bytes -= oldest.bytes
	}
	return p
}
