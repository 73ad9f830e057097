package ptxsim

import (
	"math/bits"

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
// all 32 for up to 4 bytes, 16 for 8, 8 for 16. Within a group, distinct words of one bank take a pass each.
func (s *Stats) countBanks(addr *lanes, offset uint64, n int, active uint32) {
	words := max(1, n/4)
	group := 32 / words
	for first := 0; first < 32; first += group {
		part := active >> first & (1<<group - 1)
		if part == 0 {
			continue
		}
		var seen uint32
		var word [32]uint32
		passes := 1
		for ; part != 0; part &= part - 1 {
			w := uint32(addr[first+bits.TrailingZeros32(part)]+offset) / 4
			for end := w + uint32(words); w < end; w++ {
				bank := w % 32
				if seen>>bank&1 != 0 && word[bank] != w {
					passes = sharedPasses(addr, offset, words, first, group, active)
					part = 1
					break
				}
				seen |= 1 << bank
				word[bank] = w
			}
		}
		s.SharedWavefronts += int64(passes)
		s.BankConflicts += int64(passes - 1)
	}
}

// sharedPasses is the largest number of distinct words in one bank.
func sharedPasses(addr *lanes, offset uint64, words, first, group int, active uint32) int {
	banks := map[uint32]map[uint32]bool{}
	most := 0
	for l := first; l < first+group; l++ {
		for w := range uint32(words) {
			if active>>l&1 == 0 {
				continue
			}
			x := uint32(addr[l]+offset)/4 + w
			if banks[x%32] == nil {
				banks[x%32] = map[uint32]bool{}
			}
			banks[x%32][x] = true
			most = max(most, len(banks[x%32]))
		}
	}
	return most
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
