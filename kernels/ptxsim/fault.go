package ptxsim

import (
	"fmt"
	"strings"

	"vith/kernels/ptx"
)

// A Kind of fault. It is what a Fault unwraps to, so that errors.Is(err, ptxsim.Race) asks for it.
type Kind string

func (k Kind) Error() string { return "ptxsim: " + string(k) }

// The kinds of faults.
const (
	BadLaunch     Kind = "bad launch"              // refused before any thread ran
	OutOfBounds   Kind = "out of bounds"           // bytes that belong to no allocation, or to two
	Misaligned    Kind = "misaligned"              // an address that is not a multiple of the access's width
	Uninitialised Kind = "uninitialised"           // a register, predicate or byte that nothing was written to
	Race          Kind = "race"                    // two accesses that nothing orders, one of them a write
	Divergence    Kind = "divergence"              // threads that do not meet at a .sync instruction or barrier
	InactiveLane  Kind = "inactive lane"           // a shuffle from a thread that does not take part
	PendingCopy   Kind = "pending cp.async"        // its destination touched, or its thread gone, before the wait
	Undefined     Kind = "undefined result"        // a value that the PTX manual leaves open
	OutOfBudget   Kind = "instruction budget used" // a loop that does not end
	Trapped       Kind = "trap"                    // the instruction trap
)

// A Fault is what ended a launch. For a BadLaunch only Kind, Kernel and Detail are set.
type Fault struct {
	Kind   Kind
	Kernel string
	Block  [3]int
	Thread [3]int
	Warp   int // of the block
	Lane   int
	Line   int     // in the module's PTX text; 0 if the module was never printed or parsed
	Source ptx.Pos // in the kernel author's Go; zero if the module was parsed
	Inst   string
	Detail string
}

func (f *Fault) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ptxsim: %s: ", f.Kernel)
	if f.Kind != BadLaunch {
		fmt.Fprintf(&b, "block %v thread %v (warp %d lane %d): ", f.Block, f.Thread, f.Warp, f.Lane)
		if f.Line > 0 {
			fmt.Fprintf(&b, "line %d: ", f.Line)
		}
		if f.Source.Line > 0 {
			fmt.Fprintf(&b, "%v: ", f.Source)
		}
		fmt.Fprintf(&b, "%s ", f.Inst)
	}
	fmt.Fprintf(&b, "%s: %s", string(f.Kind), f.Detail)
	return b.String()
}

// Unwrap returns the kind.
func (f *Fault) Unwrap() error { return f.Kind }
