package ptxsim

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestMemory(t *testing.T) {
	m := NewMemory()
	a, b := m.Alloc("a", 100), m.Alloc("b", 1<<20)
	for _, x := range []uint64{a, b} {
		if x%256 != 0 || x%512 == 0 || x>>32 == 0 {
			t.Errorf("address %#x is aligned too little, too much, or fits 32 bits", x)
		}
	}
	fails := func(err error, kind Kind, text string) {
		t.Helper()
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %v ... %s", err, kind, text)
		}
	}
	for _, n := range []int{0, 1, 31, 32, 33, 64, 97} {
		data := bytes.Repeat([]byte{byte(n)}, n)
		if err := m.Write(a+3, data); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, n)
		if err := m.Read(a+3, got); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("read %v, %v after writing %v", got, err, data)
		}
		fails(m.Read(a+2, make([]byte, n+1)), Uninitialised, `byte 0, which is byte 2 of "a"`)
	}
	if err := m.Poison(a+40, 30); err != nil {
		t.Fatal(err)
	}
	fails(m.Read(a+10, make([]byte, 60)), Uninitialised, "byte 30, which is byte 40")
	fails(m.Write(a+99, make([]byte, 2)), OutOfBounds, `byte 99 of "a"`)
	fails(m.Write(a+100, make([]byte, 1)), OutOfBounds, `0 bytes behind the end of "a"`)
	fails(m.Read(b-1, make([]byte, 1)), OutOfBounds, `1 bytes before "b"`)
	fails(m.Poison(0, 1), OutOfBounds, "before")

	region := m.Alloc("last", 10) + 1<<20
	if err := m.AllocAt("region", region, 1000); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		base uint64
		size int
	}{{region, 1}, {region - 256, 257}, {region + 768, 256}, {a - 256, 300}} {
		if err := m.AllocAt("overlap", c.base, c.size); err == nil || !strings.Contains(err.Error(), "overlap") {
			t.Errorf("AllocAt %#x: %v", c.base, err)
		}
	}
	if err := m.AllocAt("odd", region+2049, 1); err == nil {
		t.Error("an address of no alignment is taken")
	}
	if err := m.AllocAt("next", region+1024, 1000); err != nil {
		t.Error(err)
	}
	if x := m.Alloc("after", 1); x < region+2024 {
		t.Errorf("Alloc gives %#x again", x)
	}
	if err := m.Free(region + 1); err == nil || !strings.Contains(err.Error(), "no allocation starts there") {
		t.Error(err)
	}
	if err := m.Free(region); err != nil {
		t.Error(err)
	}
	fails(m.Write(region, []byte{1}), OutOfBounds, `before "next"`)
}

func TestEmptyMemory(t *testing.T) {
	err := NewMemory().Read(4096, make([]byte, 1))
	if !errors.Is(err, OutOfBounds) || !strings.HasSuffix(err.Error(), "nothing is allocated") {
		t.Error(err)
	}
}
