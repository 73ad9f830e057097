// Command _asm writes the assembly of package simd: all routines for one instruction set, chosen by -isa.
//
//	go generate ./kernels/host/simd
//
// There is one file per family of routines; each is written once, in terms of an isa, and comes out for all of them.
// Instructions carry the names of Intel's manual. Operands are in Go's order: sources first, destination last.
package main

import (
	"flag"
	"log"

	"github.com/mmcloughlin/avo/build"
)

func main() {
	name := flag.String("isa", "", "instruction set: avx512 or avx2")
	flag.Parse()
	s, ok := isas[*name]
	if !ok {
		log.Fatalf("no instruction set %q: -isa takes avx512 or avx2", *name)
	}
	build.ConstraintExpr("amd64,!purego")
	s.tiles()
	s.activations()
	s.layerNorm()
	s.softmax()
	s.scale()
	if s == &avx2 {
		s.transpose()
	}
	s.peak()
	build.Generate()
}
