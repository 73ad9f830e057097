package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"vith/vit"
)

// A reference is a file of vectors that a model should give.
type reference struct {
	path    string
	dtype   string // that they were computed in
	bound   bound
	samples []*sample // in name order
	failed  []failedImage
}

// A sample is an image with what the reference says of it.
type sample struct {
	name    string
	encoded []byte
	want    map[vit.Output][]float64 // penultimate: the class token's row
	unit    map[vit.Output]bool      // want has length 1
	worst   float64                  // relative L2 of our vectors, as they are
}

type failedImage struct {
	Image   string `json:"image"`
	Problem string `json:"problem"`
}

// referenceFields are the vectors that a file may hold of an image.
var referenceFields = []struct {
	name   string
	output vit.Output
}{{"pooled", vit.Pooled}, {"projected", vit.Projected}, {"penultimate_cls", vit.Penultimate}}

// A bound is how far vectors may be from the reference.
type bound struct {
	l2, cosine float64 // relative L2, 1 - cos
}

func (b bound) holds(d distance) bool { return d.L2 <= b.l2 && d.Cosine <= b.cosine }

func (b bound) String() string { return fmt.Sprintf("relative L2 %.2g, 1 - cos %.2g", b.l2, b.cosine) }

// bounds are how far our fp32 may be from a reference that was computed in a type. They are chosen: relative L2 from
// float64 is what the tests hold fp32 to, from float32, whose errors add to ours, twice that, and else some ten roundings of
// float16 (2^-11) and forty of bfloat16 (2^-8), of which a tower has many. An error at right angles to a vector costs
// half its square in 1 - cos, for which fp32 is given more. A fault costs much more, except that bfloat16 may hide some.
var bounds = map[string]bound{
	"float64":  {1e-5, 1e-9},
	"float32":  {2e-5, 1e-9},
	"float16":  {5e-3, 1e-5},
	"bfloat16": {0.15, 1e-2},
}

// unitSlack is how far from 1 a vector's length may be that was scaled to unit length: more than the 2^-8 that dividing by
// a length in bfloat16 may cost.
const unitSlack = 1e-2

// readReference reads a file of embeddings and the images that it names.
func readReference(path, dir string) (*reference, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		DType  string                                `json:"dtype"`
		Images map[string]map[string]json.RawMessage `json:"images"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("%s is not a file of reference embeddings: %w", path, err)
	}
	r := &reference{path: path, dtype: cmp.Or(file.DType, "float32")}
	var known bool
	if r.bound, known = bounds[r.dtype]; !known {
		return nil, fmt.Errorf("%s: dtype is %q, must be one of %q", path, r.dtype, slices.Sorted(maps.Keys(bounds)))
	}
	for _, name := range slices.Sorted(maps.Keys(file.Images)) {
		s := &sample{name: name, want: map[vit.Output][]float64{}, unit: map[vit.Output]bool{}}
		for _, f := range referenceFields {
			raw, ok := file.Images[name][f.name]
			if !ok {
				continue
			}
			var v []float64
			if err := json.Unmarshal(raw, &v); err != nil || len(v) == 0 {
				return nil, fmt.Errorf("%s: %s of %s is not a list of numbers", path, f.name, name)
			}
			s.want[f.output], s.unit[f.output] = v, math.Abs(norm(v)-1) < unitSlack
		}
		if len(s.want) == 0 {
			return nil, fmt.Errorf("%s: %s has none of pooled, projected and penultimate_cls", path, name)
		}
		if s.encoded, err = readImage(filepath.Join(dir, name)); err != nil {
			r.failed = append(r.failed, failedImage{name, imageError(err).Message})
			continue
		}
		r.samples = append(r.samples, s)
	}
	switch {
	case len(file.Images) == 0:
		return nil, fmt.Errorf(`%s has no "images"`, path)
	case len(r.samples) == 0:
		return nil, fmt.Errorf("none of the %d images of %s can be read in %s: %s: %s", len(r.failed), path, dir, r.failed[0].Image, r.failed[0].Problem)
	}
	return r, nil
}
