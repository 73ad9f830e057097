package main

import (
	"context"
	"log/slog"
	"time"

	"vith/cmd/internal/open"
	"vith/cuda"
	"vith/kernels/host"
	"vith/server"
	"vith/vit"
	"vith/vit/preprocess"
)

// An engine is a loaded model as the server sees it.
type engine struct {
	model *open.Model
	info  server.Info
	name  string // of the device
	load  meter
}

var _ server.Engine = (*engine)(nil)

func newEngine(m *open.Model) *engine {
	return &engine{
		model: m,
		info: server.Info{
			Model:         m.Name,
			ModelDigest:   m.Digest,
			Preprocessing: m.Preprocess.ID(),
			Synthetic:     m.Synthetic,
			Device:        m.Backend().Name(),
			Precision:     m.Precision,
			ImageSize:     m.Preprocess.Size,
			Outputs:       m.Outputs,
			MaxBatch:      m.MaxBatch(),
			InBytes:       m.InBytes(),
			Parallel:      m.Depth(),
		},
		name: open.CPUName(),
	}
}

func (e *engine) Prepare(ctx context.Context, dst, img []byte, o server.PrepareOptions) error {
	options := e.model.Preprocess
	options.MaxPixels = int64(o.MaxPixels)
	return preprocess.Crop(ctx, dst, img, options)
}

func (e *engine) Embed(ctx context.Context, output string, n int, in []byte, out []float32) error {
	defer e.load.begin()()
	return e.model.Embed(ctx, vit.Output(output), n, in, out)
}

func (e *engine) Info() server.Info { return e.info }

func (e *engine) Devices() []server.Device {
	m := e.model.Backend().Memory()
	d := server.Device{
		ID: e.info.Device, Name: e.name, State: "ok", Load: e.load.lastSecond(),
		Memory: server.Memory{Total: m.Total, Free: m.Free, Weights: m.Weights, Arena: m.Arena, Workspace: m.Workspace},
	}
	gpu, ok := e.model.Backend().(*cuda.Backend)
	if !ok {
		d.Memory.Total, d.Memory.Free = open.Memory()
		return []server.Device{d}
	}
	d.Name, d.UUID = gpu.Info().Name, gpu.Info().UUID
	if err := gpu.Down(); err != nil {
		d.State = err.Error()
	}
	return []server.Device{d}
}

// logModel says what was loaded and what runs it.
func logModel(log *slog.Logger, e *engine, took time.Duration) {
	attrs := []any{"model", e.info.Model, "digest", e.info.ModelDigest, "preprocessing", e.info.Preprocessing,
		"device", e.info.Device, "precision", e.info.Precision}
	if cpu, ok := e.model.Backend().(*host.Backend); ok {
		attrs = append(attrs, "instructions", cpu.Tier(), "threads", cpu.Threads())
	}
	m := e.model.Backend().Memory()
	attrs = append(attrs, "weights_mib", m.Weights>>20, "arena_mib", m.Arena>>20, "max_batch", e.info.MaxBatch, "seconds", took.Seconds())
	log.Info("model loaded", attrs...)
	if e.info.Synthetic {
		log.Warn("the model is synthetic: its vectors mean nothing",
			"remedy", "vith weights pull laion/CLIP-ViT-H-14-laion2B-s32B-b79K, then name that as --model")
	}
}
