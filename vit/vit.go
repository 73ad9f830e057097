// Package vit is the CLIP vision transformer: its forward pass as a program, and an engine that runs it.
//
// A tower is described by tower.Config and reads its weights from a Source. Its program is written here once, in plain
// operations, for any backend. An Engine keeps the programs of the batch sizes it serves resident on one backend and
// turns prepared images, from package preprocess, into embeddings. A Pool is engines on several devices.
//
// Dosovitskiy et al. 2020, arXiv:2010.11929, describes the transformer, Radford et al. 2021, arXiv:2103.00020, the tower
// and its preprocessing.
package vit

import (
	"fmt"

	"vith/vit/tower"
)

// A Source gives the weights of a tower, under the names of package tower. It may be called concurrently.
type Source interface {
	// ReadRows writes rows [row0, row0+rows) of the named weight to dst as float32. Rows are those of the matrix
	// [first dimension, product of the others]; a vector is a column.
	ReadRows(name string, dst []float32, row0, rows int) error
}

// An Output names what a forward pass yields.
type Output string

const (
	Pooled      Output = "pooled"      // the class token after the last LayerNorm, [Width]
	Projected   Output = "projected"   // visual_projection of it, what CLIP compares with text, [Projection]
	Penultimate Output = "penultimate" // every token before the last transformer block, [Tokens, Width]: hidden_states[-2]
)

// Outputs are those that a tower has.
func Outputs(c tower.Config) []Output {
	if c.Projection == 0 {
		return []Output{Pooled, Penultimate}
	}
	return []Output{Pooled, Projected, Penultimate}
}

// Shape is the shape of one image's output.
func (o Output) Shape(c tower.Config) ([]int, error) {
	switch {
	case o == Pooled:
		return []int{c.Width}, nil
	case o == Projected && c.Projection > 0:
		return []int{c.Projection}, nil
	case o == Penultimate:
		return []int{c.Tokens(), c.Width}, nil
	}
	return nil, fmt.Errorf("vit: this model has no output %q: choose one of %q", o, Outputs(c))
}
