package resample

import (
	"container/list"
	"sync"
	"testing"

	"vith/vit/preprocess/simd"
)

func TestCache(t *testing.T) {
	o := Options{Size: 8, Orientation: 1, Tier: simd.Best()}
	one := newPlan(planKey{100, 100, o}).bytes
	c := cache{limit: 3*one + one/2, elements: map[planKey]*list.Element{}}
	get := func(width int) *plan { return c.plan(planKey{width, 100, o}) }

	a, b := get(100), get(101)
	if a == b || get(100) != a || get(101) != b {
		t.Error("a plan is not found again, or is that of another size")
	}
	get(102)
	get(100)
	get(103) // 101 was used least recently
	if get(100) != a || get(101) == b {
		t.Error("it is not the plan used least recently that is dropped")
	}
	other := o
	other.Orientation = 6
	if c.plan(planKey{100, 100, other}) == a {
		t.Error("a plan is found for another orientation")
	}
	for width := 100; width < 200; width++ {
		get(width)
		n := 0
		for e := c.recent.Front(); e != nil; e = e.Next() {
			n += e.Value.(*plan).bytes
		}
		if n != c.bytes || n > c.limit || len(c.elements) != c.recent.Len() {
			t.Fatalf("%d plans of %d bytes, %d elements of %d bytes, limit %d", c.recent.Len(), n, len(c.elements), c.bytes, c.limit)
		}
	}
	large := planKey{5000, 5000, o}
	if c.plan(large); c.elements[large] != nil {
		t.Errorf("a plan of %d bytes is kept, the limit is %d", newPlan(large).bytes, c.limit)
	}

	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				if width := 100 + (i*7+j)%9; get(width).width != width {
					t.Errorf("width %d: the plan of another", width)
				}
			}
		})
	}
	wg.Wait()
}
