package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"vith/cmd/internal/open"
	"vith/kernels/host"
	"vith/server"
	"vith/vit"
	"vith/vit/preprocess"
)

// An engine is a loaded model as the server sees it.
type engine struct {
	model *open.Model
	info  server.Info
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
			Device:        m.Device,
			Precision:     m.Precision,
			GELU:          m.GELU,
			Residual:      m.Residual,
			ImageSize:     m.Preprocess.Size,
			Outputs:       m.Outputs,
			MaxBatch:      m.MaxBatch(),
			InBytes:       m.InBytes(),
			Parallel:      m.Engines()[0].Depth(),
		},
	}
}

func (e *engine) Prepare(ctx context.Context, dst, img []byte, o server.PrepareOptions) error {
	options := e.model.Preprocess
	options.MaxPixels = int64(o.MaxPixels)
	return preprocess.Crop(ctx, dst, img, options)
}

func (e *engine) Embed(ctx context.Context, output string, n int, in []byte, out []float32) error {
	return e.model.Embed(ctx, vit.Output(output), n, in, out)
}

func (e *engine) Info() server.Info { return e.info }

func (e *engine) Devices() []server.Device {
	var list []server.Device
	for _, s := range e.model.States() {
		list = append(list, describe(s))
	}
	return list
}

// describe is a device's state as the server tells it.
func describe(s open.State) server.Device {
	d := server.Device{
		ID: s.ID, Name: s.Name, UUID: s.UUID, Driver: s.Driver, State: server.DeviceOK, Load: s.Load,
		Memory: server.Memory{
			Total: s.Memory.Total, Free: s.Memory.Free, Weights: s.Memory.Weights, Arena: s.Memory.Arena, Workspace: s.Memory.Workspace,
			Context: s.Context, Other: s.Other,
		},
		Power: server.Power{Watts: s.Power, LimitWatts: s.PowerLimit, EnergyJoules: s.Energy},
	}
	switch {
	case errors.Is(s.Err, open.ErrSilent):
		d.State, d.Error = server.DeviceSilent, s.Err.Error()
	case s.Err != nil:
		d.State, d.Error = server.DeviceDown, s.Err.Error()
	}
	return d
}

// logModel says what was loaded and what runs it. Memory is that of each device.
func logModel(log *slog.Logger, e *engine, took time.Duration) {
	attrs := []any{"model", e.info.Model, "digest", e.info.ModelDigest, "preprocessing", e.info.Preprocessing,
		"device", e.info.Device, "precision", e.info.Precision, "gelu", e.info.GELU, "residual", e.info.Residual}
	if cpu, ok := e.model.Engines()[0].Backend().(*host.Backend); ok {
		attrs = append(attrs, "instructions", cpu.Tier(), "threads", cpu.Threads())
	}
	m := e.model.States()[0].Memory
	attrs = append(attrs, "weights_mib", m.Weights>>20, "arena_mib", m.Arena>>20, "max_batch", e.info.MaxBatch, "seconds", took.Seconds())
	log.Info("model loaded", attrs...)
	if e.info.Synthetic {
		log.Warn("the model is synthetic: its vectors mean nothing",
			"remedy", "vith weights pull laion/CLIP-ViT-H-14-laion2B-s32B-b79K, then name that as --model")
	}
}
