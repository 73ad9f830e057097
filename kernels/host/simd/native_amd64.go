//go:build amd64 && !purego

package simd

import (
	"slices"

	"golang.org/x/sys/cpu"
)

// native returns the tiers in assembly that can run here. Package cpu has asked the operating system too, whether it
// saves the wide registers.
//
// On CPUs with AMX, which are Intel's, avx512bf16 comes last of those with AVX-512: on such a Xeon a tower took 1.6 times as
// long by VDPBF16PS as in fp32, and with bfloat16 widened it takes about as long as in fp32 where that was measured, with
// AVX2.
func native() []*Tier {
	x := &cpu.X86
	if !x.HasAVX2 || !x.HasFMA {
		return nil
	}
	tiers := []*Tier{&avx2}
	if x.HasAVX512F && x.HasAVX512DQ {
		tiers = slices.Insert(tiers, 0, &avx512)
		switch {
		case x.HasAVX512BF16 && x.HasAMXBF16:
			tiers = slices.Insert(tiers, 1, &avx512bf16)
			if x.HasAMXTile && requestTiles() {
				tiers = slices.Insert(tiers, 0, &amx)
			}
		case x.HasAVX512BF16:
			tiers = slices.Insert(tiers, 0, &avx512bf16)
		}
	}
	return tiers
}

// amx is avx512bf16 but for the product of matrices of bfloat16.
var amx = func() Tier {
	t := avx512bf16
	t.Name = "amx"
	t.BlockBF16 = block
	t.PeakBF16 = amxPeakBF16
	return t
}()

// avx512bf16 is avx512 but for bfloat16.
var avx512bf16 = func() Tier {
	t := avx512
	t.Name = "avx512bf16"
	t.TileBF16 = [15]bf16Func{
		1: avx512bf16TileBF161, 2: avx512bf16TileBF162, 3: avx512bf16TileBF163, 4: avx512bf16TileBF164, 5: avx512bf16TileBF165,
		6: avx512bf16TileBF166, 7: avx512bf16TileBF167, 8: avx512bf16TileBF168, 9: avx512bf16TileBF169, 10: avx512bf16TileBF1610,
		11: avx512bf16TileBF1611, 12: avx512bf16TileBF1612, 13: avx512bf16TileBF1613, 14: avx512bf16TileBF1614,
	}
	t.Narrow = byLanes(16, avx512bf16Narrow, genericNarrow)
	t.PeakBF16 = avx512bf16PeakBF16
	return t
}()

var avx512 = Tier{
	Name: "avx512",
	MR:   14,
	NR:   32,
	Tile: [15]tileFunc{
		1: avx512Tile1, 2: avx512Tile2, 3: avx512Tile3, 4: avx512Tile4, 5: avx512Tile5,
		6: avx512Tile6, 7: avx512Tile7, 8: avx512Tile8, 9: avx512Tile9, 10: avx512Tile10,
		11: avx512Tile11, 12: avx512Tile12, 13: avx512Tile13, 14: avx512Tile14,
	},
	TileMixed: [15]mixedFunc{
		1: avx512TileMixed1, 2: avx512TileMixed2, 3: avx512TileMixed3, 4: avx512TileMixed4, 5: avx512TileMixed5,
		6: avx512TileMixed6, 7: avx512TileMixed7, 8: avx512TileMixed8, 9: avx512TileMixed9, 10: avx512TileMixed10,
		11: avx512TileMixed11, 12: avx512TileMixed12, 13: avx512TileMixed13, 14: avx512TileMixed14,
	},
	Narrow:    byLanes(16, avx512Narrow, genericNarrow),
	Widen:     byLanes(16, avx512Widen, genericWiden),
	GELU:      avx512GELU,
	GELUTanh:  avx512GELUTanh,
	QuickGELU: avx512QuickGELU,
	LayerNorm: avx512LayerNorm,
	Softmax:   avx512Softmax,
	Scale:     avx512Scale,
	Transpose: transpose,
	Peak:      avx512Peak,
	PeakBF16:  avx512Peak,
}

var avx2 = Tier{
	Name: "avx2",
	MR:   6,
	NR:   16,
	Tile: [15]tileFunc{
		1: avx2Tile1, 2: avx2Tile2, 3: avx2Tile3, 4: avx2Tile4, 5: avx2Tile5, 6: avx2Tile6,
	},
	TileMixed: [15]mixedFunc{
		1: avx2TileMixed1, 2: avx2TileMixed2, 3: avx2TileMixed3, 4: avx2TileMixed4, 5: avx2TileMixed5, 6: avx2TileMixed6,
	},
	Narrow:    byLanes(8, avx2Narrow, genericNarrow),
	Widen:     byLanes(8, avx2Widen, genericWiden),
	GELU:      avx2GELU,
	GELUTanh:  avx2GELUTanh,
	QuickGELU: avx2QuickGELU,
	LayerNorm: avx2LayerNorm,
	Softmax:   avx2Softmax,
	Scale:     avx2Scale,
	Transpose: transpose,
	Peak:      avx2Peak,
	PeakBF16:  avx2Peak,
}
