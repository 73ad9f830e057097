//go:build amd64 && !linux && !purego

package simd

// requestTiles reports that no way is known here to be let use AMX.
func requestTiles() bool { return false }
