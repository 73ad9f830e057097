// Command _asm writes the assembly of package simd for amd64: all routines for one instruction set, chosen by -isa.
//
//	go generate ./kernels/host/simd
//
// There is one file per family of routines; each is written once, in terms of an isa, and comes out for all of them;
// avx512bf16 has only what it does otherwise than avx512, and amx what it does otherwise than avx512bf16.
// Instructions carry the names of Intel's manual. Operands are in Go's order: sources first, destination last.
package main

import (
	"flag"
	"log"

	"github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	name := flag.String("isa", "", "instruction set: amx, avx512bf16, avx512 or avx2")
	flag.Parse()
	s, ok := isas[*name]
	if !ok {
		log.Fatalf("no instruction set %q: -isa takes amx, avx512bf16, avx512 or avx2", *name)
	}
	build.ConstraintExpr("amd64,!purego")
	switch s {
	case &amx:
		s.block()
		s.addRow()
		s.peakBlock()
	case &avx512bf16:
		s.tiles(bf16)
		s.narrow()
		s.peak("PeakBF16", 2, vdpbf16ps)
	default:
		s.tiles(fp32)
		s.tiles(mixed)
		s.conversions()
		s.activations()
		s.layerNorm()
		s.softmax()
		s.scale()
		if s == &avx2 {
			s.transpose()
		}
		s.peak("Peak", 1, func(y, x, dst VecPhysical) { build.VFMADD231PS(y, x, dst) })
	}
	build.Generate()
}
