//go:build !amd64 || purego

package simd

func native() []*Tier { return nil }
