package kernels

import (
	"math"

	"vith/kernels/ptx"
)

// attentionSingle is attention for one query an image, which reads each key and value once and is bound by that.
//
// A block of four warps serves one head of one image. Some lanes, a group, share a key: each has every lanes-th chunk of
// its row, of 16 bytes where they are aligned, so that the loads of a group are contiguous. A group takes every
// groups()-th key and keeps m, l and its part of O for these alone; nothing is exchanged but the sum of a score. In the
// end the groups are merged, in a warp by shuffles, then through shared memory:
//
//	m = max m_i,  l = Σ l_i·2^(m_i−m),  O = Σ O_i·2^(m_i−m)
//
// Keys beyond the last are copies of it with p = 0.
type attentionSingle struct {
	attentionSizes
	chunk int // elements
	lanes int // that share a key
}

const (
	singleWarps = 4
	// What a lane has of a row at most, as its registers hold that of q, k, v and O.
	singleValues, singleChunks = 40, 8
)

func newAttentionSingle(sizes attentionSizes) attentionSingle {
	a := attentionSingle{attentionSizes: sizes, lanes: 2}
	a.chunk = min(sizes.vector, 16/sizes.dtype.Size())
	for a.dim%a.chunk != 0 {
		a.chunk /= 2
	}
	for a.chunks() > singleChunks || a.chunks()*a.chunk > singleValues {
		a.lanes *= 2
	}
	return a
}

// chunks is how many of a row a lane has; the last one may be a copy of another's.
func (a attentionSingle) chunks() int { return ceilDiv(a.dim/a.chunk, a.lanes) }

// groups of the block.
func (a attentionSingle) groups() int { return singleWarps * warpSize / a.lanes }

func (a attentionSingle) accepts() error { return a.fits(singleWarps * (a.partBytes() + 8)) }

func (a attentionSingle) launch(batch int) Geometry {
	return a.geometry(batch, 1, singleWarps*warpSize, 0)
}

func (a attentionSingle) write(f *ptx.Func, p Params) {
	f.MaxNTID(singleWarps*warpSize, 1, 1)
	f.MinNCTAPerSM(3)
	scale := ex2Scale(f, p.Scalars[0])
	image, head, _ := a.locate(f, 1)
	q, k, v, y := a.head(f, p.In[0], head), a.head(f, p.In[1], head), a.head(f, p.In[2], head), a.head(f, p.Out[0], head)
	tid := f.Special(ptx.TidX)
	group, lane := divide(f, tid, a.lanes)

	var columns []ptx.B32 // first elements of the lane's chunks
	var mine []ptx.Pred   // or a copy of another's?
	for i := range a.chunks() {
		c := f.AddU32(lane, ptx.Int(i*a.lanes))
		columns = append(columns, f.MulLoU32(f.MinU32(c, ptx.Int(a.dim/a.chunk-1)), ptx.Int(a.chunk)))
		mine = append(mine, f.SetpU32(ptx.LT, c, ptx.Int(a.dim/a.chunk)))
	}
	row := func(p Pointer, r ptx.B32) (x []ptx.F32) {
		start := p.Row(f, r)
		for _, c := range columns {
			x = append(x, load(f, a.dtype, f.MadWideU32(c, ptx.Int(a.dtype.Size()), start), 0, a.chunk)...)
		}
		return x
	}

	query := row(q, image)
	m, l := f.MovF32(ptx.Float(float32(math.Inf(-1)))), f.MovF32(ptx.Float(0))
	var o []ptx.F32
	for i, x := range query {
		query[i] = f.SelpF32(f.MulRnF32(x, scale), ptx.Float(0), mine[i/a.chunk])
		o = append(o, f.MovF32(ptx.Float(0)))
	}
	firstKey := f.MulLoU32(image, ptx.Int(a.keys))
	f.For(ptx.Int(0), ptx.Int(roundUp(a.keys, a.groups())), ptx.Int(a.groups()), func(i ptx.B32) {
		j := f.AddU32(i, group)
		r := f.AddU32(firstKey, f.MinU32(j, ptx.Int(a.keys-1)))
		key, value := row(k, r), row(v, r)
		s := reduceLanes(f, a.dot(f, query, key), 1, a.lanes, f.AddRnF32)
		top := f.MaxF32(m, s)
		alpha := f.Ex2ApproxFtzF32(f.SubRnF32(m, top))
		ptx.Into(f, m).MovF32(top)
		p := f.SelpF32(f.Ex2ApproxFtzF32(f.SubRnF32(s, top)), ptx.Float(0), f.SetpU32(ptx.LT, j, ptx.Int(a.keys)))
		ptx.Into(f, l).FmaRnF32(l, alpha, p)
		for i, x := range value {
			ptx.Into(f, o[i]).FmaRnF32(p, x, f.MulRnF32(o[i], alpha))
		}
	})

	f.Comment("merge the groups of a warp")
	top := reduceLanes(f, m, a.lanes, warpSize, f.MaxF32)
	weight := f.Ex2ApproxFtzF32(f.SubRnF32(m, top))
	sum := func(x ptx.F32) ptx.F32 {
		return reduceLanes(f, f.MulRnF32(x, weight), a.lanes, warpSize, f.AddRnF32)
	}
	l = sum(l)
	for i, x := range o {
		o[i] = sum(x)
	}

	f.Comment("merge the warps")
	tops, sums := f.Shared("tops", 4, 4*singleWarps), f.Shared("sums", 4, 4*singleWarps)
	parts := f.Shared("parts", 16, singleWarps*a.partBytes()) // O, [warp, head_dim]
	warp, inWarp := divide(f, tid, warpSize)
	f.If(f.SetpU32(ptx.LT, inWarp, ptx.Int(a.lanes)), func() {
		of := func(array ptx.B32, size int) ptx.B32 { return f.MadLoU32(warp, ptx.Int(size), array) }
		first := f.SetpU32(ptx.EQ, inWarp, ptx.Int(0))
		f.When(first).StSharedF32(of(tops, 4).At(0), top)
		f.When(first).StSharedF32(of(sums, 4).At(0), l)
		part := of(parts, a.partBytes())
		for i, x := range o {
			at := f.MadLoU32(columns[i/a.chunk], ptx.Int(4), part)
			f.When(mine[i/a.chunk]).StSharedF32(at.At(4*(i%a.chunk)), x)
		}
	})
	f.BarSync(0)
	width := min(2, a.chunk)
	f.For(f.MulLoU32(tid, ptx.Int(width)), ptx.Int(a.dim), ptx.Int(singleWarps*warpSize*width), func(c ptx.B32) {
		top := f.LdSharedF32(tops.At(0))
		for i := 1; i < singleWarps; i++ {
			top = f.MaxF32(top, f.LdSharedF32(tops.At(4*i)))
		}
		l := f.MovF32(ptx.Float(0))
		out := make([]ptx.F32, width)
		for i := range out {
			out[i] = f.MovF32(ptx.Float(0))
		}
		for i := range singleWarps {
			weight := f.Ex2ApproxFtzF32(f.SubRnF32(f.LdSharedF32(tops.At(4*i)), top))
			l = f.FmaRnF32(f.LdSharedF32(sums.At(4*i)), weight, l)
			at := f.MadLoU32(c, ptx.Int(4), parts)
			for j, x := range out {
				out[j] = f.FmaRnF32(f.LdSharedF32(at.At(i*a.partBytes()+4*j)), weight, x)
			}
		}
		for i, x := range out {
			out[i] = f.DivFullF32(x, l)
		}
		store(f, a.dtype, f.MadWideU32(c, ptx.Int(a.dtype.Size()), y.Row(f, image)), 0, out)
	})
}

// partBytes is a warp's part of O.
func (a attentionSingle) partBytes() int { return 4 * a.dim }

// dot is the lane's part of q·k, chunk by chunk.
func (a attentionSingle) dot(f *ptx.Func, q, k []ptx.F32) ptx.F32 {
	var sum ptx.F32
	for i := 0; i < len(q); i += a.chunk {
		s := f.MulRnF32(q[i], k[i])
		for j := i + 1; j < i+a.chunk; j++ {
			s = f.FmaRnF32(q[j], k[j], s)
		}
		if i > 0 {
			s = f.AddRnF32(sum, s)
		}
		sum = s
	}
	return sum
}
