// Package open turns what a user names into what runs: a device string into a backend, a model reference into a loaded
// engine. It is the only place that knows which backends a build has.
package open

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"vith/cuda"
	"vith/loader"
	"vith/vit"
	"vith/vit/preprocess"
	"vith/vit/tower"
)

// Options are spelled as the flags of the same names.
type Options struct {
	Model      string
	Device     string
	Precision  string
	Activation string // "": the checkpoint's
	GELU       string
	Residual   string // type of the stream between layers: fp32, or fp16 in fp16; "": fp32
	CPU        string // instruction set, as VITH_CPU spells it; "": the best there is
	Threads    int    // of a forward pass on the CPU; 0: GOMAXPROCS
	MaxBatch   int    // images in one forward pass; 0: 8. Where they do not fit, fewer are taken
	Memory     int64  // bytes to use of each GPU; 0: what is free
	// Deterministic gives an image the same bits whatever the load: on a GPU, where the bits depend on the batch, every
	// pass is filled up to MaxBatch images, and algorithms are not chosen by measurement. The CPU does so always.
	Deterministic bool
	Choices       string // file that keeps the algorithms chosen for a GPU; "": none
	PackedCache   string // folder that keeps the weights in the form the CPU uses, to be mapped on the next start; "": none

	Outputs    []vit.Output       // nil: all that the model has
	Normalize  bool               // vectors of unit length, whatever the output
	Preprocess preprocess.Options // Size is the model's
	Log        *slog.Logger       // is told of what is not as asked, and goes on nevertheless
	Progress   func(done, total int64)
	Lost       func(State) // is told of a device that fails for good, and of its error; nil: nobody is

	choices *cuda.Choices // in Choices
}

// A UsageError is an option that no model and no device could serve, whatever the machine.
type UsageError struct {
	Option, Value, Problem string
}

func (e *UsageError) Error() string { return fmt.Sprintf("%s %s: %s", e.Option, e.Value, e.Problem) }

// A Model is engines on one or more devices, and what identifies their vectors. Close it to free the devices.
type Model struct {
	*vit.Pool
	Name       string // the known tower's, else the repository's, folder's or file's
	Digest     string // of the weights
	Synthetic  bool
	Outputs    map[string][]int // name: shape of one image's embedding
	Device     string           // as --device spells it
	Precision  string           // that it computes in
	GELU       string           // exact or tanh; quick_gelu where the tower has that
	Residual   string           // type of the stream between layers
	Preprocess preprocess.Options

	devices []*device
}

// Load opens the devices and loads the model onto them, at the same time. Errors that are no *UsageError mean that the
// model or a device cannot be used. When ctx ends, loading stops with its error.
func Load(ctx context.Context, o Options) (*Model, error) {
	checkpoint, config, err := o.checkpoint()
	if err != nil {
		return nil, err
	}
	defer checkpoint.Close()
	outputs := o.Outputs
	if outputs == nil {
		outputs = vit.Outputs(config)
	}
	shapes := map[string][]int{}
	for _, output := range outputs {
		if shapes[string(output)], err = output.Shape(config); err != nil {
			return nil, err
		}
	}
	o.choices = o.readChoices()
	devices, err := o.devices()
	if err != nil {
		return nil, err
	}
	devices, engines, err := o.engines(config, source{ctx, checkpoint}, devices, outputs)
	if err != nil {
		return nil, err
	}
	o.saveChoices()
	_, synthetic := checkpoint.Synthetic()
	o.Preprocess.Size = config.Image
	m := &Model{
		Name:       checkpoint.Name(),
		Synthetic:  synthetic,
		Outputs:    shapes,
		Device:     together(devices),
		Precision:  devices[0].precision,
		GELU:       engines[0].GELU(),
		Residual:   cmp.Or(o.Residual, "fp32"),
		Preprocess: o.Preprocess,
		devices:    devices,
	}
	m.Pool = vit.NewPool(engines, func(i int, _ error) {
		if o.Lost != nil {
			o.Lost(m.States()[i])
		}
	})
	if m.Digest, err = checkpoint.Digest(); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// engines loads the model onto the devices. Those that it cannot be loaded onto are left out, if o does not name them.
func (o Options) engines(c tower.Config, s source, devices []*device, outputs []vit.Output) ([]*device, []*vit.Engine, error) {
	tried := make([]attempt, len(devices))
	var gelu vit.GELUChoice
	var progress progress
	var loading sync.WaitGroup
	for i, d := range devices {
		report := progress.part(o.Progress)
		loading.Go(func() {
			if err := o.cacheWeights(s, d.Backend); err != nil {
				tried[i] = attempt{d.Name(), d, err}
				return
			}
			options := vit.Options{
				MaxBatch: o.MaxBatch, Outputs: outputs, Normalize: o.Normalize, Progress: report,
				Precision: o.types(d.precision), TanhGELU: o.GELU == "tanh", Pad: d.timed, OneBucket: o.Deterministic,
				Shrunk: func(batch int, why error) {
					o.Log.Warn("the batch does not fit and is halved", "device", d.Name(), "max_batch", batch, "reason", why)
				},
			}
			if d.timed && o.GELU == "auto" && !o.Deterministic {
				options.GELU = &gelu
			}
			var err error
			d.engine, err = vit.NewEngine(c, s, d.Backend, options)
			tried[i] = attempt{d.Name(), d, err}
			if d.gpu != nil && err == nil {
				d.gpu.noteContext(held(d.Memory()))
			}
		})
	}
	loading.Wait()
	good, err := o.usable(tried)
	var engines []*vit.Engine
	for _, d := range good {
		engines = append(engines, d.engine)
	}
	return good, engines, err
}

// A progress adds up what several engines tell of theirs.
type progress struct {
	mu    sync.Mutex
	parts []*[2]int64 // done and total
}

// part is what one engine tells, for report to be told the sums.
func (p *progress) part(report func(done, total int64)) func(done, total int64) {
	if report == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	part := new([2]int64)
	p.parts = append(p.parts, part)
	return func(done, total int64) {
		p.mu.Lock()
		defer p.mu.Unlock()
		part[0], part[1] = max(part[0], done), total
		var sum [2]int64
		for _, part := range p.parts {
			sum[0], sum[1] = sum[0]+part[0], sum[1]+part[1]
		}
		report(sum[0], sum[1])
	}
}

// together names devices as --device does: "cuda:0,2".
func together(devices []*device) string {
	name := devices[0].Name()
	for _, d := range devices[1:] {
		_, number, _ := strings.Cut(d.Name(), ":")
		name += "," + number
	}
	return name
}

// checkpoint opens the model that o names; its configuration has the activation that o asks for.
func (o Options) checkpoint() (*loader.Checkpoint, tower.Config, error) {
	if err := o.check(); err != nil {
		return nil, tower.Config{}, err
	}
	checkpoint, err := loader.OpenModel(o.Model)
	if err != nil {
		return nil, tower.Config{}, err
	}
	config, _ := checkpoint.Config()
	if o.Activation != "" {
		config.Activation = tower.Activation(o.Activation)
	}
	return checkpoint, config, nil
}

// A source is a checkpoint whose reads fail once ctx has ended.
type source struct {
	ctx context.Context
	*loader.Checkpoint
}

func (s source) ReadRows(name string, dst []float32, row0, rows int) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	return s.Checkpoint.ReadRows(name, dst, row0, rows)
}
