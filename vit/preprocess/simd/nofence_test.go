//go:build !linux && !darwin

package simd

import "testing"

// newFence returns a fence of n bytes in plain memory, where there are no pages to protect.
func newFence(_ *testing.T, n int) fence { return make(fence, n) }
