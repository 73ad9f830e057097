package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"vith/server/answer"
)

// A format writes the embeddings of images as they come, in order.
type format interface {
	write(items []answer.Item) error
	finish() error
}

var formatNames = []string{"json", "jsonl", "csv", "npy", "raw", "text"}

// newFormat returns the format of that name, writing to w. a says what all the images have in common; there will be n.
func newFormat(name string, w io.Writer, a answer.Answer, n int) format {
	switch name {
	case "json":
		return &jsonFormat{w, a}
	case "jsonl":
		return &streamFormat{a: a, encode: func(a *answer.Answer) error { return a.WriteJSONLines(w) }}
	case "raw":
		return &streamFormat{a: a, encode: func(a *answer.Answer) error { return a.WriteRaw(w) }}
	case "npy":
		header := answer.AppendNPYHeader(nil, "<f4", append([]int{n}, a.Shape...))
		return &streamFormat{a: a, encode: func(a *answer.Answer) error {
			_, err := w.Write(header)
			if header = nil; err != nil {
				return err
			}
			return a.WriteRaw(w)
		}}
	case "csv":
		return &csvFormat{w: csv.NewWriter(w), values: count(a.Shape)}
	}
	return &textFormat{w: w, a: a}
}

// count is the number of values in an embedding of that shape.
func count(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// A jsonFormat is one object, written when all is known.
type jsonFormat struct {
	w io.Writer
	a answer.Answer
}

func (f *jsonFormat) write(items []answer.Item) error {
	f.a.Data = append(f.a.Data, items...)
	return nil
}

func (f *jsonFormat) finish() error {
	if err := f.a.WriteJSON(f.w); err != nil {
		return err
	}
	_, err := io.WriteString(f.w, "\n")
	return err
}

// A streamFormat is a sequence of encoded parts.
type streamFormat struct {
	a      answer.Answer
	encode func(*answer.Answer) error
}

func (f *streamFormat) write(items []answer.Item) error {
	f.a.Data = items
	return f.encode(&f.a)
}

func (f *streamFormat) finish() error { return nil }

// A csvFormat has the columns index, image, error and one for each value. The values of a failed image are empty.
type csvFormat struct {
	w      *csv.Writer
	values int
	row    []string
}

func (f *csvFormat) write(items []answer.Item) error {
	if f.row == nil {
		f.row = append(f.row, "index", "image", "error")
		for i := range f.values {
			f.row = append(f.row, strconv.Itoa(i))
		}
		f.w.Write(f.row)
	}
	for _, item := range items {
		clear(f.row)
		f.row[0], f.row[1] = strconv.Itoa(item.Index), item.Image
		if item.Err != nil {
			f.row[2] = item.Err.Code + ": " + item.Err.Message
		}
		for i, x := range item.Embedding {
			f.row[3+i] = strconv.FormatFloat(float64(x), 'g', -1, 32)
		}
		f.w.Write(f.row)
	}
	f.w.Flush()
	return f.w.Error()
}

func (f *csvFormat) finish() error { return nil }

// A textFormat is for people: what the vectors are, and how each begins.
type textFormat struct {
	w       io.Writer
	a       answer.Answer
	started bool
}

// shown is the number of values that a line of text has room for.
const shown = 6

func (f *textFormat) write(items []answer.Item) error {
	var b strings.Builder
	if !f.started {
		f.started = true
		f.header(&b)
	}
	for _, item := range items {
		fmt.Fprintf(&b, "%s\n ", item.Image)
		if item.Err != nil {
			fmt.Fprintf(&b, " error  %s\n", item.Err.Message)
			continue
		}
		for _, x := range item.Embedding[:min(shown, len(item.Embedding))] {
			fmt.Fprintf(&b, " %9.5f", x)
		}
		fmt.Fprintf(&b, "  ...  length %.4f\n", norm(item.Embedding))
	}
	_, err := io.WriteString(f.w, b.String())
	return err
}

func (f *textFormat) header(w io.Writer) {
	fmt.Fprintf(w, "model   %s on %s, %s", f.a.Model, f.a.Device, f.a.Precision)
	if f.a.Synthetic {
		fmt.Fprint(w, "; synthetic: the vectors mean nothing")
	}
	normalized := ""
	if f.a.Normalized {
		normalized = ", normalized"
	}
	fmt.Fprintf(w, "\noutput  %s, %s values%s; --format json prints them all\n\n",
		f.a.Output, strings.Trim(strings.ReplaceAll(fmt.Sprint(f.a.Shape), " ", " x "), "[]"), normalized)
}

func (f *textFormat) finish() error { return nil }

// norm is the L2 norm of v.
func norm[T float32 | float64](v []T) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}
