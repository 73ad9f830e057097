//go:build !(amd64 || arm64) || purego

package simd

func native() []*Tier { return nil }
