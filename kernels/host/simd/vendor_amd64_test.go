//go:build amd64 && !purego && linux

package simd

import (
	"os"
	"strings"
	"testing"
)

// TestVendor asks Linux too.
func TestVendor(t *testing.T) {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Contains(string(info), "GenuineIntel"); intel() != want {
		t.Errorf("the CPU is Intel's: %v, want %v", intel(), want)
	}
}
