package ptxsim

import (
	"math/bits"
	"slices"

	"vith/kernels/ptx"
)

// Stats counts what a launch did, by warp: an instruction issued for 32 threads counts once. It depends on the kernel,
// its data and, where threads diverge, on nothing else.
type Stats struct {
	Instructions [ptx.ClassControl + 1]int64 // issued, by class
	MMA          int64                       // mma.sync among them

	SharedWavefronts int64 // passes over the 32 banks of shared memory
	BankConflicts    int64 // passes beyond those that the width of the accesses needs

	GlobalSectors    int64 // 32-byte sectors of global memory touched by each instruction, summed
	GlobalMinSectors int64 // the sectors that the same distinct bytes would fill if they were packed
}

func (s *Stats) add(t *Stats) {
	for c, n := range t.Instructions {
		s.Instructions[c] += n
	}
	s.MMA += t.MMA
	s.SharedWavefronts += t.SharedWavefronts
	s.BankConflicts += t.BankConflicts
	s.GlobalSectors += t.GlobalSectors
	s.GlobalMinSectors += t.GlobalMinSectors
}

// countBanks adds a shared-memory access of n bytes a lane. The lanes are served in groups that need 128 bytes at most:
// all 32 for up to 4 bytes, 16 for 8, 8 for 16.
func (s *Stats) countBanks(addr *lanes, offset uint64, n int, active uint32) {
	words := max(1, n/4)
	group := 32 / words
	for first := 0; first < 32; first += group {
		if part := active & (1<<group - 1) << first; part != 0 {
			passes := bankPasses(addr, offset, uint32(words), part)
			s.SharedWavefronts += passes
			s.BankConflicts += passes - 1
		}
	}
}

// bankPasses is the number of passes that the lanes of part need together, each accessing a number of words: the largest
// number of distinct words in one of the 32 banks.
func bankPasses(addr *lanes, offset uint64, words, part uint32) int64 {
	var seen uint32
	var word [32]uint32 // the one in each bank, while no bank has two
	for m := part; m != 0; m &= m - 1 {
		w := uint32(addr[bits.TrailingZeros32(m)]+offset) / 4
		for end := w + words; w < end; w++ {
			if bank := w % 32; seen>>bank&1 == 0 {
				seen |= 1 << bank
				word[bank] = w
			} else if word[bank] != w {
				return countPasses(addr, offset, words, part)
			}
		}
	}
	return 1
}

// countPasses is bankPasses where there are conflicts.
func countPasses(addr *lanes, offset uint64, words, part uint32) int64 {
	var distinct [32][32]uint32 // by bank
	var count [32]int
	for m := part; m != 0; m &= m - 1 {
		w := uint32(addr[bits.TrailingZeros32(m)]+offset) / 4
		for end := w + words; w < end; w++ {
			bank := w % 32
			if n := count[bank]; !slices.Contains(distinct[bank][:n], w) {
				distinct[bank][n] = w
				count[bank]++
			}
		}
	}
	return int64(slices.Max(count[:]))
}

// countSectors adds a global access of n bytes a lane. Accesses are aligned to their width, so that each lies in one
// sector, and two of them are equal or disjoint.
func (s *Stats) countSectors(addr *lanes, offset uint64, n int, active uint32) {
	var sectors, accesses [32]uint64
	ns, na := 0, 0
	for m := active; m != 0; m &= m - 1 {
		a := addr[bits.TrailingZeros32(m)] + offset
		na = insertUnique(&accesses, na, a)
		ns = insertUnique(&sectors, ns, a/32)
	}
	s.GlobalSectors += int64(ns)
	s.GlobalMinSectors += int64((na*n + 31) / 32)
}

// insertUnique puts x into the first n elements of the sorted set and returns its new size.
func insertUnique(set *[32]uint64, n int, x uint64) int {
	i := n
	for i > 0 && set[i-1] > x {
		i--
	}
	if i > 0 && set[i-1] == x {
		return n
	}
	copy(set[i+1:], set[i:n])
	set[i] = x
	return n + 1
}
