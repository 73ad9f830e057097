package vit

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m meter
		check := func(want float64) {
			t.Helper()
			if got := m.lastSecond(); math.Abs(got-want) > 1e-9 {
				t.Errorf("load %g, want %g", got, want)
			}
		}
		check(0)
		m.begin()
		time.Sleep(200 * time.Millisecond)
		check(0.2)
		m.begin() // overlaps: counted once
		time.Sleep(100 * time.Millisecond)
		m.end()
		check(0.3)
		time.Sleep(100 * time.Millisecond)
		m.end()
		check(0.4)
		time.Sleep(700 * time.Millisecond) // the first 0.1 s is more than a second ago
		check(0.3)
		m.begin()
		time.Sleep(3 * time.Second)
		check(1)
		m.end()
		check(1)
		time.Sleep(1001 * time.Millisecond)
		check(0)
	})
}
