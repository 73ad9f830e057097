package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vith/cmd/internal/open"
	"vith/kernels/tensor"
	"vith/vit"
	"vith/vit/preprocess"
	"vith/vit/tower"
)

// A comparison says how a model's vectors and a reference's differ.
type comparison struct {
	File        string        `json:"file"`
	DType       string        `json:"dtype"`
	Bound       string        `json:"bound"`
	Images      int           `json:"images"`
	Failed      []failedImage `json:"failed,omitempty"`
	Outputs     []outputWorst `json:"outputs"`
	Agrees      bool          `json:"agrees"`
	Explanation *explanation  `json:"explanation,omitempty"` // of a disagreement
	Remedy      string        `json:"remedy,omitempty"`      // where there is no explanation
}

// outputWorst is how far an output is from the reference.
type outputWorst struct {
	Output  string    `json:"output"`
	Worst   *distance `json:"worst,omitempty"`
	Problem string    `json:"problem,omitempty"` // why there is no distance
}

// A distance is the worst of some images; the image is that of the relative L2.
type distance struct {
	Cosine float64 `json:"one_minus_cos"`
	L2     float64 `json:"relative_l2"`
	Image  string  `json:"image"`
}

// add takes a further distance into account.
func (d *distance) add(e distance) {
	if e.L2 > d.L2 || d.Image == "" {
		d.L2, d.Image = e.L2, e.Image
	}
	d.Cosine = max(d.Cosine, e.Cosine)
}

// An explanation is a way to make the reference under which the vectors agree.
type explanation struct {
	Mistakes []mistake `json:"mistakes"`
	Worst    distance  `json:"worst"` // of all images and outputs
}

type mistake struct {
	Kind   string `json:"kind"` // crop, exif, activation, output, normalisation
	What   string `json:"what"`
	Remedy string `json:"remedy"`
}

// A comparer embeds a reference's images in many ways. Nothing is computed twice.
type comparer struct {
	*reference
	ref     string // of the model
	threads int
	model   *open.Model
	stated  tower.Activation // by the checkpoint
	loaded  tower.Activation // of model
	crops   map[string][]byte
	vectors map[vectorKey][]float32
	bar     *bar
	done    int64 // vectors of the first comparison
	total   int64
}

type vectorKey struct {
	activation tower.Activation
	output     vit.Output
	pixels     [sha256.Size]byte
}

func newComparer(ref string, threads int, want *reference) *comparer {
	return &comparer{reference: want, ref: ref, threads: threads, bar: newBar("comparing", false),
		crops: map[string][]byte{}, vectors: map[vectorKey][]float32{}}
}

func (c *comparer) close() {
	c.bar.clear()
	if c.model != nil {
		c.model.Close()
	}
}

// run compares, and where the vectors disagree looks for a way to make them under which they agree.
func (c *comparer) run(ctx context.Context) (*comparison, error) {
	if err := c.load(ctx, ""); err != nil {
		return nil, err
	}
	c.stated = c.loaded
	if err := c.decode(ctx); err != nil {
		return nil, err
	}
	for _, s := range c.samples {
		c.total += int64(len(s.want))
	}
	r := &comparison{File: c.path, DType: c.dtype, Bound: c.bound.String(), Images: len(c.samples), Failed: c.failed, Agrees: true}
	for _, f := range referenceFields {
		samples := having(f.output, c.samples)
		if len(samples) == 0 {
			continue
		}
		worst := outputWorst{Output: f.name}
		if problem := c.wrongLength(f.output, f.output, samples); problem != "" {
			worst.Problem = problem
			r.Agrees = false
		} else {
			d, err := c.worst(ctx, method{}, f.output, f.output, false, samples)
			if err != nil {
				return nil, err
			}
			worst.Worst = &d
			r.Agrees = r.Agrees && c.bound.holds(d)
		}
		r.Outputs = append(r.Outputs, worst)
	}
	if r.Agrees {
		return r, nil
	}
	var err error
	if r.Explanation, err = c.explain(ctx); err == nil && r.Explanation == nil {
		r.Remedy = r.unexplained()
	}
	return r, err
}

// unexplained is what to do about a disagreement that no mistake explains.
func (r *comparison) unexplained() string {
	far := func(o outputWorst) bool { return o.Worst == nil || !bounds["float16"].holds(*o.Worst) }
	if !slices.ContainsFunc(r.Outputs, far) {
		return `that is as far as fp16 arithmetic or gelu in its tanh form lead: if the reference was made so, give it "dtype":"float16"`
	}
	return "none of crop rule, EXIF orientation, activation, output and normalisation explains it: " +
		"check that the reference was made from these weights and these image files"
}

// load loads the model with an activation, "" for its own, in place of the one that is loaded.
func (c *comparer) load(ctx context.Context, a tower.Activation) error {
	if c.model != nil && c.loaded == a {
		return nil
	}
	if c.model != nil {
		c.model.Close()
		c.model = nil
	}
	bar := newBar("loading "+filepath.Base(c.ref), true)
	defer bar.clear()
	m, err := open.Load(ctx, open.Options{Model: c.ref, Device: "cpu", Precision: "fp32", Activation: string(a), GELU: "auto",
		CPU: os.Getenv("VITH_CPU"), Threads: c.threads, Progress: bar.set})
	if err != nil {
		return &exitError{exitUnusable, err}
	}
	c.model, c.loaded = m, m.Config().Activation
	return nil
}

// decode moves the images that cannot be decoded to those that failed.
func (c *comparer) decode(ctx context.Context) error {
	var good []*sample
	for _, s := range c.samples {
		_, err := c.crop(ctx, s, method{})
		switch {
		case err == nil:
			good = append(good, s)
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			c.failed = append(c.failed, failedImage{s.name, imageError(err).Message})
		}
	}
	if c.samples = good; len(good) == 0 {
		return fmt.Errorf("none of the %d images of %s can be decoded: %s: %s", len(c.failed), c.path, c.failed[0].Image, c.failed[0].Problem)
	}
	return nil
}

// having returns the images of which the reference has a vector.
func having(field vit.Output, samples []*sample) []*sample {
	return slices.DeleteFunc(slices.Clone(samples), func(s *sample) bool { return s.want[field] == nil })
}

// values is the number of them in the model's output, one row of a matrix; 0 if it has no such output.
func (c *comparer) values(output vit.Output) int {
	shape := c.model.Outputs[string(output)]
	if len(shape) == 0 {
		return 0
	}
	return shape[len(shape)-1]
}

// wrongLength says how the vectors of a field differ in length from an output; "": not at all.
func (c *comparer) wrongLength(field, output vit.Output, samples []*sample) string {
	n := c.values(output)
	for _, s := range samples {
		if got := len(s.want[field]); got != n {
			return fmt.Sprintf("%s has %s, the model's has %d", s.name, number(got, "value"), n)
		}
	}
	return ""
}

// A method is a way to make vectors; the zero value is ours.
type method struct {
	roundCrop, ignoreEXIF, otherActivation bool
}

var otherActivations = map[tower.Activation]tower.Activation{tower.GELU: tower.QuickGELU, tower.QuickGELU: tower.GELU}

// methods are all of them, likelier ones first, those last that need the model to be loaded again.
var methods = []method{
	{}, {roundCrop: true}, {ignoreEXIF: true}, {roundCrop: true, ignoreEXIF: true},
	{otherActivation: true}, {otherActivation: true, roundCrop: true}, {otherActivation: true, ignoreEXIF: true},
	{otherActivation: true, roundCrop: true, ignoreEXIF: true},
}

// explain returns the first method, and for each field an output, under which all vectors agree, or nil. Methods are tried
// on a few images and confirmed on all.
func (c *comparer) explain(ctx context.Context) (*explanation, error) {
	c.bar.clear()
	c.bar, c.total = newBar("trying the usual mistakes", false), 0 // now methods are counted
	few := c.telling()
	for i, m := range methods {
		c.bar.set(int64(i+1), int64(len(methods)))
		outputs, worst, err := c.fit(ctx, m, nil, few)
		if err == nil && outputs != nil {
			outputs, worst, err = c.fit(ctx, m, outputs, c.samples)
		}
		if err != nil {
			return nil, err
		}
		if outputs != nil {
			return &explanation{Mistakes: c.mistakes(m, outputs), Worst: worst}, nil
		}
	}
	return nil, nil
}

// telling returns the images that were worst at first, and the best, which a mistake must leave as it is.
func (c *comparer) telling() []*sample {
	const most = 5
	byWorst := slices.SortedFunc(slices.Values(c.samples), func(a, b *sample) int { return cmp.Compare(b.worst, a.worst) })
	if len(byWorst) <= most {
		return byWorst
	}
	return append(byWorst[:most-1:most-1], byWorst[len(byWorst)-1])
}

// fit returns for each field of the reference the output that agrees with it under a method, of those in among (nil: of
// all), and the worst distance; nil if there is none for some field.
func (c *comparer) fit(ctx context.Context, m method, among map[vit.Output]vit.Output, samples []*sample) (map[vit.Output]vit.Output, distance, error) {
	outputs, worst := map[vit.Output]vit.Output{}, distance{}
	for _, f := range referenceFields {
		samples := having(f.output, samples)
		if len(samples) == 0 {
			continue
		}
		candidates := []vit.Output{f.output} // its own first
		for _, g := range referenceFields {
			if g.output != f.output {
				candidates = append(candidates, g.output)
			}
		}
		if chosen, ok := among[f.output]; ok {
			candidates = []vit.Output{chosen}
		}
		for _, output := range candidates {
			if c.wrongLength(f.output, output, samples) != "" {
				continue
			}
			d, err := c.worst(ctx, m, f.output, output, true, samples)
			if err != nil {
				return nil, worst, err
			}
			if c.bound.holds(d) {
				outputs[f.output] = output
				worst.add(d)
				break
			}
		}
		if _, ok := outputs[f.output]; !ok {
			return nil, worst, nil
		}
	}
	return outputs, worst, nil
}

// mistakes puts into words how the reference was made otherwise than we do it.
func (c *comparer) mistakes(m method, outputs map[vit.Output]vit.Output) []mistake {
	var list []mistake
	if m.roundCrop {
		list = append(list, mistake{"crop", "odd margins are rounded, as open_clip does", "use --crop round, or make the reference with transformers' rule"})
	}
	if m.ignoreEXIF {
		list = append(list, mistake{"exif", "the EXIF orientation is ignored", "use --exif ignore, or turn images before they are embedded (PIL.ImageOps.exif_transpose)"})
	}
	if m.otherActivation {
		list = append(list, mistake{"activation", fmt.Sprintf("the activation is %s, not what the checkpoint's configuration says", c.loaded),
			fmt.Sprintf("if the reference is right, use --activation %s and correct hidden_act in the model's config.json", c.loaded)})
	}
	var unit []string
	for _, f := range referenceFields {
		output, ok := outputs[f.output]
		if ok && output != f.output {
			list = append(list, mistake{"output", fmt.Sprintf("%s holds the output %s", f.name, output), fmt.Sprintf("use --output %s for such vectors, or correct the reference", output)})
		}
		if ok && slices.ContainsFunc(c.samples, func(s *sample) bool { return s.unit[f.output] }) {
			unit = append(unit, f.name)
		}
	}
	if len(unit) > 0 {
		list = append(list, mistake{"normalisation", fmt.Sprintf("vectors are scaled to unit length: %s", strings.Join(unit, ", ")), "use --normalize, or compare vectors before they are scaled"})
	}
	return list
}

// worst embeds images under a method and compares an output with a field of the reference. With unit, ours are scaled to
// unit length where the reference's are.
func (c *comparer) worst(ctx context.Context, m method, field, output vit.Output, unit bool, samples []*sample) (distance, error) {
	vectors, err := c.embed(ctx, m, output, samples)
	if err != nil {
		return distance{}, err
	}
	var worst distance
	for i, s := range samples {
		d := compare(vectors[i], s.want[field], unit && s.unit[field])
		if d.L2-d.L2 != 0 || d.Cosine-d.Cosine != 0 {
			return worst, unusablef("%s: the model or the reference gave a value that is not finite", s.name)
		}
		d.Image = s.name
		worst.add(d)
		if m == (method{}) && !unit {
			s.worst = max(s.worst, d.L2)
		}
	}
	return worst, nil
}

// compare returns the distance of a vector from the one that it should be, both of which are not zero.
func compare(got []float32, want []float64, unit bool) distance {
	scale := 1.0
	if unit {
		scale = 1 / norm(got)
	}
	scaled, dot := make([]float64, len(got)), 0.0
	for i, x := range got {
		scaled[i] = scale * float64(x)
		dot += scaled[i] * want[i]
	}
	return distance{Cosine: max(0, 1-dot/(norm(scaled)*norm(want))), L2: tensor.RelativeL2(scaled, want)}
}

// embed returns a row of an output for each image: the vector, or the class token's.
func (c *comparer) embed(ctx context.Context, m method, output vit.Output, samples []*sample) ([][]float32, error) {
	activation := c.stated
	if m.otherActivation {
		activation = otherActivations[activation]
	}
	if err := c.load(ctx, activation); err != nil {
		return nil, err
	}
	keys := make([]vectorKey, len(samples))
	missing := map[vectorKey][]byte{}
	for i, s := range samples {
		pixels, err := c.crop(ctx, s, m)
		if err != nil {
			return nil, err
		}
		keys[i] = vectorKey{activation, output, sha256.Sum256(pixels)}
		if c.vectors[keys[i]] == nil {
			missing[keys[i]] = pixels
		}
	}
	all := count(c.model.Outputs[string(output)])
	for batch := range slices.Chunk(slices.Collect(maps.Keys(missing)), c.model.MaxBatch()) {
		var in []byte
		for _, key := range batch {
			in = append(in, missing[key]...)
		}
		out := make([]float32, len(batch)*all)
		if err := c.model.Embed(ctx, output, len(batch), in, out); err != nil {
			return nil, err
		}
		for i, key := range batch {
			c.vectors[key] = slices.Clone(out[i*all:][:c.values(output)])
		}
		if c.done += int64(len(batch)); c.done <= c.total {
			c.bar.set(c.done, c.total)
		}
	}
	rows := make([][]float32, len(samples))
	for i, key := range keys {
		rows[i] = c.vectors[key]
	}
	return rows, nil
}

// crop returns the pixels that the model sees of an image under a method.
func (c *comparer) crop(ctx context.Context, s *sample, m method) ([]byte, error) {
	o := preprocess.Options{Size: c.model.Preprocess.Size, RoundCrop: m.roundCrop, IgnoreEXIF: m.ignoreEXIF}
	key := o.ID() + " " + s.name
	if c.crops[key] == nil {
		pixels := make([]byte, c.model.InBytes())
		if err := preprocess.Crop(ctx, pixels, s.encoded, o); err != nil {
			return nil, err
		}
		c.crops[key] = pixels
	}
	return c.crops[key], nil
}
