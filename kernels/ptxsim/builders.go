package ptxsim

import (
	"errors"

	"vith/kernels/ptx"
)

var errUnknown = errors.New("is not known to the interpreter")

// builders decodes the instructions that are neither values nor approximations, by mnemonic.
var builders = map[string]func(d *loader, i *inst, op *ptx.Op) error{
	"mov": buildMove, "selp": buildSelect, "setp": buildCompare, "div": buildDivide, "rem": buildDivide,
	"and": buildPredicate, "or": buildPredicate, "xor": buildPredicate, "not": buildPredicate,
	"lop3": buildLop3,

	"ld": buildLoad, "st": buildStore, "atom": buildAtomic, "red": buildAtomic,
	"cp.async": buildCpAsync, "cp.async.commit_group": buildCommitGroup,
	"cp.async.wait_group": buildWaitGroup, "cp.async.wait_all": buildWaitAll,

	"ldmatrix.sync.aligned": buildLdMatrix, "mma.sync.aligned": buildMMA,
	"shfl.sync": buildShuffle, "vote.sync": buildVote, "redux.sync": buildRedux, "activemask": buildActiveMask,
	"bar.sync": buildBarrier, "bar.warp.sync": buildWarpSync, "membar": buildFence, "fence.acq_rel": buildFence,

	"bra": buildBranch, "ret": buildExit, "exit": buildExit, "trap": buildTrap,
}
