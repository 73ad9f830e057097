package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"

	"github.com/urfave/cli/v2"

	"vith/cmd/internal/open"
	"vith/kernels"
	"vith/server/answer"
	"vith/vit"
	"vith/vit/preprocess"
)

func embedCommand() *cli.Command {
	var m modelFlags
	var format string
	return &cli.Command{
		Name:      "embed",
		Usage:     "images -> vectors on standard output",
		ArgsUsage: "IMAGE...",
		Description: `Writes the embedding of each image, in order. JPEG, PNG, WebP, GIF and BMP are known by
their content; - reads one image from standard input. An image that cannot be used is
reported on standard error and in its place of the output, and the others are delivered.

Formats: json is one object with all there is to say; jsonl a line for each image; csv has
the columns index, image, error and the values; npy is a NumPy array, raw the same values
without a header (float32, a failed image is a row of NaN); text is a summary to look at.
All but json write while they work, in little memory.

Examples:
  vith embed --model synth:vit-tiny/1 cat.jpg
  vith embed --model model.safetensors --format npy photos/*.jpg > vectors.npy
  curl -s https://example.com/cat.jpg | vith embed --model model.safetensors --normalize -`,
		Flags: append([]cli.Flag{
			newFlag(&format, "format", "", "`FORMAT` json, jsonl, csv, npy, raw or text; default text on a terminal, else json", oneOf(formatNames...)),
			m.batchFlag("batch"),
		}, m.flags()...),
		Action: func(c *cli.Context) error {
			images, err := arguments(c, 1, unlimited)
			if err != nil {
				return err
			}
			if first := slices.Index(images, stdin); first >= 0 && slices.Contains(images[first+1:], stdin) {
				return usagef(c, "- is named twice, but standard input holds one image")
			}
			if err := m.check(c); err != nil {
				return err
			}
			if format == "" {
				format = "json"
				if onTerminal(os.Stdout) {
					format = "text"
				}
			}
			output := vit.Output(m.output)
			model, err := m.load(c, m.logger(), []vit.Output{output}, m.normalize)
			if err != nil {
				return err
			}
			defer model.Close()
			e := embedder{model: model, output: output, normalize: m.normalize}
			return e.run(c.Context, images, newFormat(format, c.App.Writer, e.answer(), len(images)))
		},
	}
}

// An embedder turns images into the vectors of one output.
type embedder struct {
	model     *open.Model
	output    vit.Output
	normalize bool
}

// answer is an answer about no image yet.
func (e *embedder) answer() answer.Answer {
	return answer.Answer{
		Model:         e.model.Name,
		ModelDigest:   e.model.Digest,
		Preprocessing: e.model.Preprocess.ID(),
		Device:        e.model.Device,
		Precision:     e.model.Precision,
		Output:        string(e.output),
		Shape:         e.model.Outputs[string(e.output)],
		Normalized:    e.normalize,
		Synthetic:     e.model.Synthetic,
	}
}

// run writes the embeddings of the images in their order. As many batches are in the model as its devices take; the next
// is decoded meanwhile.
func (e *embedder) run(ctx context.Context, images []string, f format) error {
	ctx, cancel := context.WithCancel(ctx)
	prepared := make(chan *batch)
	go func() {
		first := 0
		for names := range slices.Chunk(images, e.model.MaxBatch()) {
			select {
			case prepared <- e.prepare(ctx, first, names):
			case <-ctx.Done():
				return
			}
			first += len(names)
		}
	}()
	var running []*batch // in order
	defer func() {
		cancel()
		for _, b := range running {
			<-b.done
		}
	}()

	bar := newBar("embedding", false)
	bar.show = bar.show && len(images) > e.model.MaxBatch() && !onTerminal(os.Stdout) // where the vectors show how far it is
	defer bar.clear()
	done, failed := 0, 0
	for done < len(images) {
		var next chan *batch
		if len(running) < e.model.Depth() {
			next = prepared
		}
		var oldest chan struct{}
		if len(running) > 0 {
			oldest = running[0].done
		}
		select {
		case b := <-next:
			running = append(running, b)
			go func() {
				defer close(b.done)
				b.err = e.embed(ctx, b)
			}()
			continue
		case <-oldest:
		case <-ctx.Done():
			return ctx.Err()
		}
		b := running[0]
		running = running[1:]
		if b.err != nil {
			return b.err
		}
		for _, item := range b.items {
			if item.Err != nil {
				failed++
				bar.clear()
				fmt.Fprintf(os.Stderr, "vith: %s: %s\n", item.Image, item.Err.Message)
			}
		}
		if err := f.write(b.items); err != nil {
			return fmt.Errorf("cannot write the embeddings: %w", err)
		}
		done += len(b.items)
		bar.set(int64(done), int64(len(images)))
	}
	if err := f.finish(); err != nil {
		return fmt.Errorf("cannot write the embeddings: %w", err)
	}
	if failed > 0 {
		return &exitError{exitFailed, fmt.Errorf("%d of %d images failed", failed, len(images))}
	}
	return nil
}

// A batch is some images on their way through the model.
type batch struct {
	items  []answer.Item
	pixels []byte        // of the items without an error, one after the other
	done   chan struct{} // closed when it has been in the model
	err    error         // of the model
}

// prepare reads and decodes images on all processors. What is wrong with one becomes its item's error.
func (e *embedder) prepare(ctx context.Context, first int, names []string) *batch {
	size := e.model.InBytes()
	b := &batch{items: make([]answer.Item, len(names)), pixels: make([]byte, len(names)*size), done: make(chan struct{})}
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i, name := range names {
		b.items[i] = answer.Item{Index: first + i, Image: name}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			encoded, err := readImage(name)
			if err == nil {
				err = preprocess.Crop(ctx, b.pixels[i*size:(i+1)*size], encoded, e.model.Preprocess)
			}
			if err != nil {
				b.items[i].Err = imageError(err)
			}
		})
	}
	wg.Wait()
	good := b.pixels[:0]
	for i, item := range b.items {
		if item.Err == nil {
			good = append(good, b.pixels[i*size:(i+1)*size]...)
		}
	}
	b.pixels = good
	return b
}

// embed fills in the embeddings of the items without an error.
func (e *embedder) embed(ctx context.Context, b *batch) error {
	n := len(b.pixels) / e.model.InBytes()
	if n == 0 {
		return ctx.Err()
	}
	values := count(e.model.Outputs[string(e.output)])
	vectors := make([]float32, n*values)
	switch err := e.model.Embed(ctx, e.output, n, b.pixels, vectors); {
	case errors.Is(err, kernels.ErrDown):
		return unusablef("%w", err)
	case err != nil:
		return err
	}
	for i := range b.items {
		item := &b.items[i]
		if item.Err != nil {
			continue
		}
		item.Embedding, vectors = vectors[:values:values], vectors[values:]
		if slices.ContainsFunc(item.Embedding, notFinite) {
			return unusablef("%s: the model gave a value that is not finite", item.Image)
		}
	}
	return nil
}

func notFinite(x float32) bool { return x-x != 0 }
