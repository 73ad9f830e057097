package kernels

import (
	"fmt"

	"vith/kernels/ptx"
	"vith/kernels/tensor"
)

// Macros of the kernels' PTX. A macro is a function that emits instructions.

// fullWarp is the mask of all lanes, and warpSize their number.
const (
	fullWarp = -1
	warpSize = 32
)

// load reads n consecutive values of type t, offset bytes after base, as float32. Accesses are as wide as n allows, up
// to 16 bytes, and the address must be aligned to their width; n times the size of t must be 2, 4, 8 or a multiple of 16
// bytes.
func load(f *ptx.Func, t tensor.DType, base ptx.B64, offset, n int, cache ...ptx.Cache) []ptx.F32 {
	if t == tensor.F32 {
		return loadF32(f, base, offset, n, cache)
	}
	var words []ptx.B32
	switch bytes := n * t.Size(); {
	case bytes == 2:
		return []ptx.F32{widen(f, t, f.LdGlobalB16(base.At(offset), cache...))}
	case bytes == 4:
		words = []ptx.B32{f.LdGlobalB32(base.At(offset), cache...)}
	case bytes == 8:
		w := f.LdGlobalV2B32(base.At(offset), cache...)
		words = w[:]
	case bytes%16 == 0:
		for i := 0; i < bytes; i += 16 {
			w := f.LdGlobalV4B32(base.At(offset+i), cache...)
			words = append(words, w[:]...)
		}
	default:
		panic(fmt.Sprintf("kernels: load of %d %v", n, t))
	}
	var x []ptx.F32
	for _, w := range words {
		lo, hi := unpack(f, t, w)
		x = append(x, lo, hi)
	}
	return x
}

func loadF32(f *ptx.Func, base ptx.B64, offset, n int, cache []ptx.Cache) []ptx.F32 {
	switch {
	case n == 1:
		return []ptx.F32{f.LdGlobalF32(base.At(offset), cache...)}
	case n == 2:
		x := f.LdGlobalV2F32(base.At(offset), cache...)
		return x[:]
	case n%4 == 0:
		var x []ptx.F32
		for i := 0; i < n; i += 4 {
			v := f.LdGlobalV4F32(base.At(offset+4*i), cache...)
			x = append(x, v[:]...)
		}
		return x
	}
	panic(fmt.Sprintf("kernels: load of %d f32", n))
}

// store writes values as type t, rounded to nearest even, offset bytes after base. Sizes and alignment are load's.
func store(f *ptx.Func, t tensor.DType, base ptx.B64, offset int, x []ptx.F32) {
	if t == tensor.F32 {
		storeF32(f, base, offset, x)
		return
	}
	if len(x) == 1 {
		f.StGlobalB16(base.At(offset), half(f, t, x[0]))
		return
	}
	var words []ptx.B32
	for i := 0; i+1 < len(x); i += 2 {
		words = append(words, pack(f, t, x[i], x[i+1]))
	}
	switch bytes := len(x) * t.Size(); {
	case bytes == 4:
		f.StGlobalB32(base.At(offset), words[0])
	case bytes == 8:
		f.StGlobalV2B32(base.At(offset), [2]ptx.B32(words))
	case bytes%16 == 0:
		for i := 0; i < len(words); i += 4 {
			f.StGlobalV4B32(base.At(offset+4*i), [4]ptx.B32(words[i:]))
		}
	default:
		panic(fmt.Sprintf("kernels: store of %d %v", len(x), t))
	}
}

func storeF32(f *ptx.Func, base ptx.B64, offset int, x []ptx.F32) {
	switch {
	case len(x) == 1:
		f.StGlobalF32(base.At(offset), x[0])
	case len(x) == 2:
		f.StGlobalV2F32(base.At(offset), [2]ptx.F32(x))
	case len(x)%4 == 0:
		for i := 0; i < len(x); i += 4 {
			f.StGlobalV4F32(base.At(offset+4*i), [4]ptx.F32(x[i:]))
		}
	default:
		panic(fmt.Sprintf("kernels: store of %d f32", len(x)))
	}
}

// widen returns a 16-bit value as a float32.
func widen(f *ptx.Func, t tensor.DType, h ptx.B16) ptx.F32 {
	if t == tensor.F16 {
		return f.CvtF32F16(h)
	}
	return f.BitsF32(f.ShlB32(f.CvtU32U16(h), ptx.Int(16)))
}

// unpack widens a pair of 16-bit values.
func unpack(f *ptx.Func, t tensor.DType, w ptx.B32) (lo, hi ptx.F32) {
	if t == tensor.F16 {
		l, h := f.UnpackB32(w)
		return f.CvtF32F16(l), f.CvtF32F16(h)
	}
	return f.BitsF32(f.ShlB32(w, ptx.Int(16))), f.BitsF32(f.AndB32(w, ptx.Int(-1<<16)))
}

// pack rounds two values to a pair of 16-bit ones.
func pack(f *ptx.Func, t tensor.DType, lo, hi ptx.F32) ptx.B32 {
	switch {
	case t == tensor.BF16:
		return ptx.B32(f.CvtRnBF16x2F32(hi, lo))
	case f.Target() >= ptx.SM80:
		return ptx.B32(f.CvtRnF16x2F32(hi, lo))
	}
	return f.PackB32(f.CvtRnF16F32(lo), f.CvtRnF16F32(hi))
}

// half rounds a value to a 16-bit one.
func half(f *ptx.Func, t tensor.DType, x ptx.F32) ptx.B16 {
	if t == tensor.BF16 {
		return f.CvtRnBF16F32(x)
	}
	return f.CvtRnF16F32(x)
}

// reduceWarp combines a value of every lane by a butterfly: all lanes get the same bits.
func reduceWarp(f *ptx.Func, x ptx.F32, combine func(a, b ptx.F32) ptx.F32) ptx.F32 {
	for lanes := warpSize / 2; lanes > 0; lanes /= 2 {
		x = combine(x, f.ShflSyncBflyF32(x, ptx.Int(lanes), ptx.Int(31), ptx.Int(fullWarp)))
	}
	return x
}

// supports refuses precisions that a target's instructions lack.
func supports(s Spec) error {
	if s.Target < ptx.SM80 && (s.Precision.Activation == tensor.BF16 || s.Precision.Stream == tensor.BF16) {
		return fmt.Errorf("bf16 needs sm_80")
	}
	return nil
}
