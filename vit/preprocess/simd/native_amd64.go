//go:build amd64 && !purego

package simd

import "golang.org/x/sys/cpu"

// native returns the tiers in assembly that can run here. Package cpu has asked the operating system too, whether it
// saves the wide registers.
func native() []*Tier {
	if !cpu.X86.HasAVX2 {
		return nil
	}
	return []*Tier{&avx2}
}

// avx2 works on chunks of 32 samples or pixels. What a row has beyond whole chunks is done by a last chunk that ends
// with it and overlaps the one before; rows too short for a chunk are left to the portable routines.
var avx2 = Tier{
	Name:       "avx2",
	IDCT:       avx2IDCT,
	H2V1:       avx2H2V1,
	H1V2:       avx2H1V2,
	H2V2:       avx2H2V2,
	RGB:        avx2RGB,
	Interleave: avx2Interleave,
	Across:     avx2Across,
	Down:       avx2Down,
}

const chunk = 32

func avx2IDCT(dst []byte, stride int, block *[64]int16, quant *[64]uint16) {
	_ = dst[7*stride+7]
	idctAVX2(&dst[0], stride, block, quant)
}

func avx2H2V1(dst, row []byte) {
	n := len(row)
	inner := n - 2 // samples with a neighbour on each side
	if inner < chunk {
		h2v1(dst, row)
		return
	}
	dst = dst[:2*n]
	h2v1(dst[:4], row[:2])       // of the first and the last two samples,
	h2v1(dst[2*n-4:], row[n-2:]) // the inner halves are written again
	h2v1AVX2(&dst[2], &row[1], inner/chunk)
	if last := 1 + inner - chunk; inner%chunk != 0 {
		h2v1AVX2(&dst[2*last], &row[last], 1)
	}
}

func avx2H1V2(dst, near, far []byte, round uint16) {
	n := len(near)
	if n < chunk {
		h1v2(dst, near, far, round)
		return
	}
	dst, far = dst[:n], far[:n]
	h1v2AVX2(&dst[0], &near[0], &far[0], round, n/chunk)
	if last := n - chunk; n%chunk != 0 {
		h1v2AVX2(&dst[last], &near[last], &far[last], round, 1)
	}
}

func avx2H2V2(dst, near, far []byte) {
	n := len(near)
	inner := n - 2
	if inner < chunk {
		h2v2(dst, near, far)
		return
	}
	dst, far = dst[:2*n], far[:n]
	h2v2(dst[:4], near[:2], far[:2])
	h2v2(dst[2*n-4:], near[n-2:], far[n-2:])
	h2v2AVX2(&dst[2], &near[1], &far[1], inner/chunk)
	if last := 1 + inner - chunk; inner%chunk != 0 {
		h2v2AVX2(&dst[2*last], &near[last], &far[last], 1)
	}
}

func avx2RGB(dst, luma, blue, red []byte) {
	n := len(luma)
	if n < chunk {
		rgb(dst, luma, blue, red)
		return
	}
	dst, blue, red = dst[:3*n], blue[:n], red[:n]
	rgbAVX2(&dst[0], &luma[0], &blue[0], &red[0], n/chunk)
	if last := n - chunk; n%chunk != 0 {
		rgbAVX2(&dst[3*last], &luma[last], &blue[last], &red[last], 1)
	}
}

func avx2Interleave(dst, r, g, b []byte) {
	n := len(r)
	if n < chunk {
		interleave(dst, r, g, b)
		return
	}
	dst, g, b = dst[:3*n], g[:n], b[:n]
	interleaveAVX2(&dst[0], &r[0], &g[0], &b[0], n/chunk)
	if last := n - chunk; n%chunk != 0 {
		interleaveAVX2(&dst[3*last], &r[last], &g[last], &b[last], 1)
	}
}

func avx2Down(dst, ring []byte, offsets []int, weights []int32) {
	n := len(dst)
	if n < chunk {
		down(dst, ring, offsets, weights)
		return
	}
	offsets = offsets[:len(weights)]
	for _, offset := range offsets {
		_ = ring[offset:][:n]
	}
	downAVX2(&dst[0], &ring[0], &offsets[0], &weights[0], len(weights), n/chunk)
	if last := n - chunk; n%chunk != 0 {
		downAVX2(&dst[last], &ring[last], &offsets[0], &weights[0], len(weights), 1)
	}
}
