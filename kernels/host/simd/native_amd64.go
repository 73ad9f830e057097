//go:build amd64 && !purego

package simd

import "golang.org/x/sys/cpu"

// native returns the tiers in assembly that can run here. Package cpu has asked the operating system too, whether it
// saves the wide registers.
func native() []*Tier {
	var tiers []*Tier
	x := &cpu.X86
	if !x.HasAVX2 || !x.HasFMA {
		return nil
	}
	if x.HasAVX512F && x.HasAVX512DQ {
		tiers = append(tiers, &avx512)
	}
	return append(tiers, &avx2)
}

var avx512 = Tier{
	Name: "avx512",
	MR:   14,
	NR:   32,
	Tile: [15]tileFunc{
		1: avx512Tile1, 2: avx512Tile2, 3: avx512Tile3, 4: avx512Tile4, 5: avx512Tile5,
		6: avx512Tile6, 7: avx512Tile7, 8: avx512Tile8, 9: avx512Tile9, 10: avx512Tile10,
		11: avx512Tile11, 12: avx512Tile12, 13: avx512Tile13, 14: avx512Tile14,
	},
	GELU:      avx512GELU,
	GELUTanh:  avx512GELUTanh,
	QuickGELU: avx512QuickGELU,
	LayerNorm: avx512LayerNorm,
	Softmax:   avx512Softmax,
	Scale:     avx512Scale,
	Transpose: transpose,
	Peak:      avx512Peak,
}

var avx2 = Tier{
	Name: "avx2",
	MR:   6,
	NR:   16,
	Tile: [15]tileFunc{
		1: avx2Tile1, 2: avx2Tile2, 3: avx2Tile3, 4: avx2Tile4, 5: avx2Tile5, 6: avx2Tile6,
	},
	GELU:      avx2GELU,
	GELUTanh:  avx2GELUTanh,
	QuickGELU: avx2QuickGELU,
	LayerNorm: avx2LayerNorm,
	Softmax:   avx2Softmax,
	Scale:     avx2Scale,
	Transpose: transpose,
	Peak:      avx2Peak,
}
