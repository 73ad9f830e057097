// Package open turns what a user names into what runs: a device string into a backend, a model reference into a loaded
// engine. It is the only place that knows which backends a build has.
package open

import (
	"context"
	"fmt"
	"log/slog"

	"vith/kernels/host"
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
	CPU        string // instruction set, as VITH_CPU spells it; "": the best there is
	Threads    int    // of a forward pass on the CPU; 0: GOMAXPROCS
	MaxBatch   int    // images in one forward pass; 0: 8
	// Deterministic gives an image the same bits whatever the load: on a GPU, where the bits depend on the batch, images
	// go one by one. The CPU does so always.
	Deterministic bool

	Outputs    []vit.Output       // nil: all that the model has
	Normalize  bool               // vectors of unit length, whatever the output
	Preprocess preprocess.Options // Size is the model's
	Log        *slog.Logger       // is told when auto settles for the CPU
	Progress   func(done, total int64)
}

// A UsageError is an option that no model and no device could serve, whatever the machine.
type UsageError struct {
	Option, Value, Problem string
}

func (e *UsageError) Error() string { return fmt.Sprintf("%s %s: %s", e.Option, e.Value, e.Problem) }

// A Model is an engine and what identifies its vectors. Close it to free the device.
type Model struct {
	*vit.Engine
	Name       string // the known tower's, else the repository's, folder's or file's
	Digest     string // of the weights
	Synthetic  bool
	Outputs    map[string][]int // name: shape of one image's embedding
	Precision  string           // that it computes in
	Preprocess preprocess.Options
}

// Load opens the device and loads the model onto it. Errors that are no *UsageError mean that the model or the device
// cannot be used. When ctx ends, loading stops with its error.
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
	backend, precision, err := o.backend()
	if err != nil {
		return nil, err
	}
	if _, cpu := backend.(*host.Backend); o.Deterministic && !cpu {
		o.MaxBatch = 1
	}
	engine, err := vit.NewEngine(config, source{ctx, checkpoint}, backend, vit.Options{
		MaxBatch: o.MaxBatch, Outputs: outputs, Normalize: o.Normalize, Progress: o.Progress,
		Precision: types[precision], TanhGELU: o.GELU == "tanh",
	})
	if err != nil {
		backend.Close()
		return nil, err
	}
	digest, err := checkpoint.Digest()
	if err != nil {
		engine.Close()
		return nil, err
	}
	_, synthetic := checkpoint.Synthetic()
	o.Preprocess.Size = config.Image
	return &Model{
		Engine:     engine,
		Name:       checkpoint.Name(),
		Digest:     digest,
		Synthetic:  synthetic,
		Outputs:    shapes,
		Precision:  precision,
		Preprocess: o.Preprocess,
	}, nil
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
