package kernels

import (
	"math"

	"vith/kernels/ptx"
)

// attentionTiled is attention in float32 arithmetic, for every type, size and alignment that the others do not take.
//
// A block of 128 threads serves 64 queries of one head of one image, in steps of 32 keys with the online softmax of
// attentionMMA. Thread 8·i+j has queries i, i+16, i+32, i+48: of S the keys j, j+8, j+16, j+24, and of O the chunks j,
// j+8, … of four columns. The eight threads of a query are in one warp.
//
// Shared memory, all of it float32:
//
//	q       [64, pitch()]
//	step    [32, pitch()]  keys, then values
//	p       [64, 40]       P
//
// pitch() is an odd number of chunks of 16 bytes: four or eight rows next to each other, read at one column by the threads
// of a warp, lie in different banks, and so do rows of P four at a time. Columns beyond head_dim are zero. Keys and queries
// beyond the last are copies of it, with p = 0, and not stored.
type attentionTiled struct {
	attentionSizes
	chunk int // elements that are loaded and stored at once, up to 4
}

const (
	tiledThreads = 128
	tiledQueries = 64
	tiledKeys    = 32
	tiledRows    = 4 // queries of a thread, 16 apart
	tiledLanes   = 8 // threads of a query
	tiledP       = tiledKeys + 8
)

func newAttentionTiled(sizes attentionSizes) attentionTiled {
	a := attentionTiled{attentionSizes: sizes, chunk: min(sizes.vector, 4)}
	for a.dim%a.chunk != 0 {
		a.chunk /= 2
	}
	return a
}

func (a attentionTiled) blocks() int  { return ceilDiv(a.queries, tiledQueries) } // of a head
func (a attentionTiled) chunks() int  { return ceilDiv(a.dim, 4) }                // of a row, of 4 columns
func (a attentionTiled) pitch() int   { return 16 * (a.chunks() | 1) }            // bytes
func (a attentionTiled) stepAt() int  { return tiledQueries * a.pitch() }
func (a attentionTiled) pAt() int     { return a.stepAt() + tiledKeys*a.pitch() }
func (a attentionTiled) shared() int  { return a.pAt() + tiledQueries*tiledP*4 }
func (a attentionTiled) columns() int { return ceilDiv(a.chunks(), tiledLanes) } // chunks of O of a thread

func (a attentionTiled) accepts() error { return a.fits(a.shared()) }

func (a attentionTiled) launch(batch int) Geometry {
	return a.geometry(batch, a.blocks(), tiledThreads, a.shared())
}

func (a attentionTiled) write(f *ptx.Func, p Params) {
	f.MaxNTID(tiledThreads, 1, 1)
	f.MinNCTAPerSM(2)
	memory := f.DynamicShared("memory", 16, a.shared())
	scale := ex2Scale(f, p.Scalars[0])
	image, head, block := a.locate(f, a.blocks())
	q, k, v, y := a.head(f, p.In[0], head), a.head(f, p.In[1], head), a.head(f, p.In[2], head), a.head(f, p.Out[0], head)
	query := f.MulLoU32(block, ptx.Int(tiledQueries))
	firstQuery, firstKey := f.MulLoU32(image, ptx.Int(a.queries)), f.MulLoU32(image, ptx.Int(a.keys))
	tid := f.Special(ptx.TidX)
	i, j := divide(f, tid, tiledLanes)

	// at is the address of element i of size bytes of an array in shared memory.
	at := func(i ptx.B32, array, size int) ptx.B32 {
		return f.AddU32(f.MadLoU32(i, ptx.Int(size), memory), ptx.Int(array))
	}
	qRow, kRow, pRow := at(i, 0, a.pitch()), at(j, a.stepAt(), a.pitch()), at(i, a.pAt(), 4*tiledP)
	pPlace := f.MadLoU32(j, ptx.Int(4), pRow)
	var vColumns []ptx.B32 // the thread's chunks of V's rows; a copy of the last one where it has none
	for n := range a.columns() {
		c := f.MinU32(f.AddU32(j, ptx.Int(n*tiledLanes)), ptx.Int(a.chunks()-1))
		vColumns = append(vColumns, at(c, a.stepAt(), 16))
	}

	f.Comment("Q")
	a.copyRows(f, tid, memory, tiledQueries, func(r ptx.B32) ptx.B64 {
		return q.Row(f, f.AddU32(firstQuery, f.MinU32(f.AddU32(query, r), ptx.Int(a.queries-1))))
	})
	var m, l [tiledRows]ptx.F32
	var o [tiledRows][]ptx.F32
	for r := range tiledRows {
		m[r], l[r] = f.MovF32(ptx.Float(float32(math.Inf(-1)))), f.MovF32(ptx.Float(0))
		for range 4 * a.columns() {
			o[r] = append(o[r], f.MovF32(ptx.Float(0)))
		}
	}
	f.For(ptx.Int(0), ptx.Int(roundUp(a.keys, tiledKeys)), ptx.Int(tiledKeys), func(key ptx.B32) {
		copyStep := func(p Pointer) {
			f.BarSync(0)
			a.copyRows(f, tid, f.AddU32(memory, ptx.Int(a.stepAt())), tiledKeys, func(r ptx.B32) ptx.B64 {
				return p.Row(f, f.AddU32(firstKey, f.MinU32(f.AddU32(key, r), ptx.Int(a.keys-1))))
			})
			f.BarSync(0)
		}
		f.Comment("S = Q K^T")
		copyStep(k)
		s := a.scores(f, qRow, kRow)
		f.Comment("softmax")
		for r := range tiledRows {
			top := s[r][0]
			for _, x := range s[r][1:] {
				top = f.MaxF32(top, x)
			}
			top = f.MaxF32(m[r], f.MulRnF32(reduceLanes(f, top, 1, tiledLanes, f.MaxF32), scale))
			alpha := f.Ex2ApproxFtzF32(f.SubRnF32(m[r], top))
			ptx.Into(f, m[r]).MovF32(top)
			ptx.Into(f, l[r]).MulRnF32(l[r], alpha)
			for _, x := range o[r] {
				ptx.Into(f, x).MulRnF32(x, alpha)
			}
			minus := f.NegF32(top)
			for n, x := range s[r] {
				counts := f.SetpU32(ptx.LT, f.AddU32(key, f.AddU32(j, ptx.Int(n*tiledLanes))), ptx.Int(a.keys))
				p := f.SelpF32(f.Ex2ApproxFtzF32(f.FmaRnF32(x, scale, minus)), ptx.Float(0), counts)
				ptx.Into(f, l[r]).AddRnF32(l[r], p)
				f.StSharedF32(pPlace.At(r*16*4*tiledP+4*n*tiledLanes), p)
			}
		}
		f.Comment("O += P V")
		copyStep(v)
		a.accumulate(f, o, pRow, vColumns)
	})

	f.Comment("y = O/l")
	for r := range tiledRows {
		row := f.AddU32(query, f.AddU32(i, ptx.Int(16*r)))
		sum := reduceLanes(f, l[r], 1, tiledLanes, f.AddRnF32)
		exists := f.SetpU32(ptx.LT, row, ptx.Int(a.queries))
		to := y.Row(f, f.AddU32(firstQuery, row))
		for n := 0; n < len(o[r]); n += a.chunk {
			column := f.AddU32(f.MulLoU32(j, ptx.Int(4)), ptx.Int(n/4*4*tiledLanes+n%4))
			f.If(f.AndPred(exists, f.SetpU32(ptx.LT, column, ptx.Int(a.dim))), func() {
				var x []ptx.F32
				for _, o := range o[r][n:][:a.chunk] {
					x = append(x, f.DivFullF32(o, sum))
				}
				store(f, a.dtype, f.MadWideU32(column, ptx.Int(a.dtype.Size()), to), 0, x)
			})
		}
	}
}

// copyRows copies rows of a matrix to shared memory as float32, with zeros behind head_dim. from is where row r starts.
func (a attentionTiled) copyRows(f *ptx.Func, tid, to ptx.B32, rows int, from func(r ptx.B32) ptx.B64) {
	n := 4 * a.chunks() / a.chunk // of a row
	f.For(tid, ptx.Int(rows*n), ptx.Int(tiledThreads), func(i ptx.B32) {
		r, c := divide(f, i, n)
		c = f.MulLoU32(c, ptx.Int(a.chunk))
		source := f.MadWideU32(f.MinU32(c, ptx.Int(a.dim-a.chunk)), ptx.Int(a.dtype.Size()), from(r))
		exists := f.SetpU32(ptx.LT, c, ptx.Int(a.dim))
		at := f.MadLoU32(r, ptx.Int(a.pitch()), f.MadLoU32(c, ptx.Int(4), to))
		x := load(f, a.dtype, source, 0, a.chunk)
		for k := range x {
			x[k] = f.SelpF32(x[k], ptx.Float(0), exists)
		}
		if a.chunk == 4 {
			f.StSharedV4F32(at.At(0), [4]ptx.F32(x))
			return
		}
		for k, x := range x {
			f.StSharedF32(at.At(4*k), x)
		}
	})
}

// scores is the thread's part of S, [query, key].
func (a attentionTiled) scores(f *ptx.Func, q, k ptx.B32) (s [tiledRows][]ptx.F32) {
	for r := range s {
		for range tiledKeys / tiledLanes {
			s[r] = append(s[r], f.MovF32(ptx.Float(0)))
		}
	}
	f.For(ptx.Int(0), ptx.Int(16*a.chunks()), ptx.Int(16), func(c ptx.B32) {
		q, k := f.AddU32(q, c), f.AddU32(k, c)
		var keys [][4]ptx.F32
		for n := range s[0] {
			keys = append(keys, f.LdSharedV4F32(k.At(n*tiledLanes*a.pitch())))
		}
		for r := range s {
			x := f.LdSharedV4F32(q.At(16 * r * a.pitch()))
			for n, sum := range s[r] {
				for i := range 4 {
					ptx.Into(f, sum).FmaRnF32(x[i], keys[n][i], sum)
				}
			}
		}
	})
	return s
}

// accumulate adds P·V to o. v are where the chunks of o start in the first row of V.
func (a attentionTiled) accumulate(f *ptx.Func, o [tiledRows][]ptx.F32, p ptx.B32, v []ptx.B32) {
	f.For(ptx.Int(0), ptx.Int(tiledKeys/4), ptx.Int(1), func(group ptx.B32) {
		p := f.MadLoU32(group, ptx.Int(16), p)
		var weights [tiledRows][4]ptx.F32
		for r := range weights {
			weights[r] = f.LdSharedV4F32(p.At(r * 16 * 4 * tiledP))
		}
		for n, v := range v {
			v := f.MadLoU32(group, ptx.Int(4*a.pitch()), v)
			for key := range 4 {
				x := f.LdSharedV4F32(v.At(key * a.pitch()))
				for r := range o {
					for i := range 4 {
						sum := o[r][4*n+i]
						ptx.Into(f, sum).FmaRnF32(weights[r][key], x[i], sum)
					}
				}
			}
		}
	})
}
