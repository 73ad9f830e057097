package loader

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/nlpodyssey/safetensors"

	"vith/vit/tower"
)

// Synthetic makes a checkpoint of a known tower in memory. Every value follows from the tower's name, the seed and the
// value's place, and is computed when it is read. See WriteSynthetic for the file that it equals.
func Synthetic(config string, seed uint64) (*Checkpoint, error) {
	s, err := newSynthetic(config, seed)
	if err != nil {
		return nil, err
	}
	ref := "synth:" + s.ref
	c := &Checkpoint{name: config, config: s.config, source: ref, synthetic: s.ref, weights: map[string]*weight{}}
	offset := int64(len(s.header))
	for _, t := range s.tensors {
		shape := make([]uint64, len(t.Shape))
		for i, d := range t.Shape {
			shape[i] = uint64(d)
		}
		c.tensors = append(c.tensors, TensorInfo{Name: t.Name, Canonical: []string{t.Name}, DType: "F32", Shape: shape,
			Offset: offset, Bytes: 4 * int64(t.count), File: ref})
		c.weights[t.Name] = &weight{file: ref, tensor: t.Name, shape: t.Shape, dtype: safetensors.F32, values: t.generator,
			sum: sum{hash: sha256.New()}}
		offset += 4 * int64(t.count)
	}
	return c, nil
}

// ParseSynthetic splits CONFIG/SEED.
func ParseSynthetic(ref string) (config string, seed uint64, err error) {
	config, digits, _ := strings.Cut(ref, "/")
	if seed, err = strconv.ParseUint(digits, 10, 64); err != nil {
		return "", 0, &Error{File: "synth:" + ref, Problem: "is not synth:CONFIG/SEED with a seed from 0 to 2^64-1", Remedy: "write for example synth:vit-h-14/1"}
	}
	return config, seed, nil
}

// A synthetic is the plan of a synthetic checkpoint's file.
type synthetic struct {
	ref     string // CONFIG/SEED
	config  tower.Config
	tensors []syntheticTensor
	header  []byte // with its length and padding
}

type syntheticTensor struct {
	tower.Tensor
	generator
	count int // values
}

func newSynthetic(config string, seed uint64) (*synthetic, error) {
	c, ok := tower.Lookup(config)
	if !ok {
		var names []string
		for _, v := range tower.Variants {
			names = append(names, v.Name)
		}
		return nil, &Error{File: "synth:" + config, Problem: "no such tower", Remedy: "known are " + strings.Join(names, ", ")}
	}
	s := &synthetic{ref: config + "/" + strconv.FormatUint(seed, 10), config: c}
	for _, t := range c.Tensors() {
		count := 1
		for _, d := range t.Shape {
			count *= d
		}
		s.tensors = append(s.tensors, syntheticTensor{t, newGenerator(c, t.Name, seed), count})
	}
	s.header = s.formatHeader()
	return s, nil
}

// formatHeader writes the header as Python's json.dumps does with separators "," and ":", padded with spaces to a
// multiple of eight bytes.
func (s *synthetic) formatHeader() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"__metadata__":{"format":"pt","synthetic":%q}`, s.ref)
	offset := 0
	for _, t := range s.tensors {
		shape := strings.ReplaceAll(strings.Trim(fmt.Sprint(t.Shape), "[]"), " ", ",")
		fmt.Fprintf(&b, `,%q:{"dtype":"F32","shape":[%s],"data_offsets":[%d,%d]}`, t.Name, shape, offset, offset+4*t.count)
		offset += 4 * t.count
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(b.Len())), b.Bytes()...)
}

// A generator computes the values of one synthetic tensor. With γ = 0x9E3779B97F4A7C15, value i is
//
//	z = splitmix64(start + (i+1)·γ),   start = FNV-1a(name) xor seed·γ
//	u = (sum of the four 16-bit fields of z − 131070) / σ
//	x = float32(mean + std·u)
//
// where 131070 and σ are the mean and the standard deviation of that sum, so that u is nearly normal and bounded by
// 3.47. Trained towers carry a few very large channels, which quantisation must meet: of a tensor with outliers, every
// 97th value from the 13th is six times as large. Arithmetic is float64 and nothing is fused.
//
// Source of splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
type generator struct {
	start     uint64
	mean, std float64
	outliers  bool
}

const (
	gamma       = 0x9E3779B97F4A7C15
	sumMean     = 131070
	sumStd      = 37837.22715568152
	outlierFrom = 13
	outlierStep = 97
	outlierGain = 6
)

// newGenerator chooses the scales so that the tower behaves like a trained one: different photographs get clearly
// different vectors, and reduced precision costs what it costs on real weights.
func newGenerator(c tower.Config, name string, seed uint64) generator {
	h := fnv.New64a()
	h.Write([]byte(name))
	g := generator{start: h.Sum64() ^ seed*gamma, std: 0.05}
	width, depth := inverseSqrt(c.Width), inverseSqrt(2*c.Layers)
	switch {
	case name == tower.PatchEmbedding:
		g.std = inverseSqrt(c.PatchValues())
	case strings.HasSuffix(name, "_proj.weight") && !strings.HasSuffix(name, "out_proj.weight"), name == tower.VisualProjection, strings.HasSuffix(name, "fc1.weight"):
		g.std = width
	case strings.HasSuffix(name, "out_proj.weight"):
		g.std = 4 * depth * width
	case strings.HasSuffix(name, "fc2.weight"):
		g.std = 2 * depth * inverseSqrt(c.MLP)
	case strings.HasSuffix(name, "out_proj.bias"), strings.HasSuffix(name, "fc2.bias"):
		g.std = 0.02
	case name == tower.PostLayerNorm+".weight":
		g.mean, g.std = 1, 0.1
	case strings.HasSuffix(name, "norm.weight"), strings.HasSuffix(name, "norm1.weight"), strings.HasSuffix(name, "norm2.weight"):
		g.mean, g.std, g.outliers = 1, 0.1, true
	}
	return g
}

// inverseSqrt is n^-0.5 rounded once, as C's pow computes it; 1/math.Sqrt rounds twice.
func inverseSqrt(n int) float64 {
	x := new(big.Float).SetPrec(200).SetInt64(int64(n))
	x.Quo(big.NewFloat(1), x.Sqrt(x))
	f, _ := x.Float64()
	return f
}

func (g generator) read(buf []byte, i, n int) []byte {
	buf = buf[:4*n]
	z := g.start + uint64(i)*gamma
	for b := buf; len(b) >= 4; b = b[4:] {
		z += gamma
		binary.LittleEndian.PutUint32(b, math.Float32bits(float32(g.value(z))))
	}
	if g.outliers {
		first := (outlierFrom-i%outlierStep+outlierStep)%outlierStep + i
		for k := first; k < i+n; k += outlierStep {
			x := g.value(g.start + uint64(k+1)*gamma)
			binary.LittleEndian.PutUint32(buf[4*(k-i):], math.Float32bits(float32(x*outlierGain)))
		}
	}
	return buf
}

func (g generator) value(z uint64) float64 {
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	z ^= z >> 31
	sum := z&0xffff + z>>16&0xffff + z>>32&0xffff + z>>48
	u := float64(int64(sum)-sumMean) / sumStd
	return g.mean + float64(g.std*u) // the conversion forbids a fused multiply-add
}
