//go:build arm64 && !purego

package simd

// native returns the tier in assembly. Every arm64 CPU that Go runs on has NEON.
func native() []*Tier { return []*Tier{&neon} }

// neon is generic but for the GEMM.
var neon = func() Tier {
	t := generic
	t.Name = "neon"
	t.MR, t.NR = 6, 16
	t.Tile = [15]tileFunc{
		1: neonTile1, 2: neonTile2, 3: neonTile3, 4: neonTile4, 5: neonTile5, 6: neonTile6,
	}
	t.TileMixed = [15]mixedFunc{
		1: neonTileMixed1, 2: neonTileMixed2, 3: neonTileMixed3, 4: neonTileMixed4, 5: neonTileMixed5, 6: neonTileMixed6,
	}
	t.BlockBF16 = nil
	t.Peak, t.PeakBF16 = neonPeak, neonPeak
	return t
}()
