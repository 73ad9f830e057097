package emu

import "vith/cuda"

// algorithmTag marks the algorithms of this package.
const algorithmTag = 0x76697468

// An algorithm is one order of summation.
type algorithm struct {
	name      string
	cost      float64 // of a product, relative to the others
	workspace func(m cuda.Matmul) int64
	parts     func(m cuda.Matmul) []part
}

// A part is rows that are summed alike: [0, cuts[0]), [cuts[0], cuts[1]), … of k each by itself, then these sums.
type part struct {
	row0, row1 int
	cuts       []int // ascending, the last is k
}

// algorithms are what Heuristics offers, its favourite first. That is the fastest, and unusable where a row must be the
// same bits wherever it stands.
var algorithms = [...]algorithm{
	{"streamk", 1, none, func(m cuda.Matmul) []part {
		half := (m.M + 1) / 2
		return []part{{0, half, cuts(m.K, m.K)}, {half, m.M, cuts(m.K, (m.K+1)/2)}}
	}},
	{"sequential", 3, none, func(m cuda.Matmul) []part { return []part{{0, m.M, cuts(m.K, m.K)}} }},
	{"splitk", 2, func(m cuda.Matmul) int64 { return 8 * int64(m.M) * int64(m.N) }, func(m cuda.Matmul) []part {
		return []part{{0, m.M, cuts(m.K, (m.K+1)/2)}}
	}},
	{"blocks", 2.5, none, func(m cuda.Matmul) []part { return []part{{0, m.M, cuts(m.K, 16)}} }},
}

func none(cuda.Matmul) int64 { return 0 }

// cuts divides k into pieces of n.
func cuts(k, n int) (list []int) {
	for at := n; at < k; at += n {
		list = append(list, at)
	}
	return append(list, k)
}
