// Package ptx is an assembler for PTX, the portable assembly language of NVIDIA GPUs: a typed builder that kernels are
// written with, the form they are kept in, a printer, a parser and a verifier. The language is the part of PTX that the
// opcode table in optab.go lists.
//
// # Writing a kernel
//
// Assemble calls a Go function with a *Func. Func has a method for each instruction, named like it: fma.rn.f32 is
// FmaRnF32. Registers are values of distinct Go types (Pred, B16, B32, B64, F32, F16x2, BF16x2), so that an instruction
// on the wrong register does not compile; Int, Long and Float make constants of the same types. As in PTX, a B32 has no
// sign: the instruction has it. The types of one size and class, B32, F16x2 and BF16x2, convert into each other as Go
// values (B32(x)) without an instruction.
//
// There is one convention for results: every method returns its result in a new register. A register that lives
// through a loop is overwritten by naming it with Into, before the instruction:
//
//	sum := f.MovF32(ptx.Float(0))
//	f.For(ptx.Int(0), n, ptx.Int(1), func(i ptx.B32) {
//		…
//		ptx.Into(f, sum).AddRnF32(sum, x)
//	})
//
// When and Unless guard one instruction in the same way: f.When(p).StGlobalF32(y.At(0), sum). A guarded instruction
// defines no register, because a thread may skip it; give the register a value before. If, IfElse, For and DoWhile make
// control flow; an ordinary Go loop unrolls, and an ordinary Go function is a macro.
//
// Mistakes are collected and reported by Assemble, each at the line of the author's file that made it.
//
// # The form
//
// A Module has Kernels, a Kernel has parameters, shared arrays, register counts, labels and a flat list of Insts. An
// Inst has an *Op, which is a row of the table with every modifier decided and decoded (types, space, comparison,
// rounding, shape, further Mods), a Guard, and Operands in the order of the text and of Op.Args. An interpreter can
// therefore map each *Op to a function once, and needs no text: Ops lists them all. Some facts it needs:
//
//   - A register holds bits; Reg.Class and Reg.N identify it. Op.Args[i].Type says how an operand's bits are read.
//     8-bit values live in the low bits of a 32-bit register, extended by loads as their type's sign says.
//   - KindInt is a value to be cut to the operand's width, KindFloat the bits of a float32.
//   - An address is a register or a parameter's name, plus bytes. Global ones are in B64, shared ones in B32 registers;
//     the address of a shared array comes from mov.u32 with its name (KindSymbol).
//   - Labels are found by name in Kernel.Labels; a label's At is an index into Insts.
//   - An Op without a vector length reads or writes single registers; with KindVector, Vec has Arg.N of them.
//
// Parse(m.Text()) gives m back, but for the authors' positions.
//
// # Adding an instruction
//
// Two places: a row in optab.go, and a method in the file of its kind (integer.go, float.go, memory.go, …). The test of
// the methods finds it by itself: it fails until the method emits every form of the row, and -update adds the text to
// the golden file. With the build tag ptxas, the tests also hold every row's form, version and targets to NVIDIA's
// assembler, $PTXAS or the ptxas in $PATH.
package ptx
