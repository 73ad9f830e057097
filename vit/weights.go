package vit

import (
	"strings"

	"vith/kernels"
	"vith/vit/tower"
)

// weights makes the constants of a tower's programs, each once.
type weights struct {
	config tower.Config
	types  kernels.Precision
	source Source
	loaded func(bytes int) // told of what was read; may be called concurrently
	made   map[string]*kernels.Weight
}

func newWeights(c tower.Config, t kernels.Precision, s Source, loaded func(bytes int)) *weights {
	return &weights{config: c, types: t, source: s, loaded: loaded, made: map[string]*kernels.Weight{}}
}

// weight is the constant of that key and kind, made by fill on first use.
func (w *weights) weight(key string, kind kernels.Kind, rows, cols int, fill func(dst []float32, row0, rows int) error) *kernels.Weight {
	if w.made[key] == nil {
		w.made[key] = &kernels.Weight{Key: key, Type: w.types.Type(kind), Rows: rows, Cols: cols, Fill: func(dst []float32, row0, rows int) error {
			if err := fill(dst, row0, rows); err != nil {
				return err
			}
			w.loaded(4 * rows * cols)
			return nil
		}}
	}
	return w.made[key]
}

// matrix is a stored matrix as products read it.
func (w *weights) matrix(name string, rows, cols int) *kernels.Weight {
	return w.weight(name, kernels.Activations, rows, cols, func(dst []float32, row0, rows int) error {
		return w.source.ReadRows(name, dst, row0, rows)
	})
}

// positions is the position embedding, which is added.
func (w *weights) positions() *kernels.Weight {
	return w.weight(tower.PositionEmbedding, kernels.Parameters, w.config.Tokens(), w.config.Width, func(dst []float32, row0, rows int) error {
		return w.source.ReadRows(tower.PositionEmbedding, dst, row0, rows)
	})
}

// vector is a stored vector of n elements as one row.
func (w *weights) vector(name string, n int) *kernels.Weight {
	return w.weight(name, kernels.Parameters, 1, n, func(dst []float32, _, _ int) error {
		return w.source.ReadRows(name, dst, 0, n)
	})
}

// projections are the weights and biases of several width x width linear layers of one module, one below the other.
func (w *weights) projections(module string, names []string, width int) (weight, bias *kernels.Weight) {
	key := module + strings.Join(names, "+")
	weight = w.weight(key+".weight", kernels.Activations, len(names)*width, width, func(dst []float32, row0, rows int) error {
		for row := row0; row < row0+rows; {
			part, at := row/width, row%width
			n := min(width-at, row0+rows-row)
			if err := w.source.ReadRows(module+names[part]+".weight", dst[(row-row0)*width:][:n*width], at, n); err != nil {
				return err
			}
			row += n
		}
		return nil
	})
	bias = w.weight(key+".bias", kernels.Parameters, 1, len(names)*width, func(dst []float32, _, _ int) error {
		for i, name := range names {
			if err := w.source.ReadRows(module+name+".bias", dst[i*width:][:width], 0, width); err != nil {
				return err
			}
		}
		return nil
	})
	return weight, bias
}

// patches is the patch embedding for samples in the order of the pixels: w[n, (u·P+v)·3+c] = stored[n, c, u, v]/std[c],
// padded with zeros to cols.
func (w *weights) patches(cols int) *kernels.Weight {
	return w.weight(tower.PatchEmbedding, kernels.Activations, w.config.Width, cols, func(dst []float32, row0, rows int) error {
		n := w.config.PatchValues()
		stored := make([]float32, rows*n)
		if err := w.source.ReadRows(tower.PatchEmbedding, stored, row0, rows); err != nil {
			return err
		}
		clear(dst)
		for r := range rows {
			for i, x := range stored[r*n:][:n] {
				channel, pixel := i/(n/3), i%(n/3)
				dst[r*cols+3*pixel+channel] = float32(float64(x) / std[channel])
			}
		}
		return nil
	})
}

// patchBias is what the mean leaves after the samples were centred on integers:
// bias[n] = Σ stored[n, c, u, v] · (centre[c]/255 − mean[c]) / std[c].
func (w *weights) patchBias() *kernels.Weight {
	name := strings.TrimSuffix(tower.PatchEmbedding, ".weight") + ".bias"
	return w.weight(name, kernels.Parameters, 1, w.config.Width, func(dst []float32, _, _ int) error {
		n := w.config.PatchValues()
		stored, centre := make([]float32, n), centre()
		for r := range dst {
			if err := w.source.ReadRows(tower.PatchEmbedding, stored, r, 1); err != nil {
				return err
			}
			sum := 0.0
			for i, x := range stored {
				channel := i / (n / 3)
				sum += float64(x) * (float64(centre[channel])/255 - mean[channel]) / std[channel]
			}
			dst[r] = float32(sum)
		}
		return nil
	})
}

// bytes is the size of the weights that programs were written with so far, as float32.
func (w *weights) bytes() int64 {
	total := int64(0)
	for _, m := range w.made {
		total += 4 * int64(m.Rows) * int64(m.Cols)
	}
	return total
}
