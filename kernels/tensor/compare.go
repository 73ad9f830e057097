package tensor

import (
	"fmt"
	"math"
)

// A Tolerance bounds |got − want| by Abs + Rel·|want|.
type Tolerance struct {
	Abs, Rel float64
}

// Compare returns nil if got equals want within tol everywhere, else an error that names the shapes or the worst
// element, its coordinates and how many elements are out. NaN equals nothing, an infinity only itself. It is the one
// comparison with a tolerance in the project.
func Compare(got, want Matrix, tol Tolerance) error {
	if got.Rows != want.Rows || got.Cols != want.Cols {
		return fmt.Errorf("got %d x %d, want %d x %d", got.Rows, got.Cols, want.Rows, want.Cols)
	}
	worst, wrong, row, col := 0.0, 0, 0, 0
	for r := range want.Rows {
		for c := range want.Cols {
			if e := excess(got.At(r, c), want.At(r, c), tol); e > 1 {
				wrong++
				if e > worst {
					worst, row, col = e, r, c
				}
			}
		}
	}
	if wrong == 0 {
		return nil
	}
	g, w := got.At(row, col), want.At(row, col)
	return fmt.Errorf("%d of %d elements out of tolerance %g + %g·|want|; worst at [%d, %d]: got %g, want %g, off by %.3g, %.3g times the tolerance",
		wrong, want.Rows*want.Cols, tol.Abs, tol.Rel, row, col, g, w, math.Abs(g-w), worst)
}

// excess is |got − want| in units of the tolerance.
func excess(got, want float64, tol Tolerance) float64 {
	if got == want {
		return 0
	}
	e := math.Abs(got-want) / (tol.Abs + tol.Rel*math.Abs(want))
	if e != e || math.IsInf(want, 0) {
		return math.Inf(1)
	}
	return e
}

// RelativeL2 is ‖got − want‖ / ‖want‖, or NaN if the lengths differ.
func RelativeL2[G, W float32 | float64](got []G, want []W) float64 {
	if len(got) != len(want) {
		return math.NaN()
	}
	var diff, norm float64
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		diff += d * d
		norm += float64(w) * float64(w)
	}
	return math.Sqrt(diff / norm)
}
