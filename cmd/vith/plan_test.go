package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// TestPlan holds the plan of ViT-H-14 to what is known of it: 632 M parameters, of which the projection is not needed,
// and about 326 GFLOP an image when the last layer computes only the class token.
func TestPlan(t *testing.T) {
	r := finish(t, command(t, nil, "plan", "--model", "synth:vit-h-14/1", "--device", "cpu", "--batch", "2", "--json"))
	var p plan
	if err := json.Unmarshal([]byte(r.stdout), &p); err != nil || r.code != 0 {
		t.Fatalf("exit %d, %v\n%s", r.code, err, r.stderr)
	}
	if p.Least == nil || p.Least.On != "cpu" || !(p.Least.FLOPS > 0) || !(p.Least.Milliseconds > 0) {
		t.Errorf("the least time is %+v", p.Least)
	}
	if p.Model != "vit-h-14" || p.Batch != 2 || p.Precision != "fp32" || p.Weights < 4*630e6 || p.Weights > 4*632.1e6 {
		t.Errorf("%s, batch %d, %s, %d bytes of weights", p.Model, p.Batch, p.Precision, p.Weights)
	}
	if perImage := float64(p.FLOPs) / 2e9; perImage < 325 || perImage > 327 {
		t.Errorf("%.1f GFLOP an image", perImage)
	}
	if len(p.Calls) != 4+31*7+8+1 {
		t.Errorf("%d calls", len(p.Calls))
	}
	r = finish(t, command(t, nil, "plan", "--model", "synth:vit-tiny/1", "--device", "emu", "--output", "projected"))
	for _, want := range []string{"emu:sm_80, fp16", "arena", "embed_norm", "visual_projection"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the plan does not show %q:\n%s", want, r.stdout)
		}
	}
	r = finish(t, command(t, nil, "plan", "--model", "synth:vit-tiny/1", "--device", "emu", "--gelu", "tanh", "--normalize"))
	if !strings.Contains(r.stdout, "gelu_tanh") || !strings.Contains(r.stdout, "l2norm") {
		t.Errorf("the plan does not follow --gelu and --normalize:\n%s", r.stdout)
	}
	// 326 GFLOP an image at 790 TFLOP/s are 2423 images/s, less what moves more bytes than it computes.
	on := []string{"plan", "--model", "synth:vit-h-14/1", "--device", "emu", "--batch", "64", "--on", "h200", "--json"}
	r = finish(t, command(t, nil, on...))
	p = plan{}
	if err := json.Unmarshal([]byte(r.stdout), &p); err != nil || p.Least == nil || p.Least.ImagesPerSecond < 1900 || p.Least.ImagesPerSecond > 2423 {
		t.Errorf("exit %d, %v, on an H200: %+v", r.code, err, p.Least)
	}
	sum := 0.0
	for _, c := range p.Calls {
		sum += c.Micros
	}
	if p.Least != nil && math.Abs(sum/1e3-p.Least.Milliseconds) > 1e-3*p.Least.Milliseconds {
		t.Errorf("the calls take %v ms, the pass %v", sum/1e3, p.Least.Milliseconds)
	}
	for _, wrong := range [][]string{{"--on", "gtx1080"}, {"--on", "h200", "--precision", "fp32"}} {
		if r := finish(t, command(t, nil, append([]string{"plan", "--model", "synth:vit-tiny/1", "--device", "emu"}, wrong...)...)); r.code != exitUsage {
			t.Errorf("%v: exit %d, %s", wrong, r.code, r.stderr)
		}
	}
	if r := finish(t, command(t, nil, "plan")); r.code != exitUnusable || !strings.Contains(r.stderr, "no model is named") {
		t.Errorf("without a model: exit %d, %s", r.code, r.stderr)
	}
}
