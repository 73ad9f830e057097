package drivertest

import (
	"fmt"

	"vith/kernels/ptx"
)

// A program is a kernel that the test launches. Its text is for sm_75, which runs on every newer GPU.
type program struct {
	name string
	body func(*ptx.Func)
}

// block is the threads of a block of these kernels.
const block = 128

func (p program) text() string {
	m, err := ptx.Assemble(ptx.SM75, ptx.Entry{Name: p.name, Body: p.body})
	if err != nil {
		panic(fmt.Sprintf("drivertest: %s: %v", p.name, err))
	}
	return m.Text()
}

// bounds states the size of the block.
func bounds(f *ptx.Func) {
	f.MaxNTID(block, 1, 1)
	f.MinNCTAPerSM(1)
}

// accumulate adds y to x: parameters x, y, n; n floats, one thread each.
var accumulate = program{"accumulate", func(f *ptx.Func) {
	bounds(f)
	x, y, n := f.ParamPtr("x"), f.ParamPtr("y"), f.ParamU32("n")
	i := f.MadLoU32(f.Special(ptx.CTAIdX), ptx.Int(block), f.Special(ptx.TidX))
	f.If(f.SetpU32(ptx.LT, i, n), func() {
		at := f.MadWideU32(i, ptx.Int(4), x).At(0)
		f.StGlobalF32(at, f.AddRnF32(f.LdGlobalF32(at), f.LdGlobalF32(f.MadWideU32(i, ptx.Int(4), y).At(0))))
	})
}}

// count adds 1 to each of the block's floats n times, one after the other: parameters x, n. It takes long.
var count = program{"count", func(f *ptx.Func) {
	bounds(f)
	x, n := f.ParamPtr("x"), f.ParamU32("n")
	at := f.MadWideU32(f.Special(ptx.TidX), ptx.Int(4), x).At(0)
	sum := f.LdGlobalF32(at)
	f.For(ptx.Int(0), n, ptx.Int(1), func(ptx.B32) {
		ptx.Into(f, sum).AddRnF32(sum, ptx.Float(1))
	})
	f.StGlobalF32(at, sum)
}}

// dynamicShared is what reverse needs in bytes: more than a launch may have unasked, no more than sm_75 has.
const dynamicShared = 60 << 10

// reverse reverses the block's floats, by way of places all over dynamic shared memory: parameter x.
var reverse = program{"reverse", func(f *ptx.Func) {
	bounds(f)
	x, memory := f.ParamPtr("x"), f.DynamicShared("memory", 16, dynamicShared)
	t := f.Special(ptx.TidX)
	place := func(t ptx.B32) ptx.SharedAddr { return f.MadLoU32(t, ptx.Int(dynamicShared/block), memory).At(0) }
	at := f.MadWideU32(t, ptx.Int(4), x).At(0)
	f.StSharedF32(place(t), f.LdGlobalF32(at))
	f.BarSync(0)
	f.StGlobalF32(at, f.LdSharedF32(place(f.SubU32(ptx.Int(block-1), t))))
}}

// staticShared is the static shared memory of shift in bytes.
const staticShared = 4 * block

// shift moves the block's floats by one place, through static shared memory: parameter x.
var shift = program{"shift", func(f *ptx.Func) {
	bounds(f)
	x, memory := f.ParamPtr("x"), f.Shared("memory", 16, staticShared)
	t := f.Special(ptx.TidX)
	place := func(t ptx.B32) ptx.SharedAddr { return f.MadLoU32(t, ptx.Int(4), memory).At(0) }
	at := f.MadWideU32(t, ptx.Int(4), x).At(0)
	f.StSharedF32(place(f.AndB32(f.AddU32(t, ptx.Int(1)), ptx.Int(block-1))), f.LdGlobalF32(at))
	f.BarSync(0)
	f.StGlobalF32(at, f.LdSharedF32(place(t)))
}}
