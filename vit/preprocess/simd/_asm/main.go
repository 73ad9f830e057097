// Command _asm writes the AVX2 assembly of package simd.
//
//	go generate ./vit/preprocess/simd
//
// There is one file per family of routines. Instructions carry the names of Intel's manual; where they are called as
// avo has them, operands are in Go's order: sources first and reversed, destination last. The functions of vec.go take
// sources in the order of the manual and return the destination.
package main

import "github.com/mmcloughlin/avo/build"

func main() {
	build.ConstraintExpr("amd64,!purego")
	idct()
	upsampling()
	color()
	filters()
	build.Generate()
}
