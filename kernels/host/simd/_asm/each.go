package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// An access moves a vector between memory and registers, or those of its lanes that are inside a row.
type access struct {
	load  func(m Mem, v VecPhysical) // lanes outside become 0
	store func(v VecPhysical, m Mem) // lanes outside are left alone
	fill  func(with, v VecPhysical)  // lanes outside become those of with
}

// whole is the access to vectors that are inside.
var whole = access{
	load:  func(m Mem, v VecPhysical) { VMOVUPS(m, v) },
	store: func(v VecPhysical, m Mem) { VMOVUPS(v, m) },
	fill:  func(with, v VecPhysical) {},
}

// each writes the loop over a row of n values from the pointers on: body(u, in) once for each vector, at u vectors
// past the pointers, group of them to a round. What a row has beyond its last whole vector goes through the same body
// with the tail's access, so that no value is computed otherwise than its neighbours; tailMask must have selected it.
// The loop uses n up and leaves the pointers at that last vector.
func (s *isa) each(label string, n Register, group int, pointers []Register, body func(u int, in access)) {
	step := func(vectors int) {
		for u := range vectors {
			body(u, whole)
		}
		for _, p := range pointers {
			ADDQ(imm(vectors*s.size()), p)
		}
		SUBQ(imm(vectors*s.lanes()), n)
	}
	SUBQ(imm(group*s.lanes()), n)
	JLT(LabelRef(label + "Single"))
	Label(label)
	step(group)
	JGE(LabelRef(label))
	Label(label + "Single")
	if group > 1 {
		ADDQ(imm((group-1)*s.lanes()), n)
		JLT(LabelRef(label + "Tail"))
		Label(label + "Next")
		step(1)
		JGE(LabelRef(label + "Next"))
		Label(label + "Tail")
	}
	ADDQ(imm(s.lanes()), n)
	JZ(LabelRef(label + "Done"))
	body(0, s.tail)
	Label(label + "Done")
}
