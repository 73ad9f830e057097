//go:build amd64 && !purego

package simd

import "encoding/binary"

// vendor is the maker's name as CPUID has it in three registers.
//
//go:noescape
func vendor() (b, d, c uint32)

// intel tells whether the CPU is Intel's.
func intel() bool {
	b, d, c := vendor()
	name := binary.LittleEndian.AppendUint32(nil, b)
	name = binary.LittleEndian.AppendUint32(name, d)
	return string(binary.LittleEndian.AppendUint32(name, c)) == "GenuineIntel"
}
