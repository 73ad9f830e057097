package main

import (
	"context"
	"time"

	"vith/bench/model"
	"vith/vit"
	"vith/vit/tower"
)

// measure times passes to the projected output, which options serve.
func measure(ctx context.Context, e *vit.Engine, batch int, limit time.Duration) (model.Timing, error) {
	return model.Measure(ctx, e, vit.Projected, e.Config().Projection, batch, limit)
}

// name is what the results call an engine's tower.
func name(e *vit.Engine) string { return tower.Name(e.Config()) }
