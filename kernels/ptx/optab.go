package ptx

// rows is the language: every instruction that the assembler emits, the parser reads, the verifier accepts and an
// interpreter must execute.
//
// A name is the mnemonic with its modifiers in the manual's order. Braces hold alternatives, in names and in operands;
// every combination is one Op.
//
// Operands are in the order of the text. t and u are the first and the second type of the name, w is twice as wide as t,
// other types stand for themselves. "=" marks what is written, "%" what must be a register (other sources may be
// constants), "#" a constant in the range that follows, "*2" a vector of two, "*v" one as long as the name's .v2, .v4 or
// .x4 says. "[x]" is an address in space x.
//
// version and target are the first that have the instruction, from the manual's notes. Left out, they are PTX 7.0 and
// sm_75, the lowest in use here. Tests hold both to ptxas.
var rows = []struct {
	names, args string
	class       Class
	version     Version
	target      Target
}{
	// Moves. A pack or an unpack has the first element in the low bits.
	{"mov.{b32,b64,f32}", "=t, t", ClassMove, 0, 0},
	{"mov.{pred,b16}", "=t, %t", ClassMove, 0, 0},
	{"mov.b32", "=%b16*2, %t", ClassMove, 0, 0},
	{"mov.b32", "=t, %b16*2", ClassMove, 0, 0},
	{"mov.b64", "=%b32*2, %t", ClassMove, 0, 0},
	{"mov.b64", "=t, %b32*2", ClassMove, 0, 0},
	{"mov.u32", "=t, special", ClassMove, 0, 0},
	{"mov.u32", "=t, symbol", ClassMove, 0, 0},
	{"selp.{b32,b64,f32}", "=t, t, t, %pred", ClassMove, 0, 0},
	{"prmt.b32", "=t, t, t, t", ClassMove, 0, 0},
	{"cvta.to.global.u64", "=t, %t", ClassMove, 0, 0},

	// Integers.
	{"{add,sub}.{u32,u64}", "=t, t, t", ClassInt, 0, 0},
	{"mul.lo.{u32,u64}", "=t, t, t", ClassInt, 0, 0},
	{"mul.hi.{u32,s32}", "=t, t, t", ClassInt, 0, 0},
	{"mul.wide.{u32,s32}", "=w, t, t", ClassInt, 0, 0},
	{"mad.lo.u32", "=t, t, t, t", ClassInt, 0, 0},
	{"mad.wide.{u32,s32}", "=w, t, t, w", ClassInt, 0, 0},
	{"{div,rem,min,max}.{u32,s32}", "=t, t, t", ClassInt, 0, 0},
	{"{neg,abs}.s32", "=t, t", ClassInt, 0, 0},
	{"dp4a.{u32.u32,s32.s32}", "=t, t, t, t", ClassInt, 0, 0},

	// Bits.
	{"{and,or,xor}.{b32,b64}", "=t, t, t", ClassInt, 0, 0},
	{"{and,or,xor}.pred", "=t, %t, %t", ClassInt, 0, 0},
	{"not.{b32,b64}", "=t, t", ClassInt, 0, 0},
	{"not.pred", "=t, %t", ClassInt, 0, 0},
	{"shl.{b32,b64}", "=t, t, u32", ClassInt, 0, 0},
	{"shr.{u32,s32,u64}", "=t, t, u32", ClassInt, 0, 0},
	{"bfe.{u32,s32}", "=t, t, u32, u32", ClassInt, 0, 0},
	{"bfi.b32", "=t, t, t, u32, u32", ClassInt, 0, 0},
	{"lop3.b32", "=t, t, t, t, #0..255", ClassInt, 0, 0},

	// Comparisons.
	{"setp.{eq,ne,lt,le,gt,ge}.{u32,s32,u64}", "=pred, t, t", ClassCompare, 0, 0},
	{"setp.{eq,ne,lt,le,gt,ge,equ,neu,ltu,leu,gtu,geu,num,nan}.f32", "=pred, t, t", ClassCompare, 0, 0},

	// Floats. With .rn spelled out, the compiler does not contract a product and a sum.
	{"{add,sub,mul}.rn.f32", "=t, t, t", ClassFloat, 0, 0},
	{"fma.rn.f32", "=t, t, t, t", ClassFloat, 0, 0},
	{"{min,max}.f32", "=t, t, t", ClassFloat, 0, 0},
	{"{min,max}.NaN.f32", "=t, t, t", ClassFloat, 0, SM80},
	{"{neg,abs}.f32", "=t, t", ClassFloat, 0, 0},
	{"copysign.f32", "=t, t, t", ClassFloat, 0, 0},
	{"div.{rn,full}.f32", "=t, t, t", ClassSFU, 0, 0},
	{"{rcp,sqrt}.rn.f32", "=t, t", ClassSFU, 0, 0},
	{"{rcp,sqrt,rsqrt,ex2,lg2}.approx{,.ftz}.f32", "=t, t", ClassSFU, 0, 0},
	{"tanh.approx.f32", "=t, t", ClassSFU, 0, 0},

	// Pairs of halves.
	{"{add,sub,mul}.rn.f16x2", "=t, %t, %t", ClassHalf, 0, 0},
	{"fma.rn.f16x2", "=t, %t, %t, %t", ClassHalf, 0, 0},
	{"fma.rn.bf16x2", "=t, %t, %t, %t", ClassHalf, 0, SM80},
	{"{min,max}.{f16x2,bf16x2}", "=t, %t, %t", ClassHalf, 0, SM80},
	{"ex2.approx.f16x2", "=t, %t", ClassSFU, 0, 0},

	// Conversions. In a pair, the first source goes to the high half.
	{"cvt.{u64.u32,s64.s32,u32.u64,u32.u16,u16.u32}", "=t, %u", ClassConvert, 0, 0},
	{"cvt.rn.f32.{u32,s32}", "=t, %u", ClassConvert, 0, 0},
	{"cvt.{rni,rzi,rmi,rpi}.{u32,s32}.f32", "=t, %u", ClassConvert, 0, 0},
	{"cvt.rni.sat.{u8,s8}.f32", "=t, %u", ClassConvert, 0, 0},
	{"cvt.{rni,rzi,rmi,rpi}.f32.f32", "=t, %u", ClassConvert, 0, 0},
	{"cvt.sat.f32.f32", "=t, %u", ClassConvert, 0, 0},
	{"cvt.f32.f16", "=t, %u", ClassConvert, 0, 0},
	{"cvt.rn.f16.f32", "=t, %u", ClassConvert, 0, 0},
	{"cvt.rn.bf16.f32", "=t, %u", ClassConvert, 0, SM80},
	{"cvt.rn.{f16x2,bf16x2}.f32", "=t, %u, %u", ClassConvert, 0, SM80},
	{"cvt.rn.satfinite.e4m3x2.f32", "=t, %u, %u", ClassConvert, 81, SM89},
	{"cvt.rna.tf32.f32", "=t, %u", ClassConvert, 0, SM80},
	{"cvt.pack.sat.{u8,s8}.s32.b32", "=b32, %s32, %s32, b32", ClassConvert, 0, 0},

	// Memory. .nc reads memory that nobody writes during the launch.
	{"ld.param.{u32,u64,f32}", "=t, [param]", ClassLoad, 0, 0},
	{"ld.global{,.ca,.cg,.cs,.nc}{.u8,.s8,.b16,.b32,.f32,.b64,.v2.b32,.v2.f32,.v4.b32,.v4.f32}", "=%t*v, [global]", ClassLoad, 0, 0},
	{"ld.global{,.nc}.L1::no_allocate{.u8,.s8,.b16,.b32,.f32,.b64,.v2.b32,.v2.f32,.v4.b32,.v4.f32}", "=%t*v, [global]", ClassLoad, 74, 0},
	{"ld.shared{.u8,.s8,.b16,.b32,.f32,.b64,.v2.b32,.v2.f32,.v4.b32,.v4.f32}", "=%t*v, [shared]", ClassLoad, 0, 0},
	{"st.global{,.cg,.cs,.wt}{.b8,.b16,.b32,.f32,.b64,.v2.b32,.v2.f32,.v4.b32,.v4.f32}", "[global], %t*v", ClassStore, 0, 0},
	{"st.shared{.b8,.b16,.b32,.f32,.b64,.v2.b32,.v2.f32,.v4.b32,.v4.f32}", "[shared], %t*v", ClassStore, 0, 0},
	{"atom.global.{add.u32,add.f32,max.u32,max.s32}", "=t, [global], t", ClassAtomic, 0, 0},
	{"atom.shared.{add.u32,add.f32,max.u32,max.s32}", "=t, [shared], t", ClassAtomic, 0, 0},
	{"red.global.{add.u32,add.f32,max.u32,max.s32}", "[global], t", ClassAtomic, 0, 0},
	{"red.shared.{add.u32,add.f32,max.u32,max.s32}", "[shared], t", ClassAtomic, 0, 0},

	// Copies from global to shared memory that a thread waits for later; bytes past the optional last operand are zeros.
	{"cp.async.ca.shared.global", "[shared], [global], #{4,8,16}", ClassCpAsync, 0, SM80},
	{"cp.async.ca.shared.global", "[shared], [global], #{4,8,16}, u32", ClassCpAsync, 0, SM80},
	{"cp.async.cg.shared.global", "[shared], [global], #16", ClassCpAsync, 0, SM80},
	{"cp.async.cg.shared.global", "[shared], [global], #16, u32", ClassCpAsync, 0, SM80},
	{"cp.async.commit_group", "", ClassCpAsync, 0, SM80},
	{"cp.async.wait_group", "#0..31", ClassCpAsync, 0, SM80},
	{"cp.async.wait_all", "", ClassCpAsync, 0, SM80},

	// Matrices, spread over the registers of a warp.
	{"ldmatrix.sync.aligned.m8n8.x1{,.trans}.shared.b16", "=%u32*1, [shared]", ClassLdMatrix, 0, 0},
	{"ldmatrix.sync.aligned.m8n8.{x2,x4}{,.trans}.shared.b16", "=%u32*v, [shared]", ClassLdMatrix, 0, 0},
	{"mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32", "=%f32*4, %f16x2*2, %f16x2*1, %f32*4", ClassMMA, 0, 0},
	{"mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", "=%f32*4, %tf32*4, %tf32*2, %f32*4", ClassMMA, 0, SM80},
	{"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "=%f32*4, %f16x2*4, %f16x2*2, %f32*4", ClassMMA, 0, SM80},
	{"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "=%f32*4, %bf16x2*4, %bf16x2*2, %f32*4", ClassMMA, 0, SM80},
	{"mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32", "=%s32*2, %u32*1, %u32*1, %s32*2", ClassMMA, 0, 0},
	{"mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32", "=%s32*4, %u32*4, %u32*2, %s32*4", ClassMMA, 0, SM80},

	// Threads of a warp and of a block.
	{"shfl.sync.{idx,up,down,bfly}.b32", "=t, %t, u32, u32, u32", ClassWarp, 0, 0},
	{"vote.sync.{all,any}.pred", "=t, %t, u32", ClassWarp, 0, 0},
	{"vote.sync.ballot.b32", "=t, %pred, u32", ClassWarp, 0, 0},
	{"redux.sync.{add,min,max}.{u32,s32}", "=t, %t, u32", ClassWarp, 0, SM80},
	{"activemask.b32", "=t", ClassWarp, 0, 0},
	{"bar.sync", "#0..15", ClassBarrier, 0, 0},
	{"bar.sync", "#0..15, #32..1024", ClassBarrier, 0, 0},
	{"bar.warp.sync", "u32", ClassBarrier, 0, 0},
	{"membar.{cta,gl}", "", ClassBarrier, 0, 0},
	{"fence.acq_rel.{cta,gpu}", "", ClassBarrier, 0, 0},

	// Control.
	{"bra", "label", ClassControl, 0, 0},
	{"{ret,exit,trap}", "", ClassControl, 0, 0},
}
