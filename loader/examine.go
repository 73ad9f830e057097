package loader

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"vith/vit/tower"
)

// An Examination is what all the bytes of a tower show.
type Examination struct {
	Name     string // as Checkpoint's
	Config   tower.Config
	Source   string // of Config
	Files    []string
	Digest   string // "" if weights are missing
	Weights  []Statistics
	Findings []Finding // about what is missing or extra first
}

// A Finding is something that the user of a checkpoint should know.
type Finding struct {
	Fatal bool // the tower cannot be used
	*Error
}

// Statistics are of the values of one weight.
type Statistics struct {
	Name      string // in package tower
	Tensor    string // in the file
	File      string
	DType     string
	Shape     []int
	Values    int
	Bytes     int64 // of all values, as stored
	Zeros     int
	NotFinite int
	Min, Max  float64 // of the finite values, as all that follow
	Mean, RMS float64
	FirstOdd  []int // index of the first value that is not finite

	found bool // there is a finding about it
}

// Examine reads every weight of what ref names, as OpenModel takes it, and looks for tensors that are missing, extra or of
// another shape or type than the tower's, and for values that no trained tower has. It returns an error where there is
// nothing to look at. progress, if not nil, is told the bytes read; it may be called concurrently.
func Examine(ctx context.Context, ref string, progress func(done, total int64)) (*Examination, error) {
	c, err := openModel(ref)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	x := &Examination{Name: c.name, Config: c.config, Source: c.source, Files: c.Files()}
	for _, fault := range c.faults {
		x.Findings = append(x.Findings, Finding{true, fault})
	}
	if x.Weights, err = c.statistics(ctx, progress); err != nil {
		return nil, err
	}
	for i := range x.Weights {
		x.Findings = append(x.Findings, x.Weights[i].findings()...)
	}
	x.Findings = append(x.Findings, compareLayers(c.config, x.Weights)...)
	if len(c.faults) == 0 {
		x.Digest, err = c.Digest()
	}
	return x, err
}

// statistics reads all weights that the checkpoint gives, in the tower's order. What is read feeds Digest.
func (c *Checkpoint) statistics(ctx context.Context, progress func(done, total int64)) ([]Statistics, error) {
	var list []Statistics
	var total int64
	var done atomic.Int64
	for _, t := range c.config.Tensors() {
		if w := c.weights[t.Name]; w != nil {
			n := w.rows() * w.cols()
			bytes := int64(n) * int64(w.dtype.Size())
			list = append(list, Statistics{Name: t.Name, Tensor: w.tensor, File: w.file, DType: w.dtype.String(), Shape: w.shape, Values: n, Bytes: bytes})
			total += bytes
		}
	}
	errs := make([]error, len(list))
	next := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				w := c.weights[list[i].Name]
				errs[i] = c.reading(w.file, func() error {
					return list[i].read(w, func(bytes int) error {
						if progress != nil {
							progress(done.Add(int64(bytes)), total)
						}
						return ctx.Err()
					})
				})
			}
		})
	}
	for i := range list {
		next <- i
	}
	close(next)
	wg.Wait()
	return list, cmp.Or(errs...)
}

// read gathers the statistics of a weight; each hears of the bytes of a block.
func (s *Statistics) read(w *weight, each func(bytes int) error) error {
	size := int(w.dtype.Size())
	values := make([]float32, blockBytes/size)
	first := -1
	sum, squares := 0.0, 0.0
	s.Min, s.Max = math.Inf(1), math.Inf(-1)
	err := w.blocks(0, s.Values, func(i int, b []byte) error {
		w.sum.add(i, b, size)
		block := values[:len(b)/size]
		odd := widen(block, b, w.dtype)
		if odd >= 0 && first < 0 {
			first = i + odd
		}
		for _, value := range block {
			x := float64(value)
			switch {
			case x-x != 0:
				s.NotFinite++
				continue
			case x == 0:
				s.Zeros++
			}
			sum += x
			squares += x * x
			s.Min, s.Max = min(s.Min, x), max(s.Max, x)
		}
		return each(len(b))
	})
	if finite := float64(s.Values - s.NotFinite); finite > 0 {
		s.Mean, s.RMS = sum/finite, math.Sqrt(squares/finite)
	} else {
		s.Min, s.Max = 0, 0
	}
	if first >= 0 {
		s.FirstOdd = w.index(first)
	}
	return err
}

// Bounds on what trained towers hold, far outside of what published ones do.
const (
	// The gain of a matrix is the size of what it makes of a row of values of size one: rms·√columns. Training keeps it
	// near 1.
	minGain, maxGain = 1e-3, 50
	maxVector        = 100  // rms of a vector or an embedding
	minScale         = 1e-3 // rms of a LayerNorm's scale
	// maxLayerRatio is between the rms of a matrix and the median of those in its place in other layers.
	maxLayerRatio = 30
	leastLayers   = 3 // that a median needs

	maxHalf = 65504 // the largest fp16
)

// wrongScale is the remedy for values of a wrong size.
const wrongScale = "check how the file was made: a conversion that reads another type or byte order, or scales twice, gives such values"

// findings are what the values of one weight show.
func (s *Statistics) findings() []Finding {
	var list []Finding
	add := func(fatal bool, remedy, format string, args ...any) {
		list = append(list, Finding{fatal, s.fault(remedy, format, args...)})
		s.found = true
	}
	largest := max(math.Abs(s.Min), math.Abs(s.Max))
	switch {
	case s.NotFinite > 0:
		add(true, compareSum, "%d of %d values are NaN or infinite, the first at %v", s.NotFinite, s.Values, s.FirstOdd)
	case s.Zeros == s.Values:
		if !strings.HasSuffix(s.Name, "k_proj.bias") { // adds the same to all scores of a row, which softmax ignores
			add(false, compareSum, "all %d values are zero", s.Values)
		}
		return list
	case s.Min == s.Max && s.Values > 1:
		add(false, compareSum, "all %d values are %g, as before training", s.Values, s.Min)
		return list
	}
	gain := s.RMS
	if len(s.Shape) > 1 {
		cols := s.Values / s.Shape[0]
		gain *= math.Sqrt(float64(cols))
	}
	embedding := s.Name == tower.PositionEmbedding || len(s.Shape) == 1
	isScale := strings.Contains(s.Name, "norm") && strings.HasSuffix(s.Name, ".weight")
	switch {
	case s.NotFinite == s.Values:
	case largest > maxHalf:
		add(false, wrongScale, "its largest value, %.3g, is above the %d that fp16 holds", largest, maxHalf)
	case embedding && s.RMS > maxVector:
		add(false, wrongScale, "its values are large: rms %.3g, trained towers have less than %d", s.RMS, maxVector)
	case isScale && s.RMS < minScale:
		add(false, wrongScale, "its values are small: rms %.3g, trained towers have more than %g", s.RMS, minScale)
	case !embedding && (gain < minGain || gain > maxGain):
		add(false, wrongScale, "its scale is odd: rms %.3g, times the root of its columns %.3g, trained towers have %g to %d", s.RMS, gain, minGain, maxGain)
	}
	return list
}

func (s *Statistics) fault(remedy, format string, args ...any) *Error {
	e := &Error{File: s.File, Tensor: s.Tensor, Problem: fmt.Sprintf(format, args...), Remedy: remedy}
	if s.Tensor != s.Name {
		e.Problem += " (read as " + s.Name + ")"
	}
	return e
}

// compareLayers finds matrices of another scale than those in their place in the other layers, where nothing else is
// wrong with them.
func compareLayers(c tower.Config, list []Statistics) []Finding {
	byName := map[string]*Statistics{}
	for i := range list {
		byName[list[i].Name] = &list[i]
	}
	var found []Finding
	for _, module := range []string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"} {
		var place []*Statistics
		var scales []float64
		for i := range c.Layers {
			if s := byName[tower.Layer(i, module+".weight")]; s != nil && s.RMS > 0 {
				place, scales = append(place, s), append(scales, s.RMS)
			}
		}
		if len(place) < leastLayers {
			continue
		}
		slices.Sort(scales)
		median := scales[len(scales)/2]
		for _, s := range place {
			if ratio := s.RMS / median; !s.found && (ratio > maxLayerRatio || ratio < 1./maxLayerRatio) {
				found = append(found, Finding{false, s.fault(wrongScale, "its rms is %.3g, in the other layers it is about %.3g", s.RMS, median)})
			}
		}
	}
	return found
}
