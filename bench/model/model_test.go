package model

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vith/bench/machine"
	"vith/vit"
)

// A counter is an Embedder that counts passes, and how many are in flight at most.
type counter struct {
	passes, flying, most atomic.Int64
	fail                 int64 // the pass that fails
}

var errFail = errors.New("the pass that fails")

func (c *counter) Embed(_ context.Context, output vit.Output, n int, in []byte, out []float32) error {
	if output != vit.Pooled || len(in) != n*c.InBytes() || len(out) != 5*n {
		return errors.New("wrong sizes")
	}
	flying := c.flying.Add(1)
	defer c.flying.Add(-1)
	for most := c.most.Load(); flying > most && !c.most.CompareAndSwap(most, flying); most = c.most.Load() {
	}
	time.Sleep(time.Millisecond)
	if c.passes.Add(1) == c.fail {
		return errFail
	}
	return nil
}

func (c *counter) InBytes() int { return 12 }
func (c *counter) Depth() int   { return 2 }

func TestMeasure(t *testing.T) {
	var c counter
	got, err := Measure(t.Context(), &c, vit.Pooled, 5, 7, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := c.passes.Load(); int64(got.Passes) != n-warmUps || n != warmUps+fewest+3*fewest {
		t.Errorf("%d passes are told of, %d were made", got.Passes, n)
	}
	if c.most.Load() > 3 || got.Milliseconds < 1 || !(got.ImagesPerSecond > 0) || got.ImagesPerSecond > 7*3*1000 {
		t.Errorf("%+v, %d passes in flight", got, c.most.Load())
	}
	for _, fail := range []int64{1, warmUps + fewest + 2} {
		if _, err := Measure(t.Context(), &counter{fail: fail}, vit.Pooled, 5, 1, 0); !errors.Is(err, errFail) {
			t.Errorf("pass %d fails: %v", fail, err)
		}
	}
}

func TestReport(t *testing.T) {
	r := Report{
		Date: time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC), Version: "v1", Machine: machine.Machine{CPU: "a CPU", Cores: 2}, Model: "vit-h-14", Output: "pooled",
		Runs: []Run{{Device: "cpu", Precision: "fp32", GELU: "exact", Batch: 8, GFLOP: 326, Timing: Timing{Milliseconds: 4000, ImagesPerSecond: 2}}},
	}
	r.Runs[0].Rate(0)
	r.Runs = append(r.Runs, r.Runs[0])
	r.Runs[1].Rate(1304e9)
	var text, page, object bytes.Buffer
	if err := errors.Join(r.WriteText(&text), r.WriteMarkdown(&page), json.NewEncoder(&object).Encode(r)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2026-11-28, a CPU, 2 logical CPUs", "652", "50 %", "exact"} {
		if !strings.Contains(text.String(), want) || !strings.Contains(page.String(), want) {
			t.Errorf("no %q in\n%s\n%s", want, &text, &page)
		}
	}
	var back Report
	if err := json.Unmarshal(object.Bytes(), &back); err != nil || len(back.Runs) != 2 || back.Runs[1] != r.Runs[1] {
		t.Errorf("%+v, %v", back, err)
	}
}
