package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"vith/loader"
	"vith/loader/hub"
)

func verifyCommand() *cli.Command {
	var referencePath, images string
	var threads int
	var asJSON bool
	return &cli.Command{
		Name:      "verify",
		Usage:     "check a checkpoint's tensors, and its vectors against a reference",
		ArgsUsage: "FILE|FOLDER",
		Description: `Reads every tensor of the tower and reports what cannot be right: tensors that are missing,
extra, of another shape or type; NaN and infinity; constants; scales that no trained tower
has. Also takes a pulled hub id.

With a reference it embeds the images in DIR that EMBEDDINGS.json names, on the CPU in fp32,
and compares. Where they disagree it tries the usual mistakes and names the one that fits:
crop rule, EXIF orientation, activation, output, normalisation. EMBEDDINGS.json is

  {"dtype":"float32","images":{"cat.jpg":{"pooled":[...],"projected":[...]}}}

with any of pooled, projected and penultimate_cls (row 0 of hidden_states[-2]), computed in
float64, float32, float16 or bfloat16, which says how close is close enough.

Exit codes: 0 nothing found; 1 suspicious, or the embeddings disagree; 3 unusable.

Examples:
  vith weights verify model.safetensors
  vith weights verify --reference torch.json --images photos model.safetensors`,
		Flags: []cli.Flag{
			newFlag(&referencePath, "reference", "", "`EMBEDDINGS.json` vectors that the model should give", text),
			newFlag(&images, "images", "", "`DIR` the folder with the reference's images", text),
			newFlag(&threads, "threads", "", "`N` default the container's CPU quota, else all cores", between(1, 4096)),
			newSwitch(&asJSON, "json", "print JSON, with the statistics of every tensor"),
		},
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 1, 1)
			if err != nil {
				return err
			}
			if (referencePath == "") != (images == "") {
				return usagef(c, "--reference and --images go together")
			}
			if threads > 0 {
				runtime.GOMAXPROCS(threads)
			}
			var want *reference
			if referencePath != "" {
				if want, err = readReference(referencePath, images); err != nil {
					return err
				}
			}
			v, err := examine(c, args[0])
			if err != nil {
				return err
			}
			if want != nil && v.count(unusable) == 0 {
				comparison := newComparer(args[0], threads, want)
				defer comparison.close()
				if v.Reference, err = comparison.run(c.Context); err != nil {
					return err
				}
			}
			if asJSON {
				err = json.NewEncoder(c.App.Writer).Encode(v)
			} else {
				err = v.print(c.App.Writer)
			}
			if err != nil {
				return err
			}
			return v.verdict(args[0])
		},
	}
}

// examine looks at the tensors of a checkpoint. What cannot be opened at all is one finding.
func examine(c *cli.Context, ref string) (*verification, error) {
	bar := newBar("reading "+ref, true)
	defer bar.clear()
	x, err := loader.Examine(c.Context, ref, bar.set)
	v := &verification{Model: ref, Tensors: []tensorStatistics{}, Findings: []finding{}}
	if e, ok := errors.AsType[*loader.Error](err); ok && !errors.Is(err, fs.ErrNotExist) {
		v.add(loader.Finding{Fatal: true, Error: e})
		return v, nil
	}
	if err != nil {
		return nil, err
	}
	v.Name, v.Digest, v.Files, v.ConfigSource = x.Name, x.Digest, append([]string{}, x.Files...), x.Source
	for _, s := range x.Weights {
		v.Tensors = append(v.Tensors, tensorStatistics{s.Name, s.Tensor, s.DType, s.Shape, s.Values, s.Bytes, s.Zeros, s.NotFinite, s.Min, s.Max, s.Mean, s.RMS})
	}
	for _, f := range x.Findings {
		v.add(f)
	}
	return v, nil
}

// A verification is what was found out about a checkpoint.
type verification struct {
	Model        string             `json:"model"` // as it was named
	Name         string             `json:"name,omitempty"`
	Digest       string             `json:"digest,omitempty"`
	Files        []string           `json:"files,omitempty"`
	ConfigSource string             `json:"config_source,omitempty"`
	Tensors      []tensorStatistics `json:"tensors"`
	Findings     []finding          `json:"findings"`
	Reference    *comparison        `json:"reference,omitempty"`
}

type tensorStatistics struct {
	Name      string  `json:"name"`   // in the tower
	Tensor    string  `json:"tensor"` // in the file
	DType     string  `json:"dtype"`
	Shape     []int   `json:"shape"`
	Values    int     `json:"values"`
	Bytes     int64   `json:"bytes"` // of all values, as stored
	Zeros     int     `json:"zeros"`
	NotFinite int     `json:"not_finite"`
	Min       float64 `json:"min"` // of the finite values, as all that follow
	Max       float64 `json:"max"`
	Mean      float64 `json:"mean"`
	RMS       float64 `json:"rms"`
}

// Severities of findings.
const (
	suspicious = "suspicious"
	unusable   = "unusable"
)

type finding struct {
	Severity string `json:"severity"`
	File     string `json:"file"`
	Tensor   string `json:"tensor,omitempty"` // as the file spells it
	Problem  string `json:"problem"`
	Remedy   string `json:"remedy"`
}

func (v *verification) add(f loader.Finding) {
	severity := suspicious
	if f.Fatal {
		severity = unusable
	}
	problem := f.Problem
	if f.Err != nil {
		problem += ": " + f.Err.Error()
	}
	v.Findings = append(v.Findings, finding{severity, f.File, f.Tensor, problem, f.Remedy})
}

func (v *verification) count(severity string) int {
	n := 0
	for _, f := range v.Findings {
		if f.Severity == severity {
			n++
		}
	}
	return n
}

// verdict is the error that the command ends with, nil if all is well.
func (v *verification) verdict(model string) error {
	if n := v.count(unusable); n > 0 {
		return unusablef("%s cannot be used: %s", model, number(n, "finding"))
	}
	var problems []string
	if n := len(v.Findings); n > 0 {
		problems = append(problems, number(n, "suspicious finding"))
	}
	if r := v.Reference; r != nil && !r.Agrees {
		problems = append(problems, "its vectors disagree with the reference")
	}
	if r := v.Reference; r != nil && len(r.Failed) > 0 {
		problems = append(problems, number(len(r.Failed), "image")+" of the reference could not be embedded")
	}
	if len(problems) == 0 {
		return nil
	}
	return &exitError{exitFailed, fmt.Errorf("%s: %s", model, strings.Join(problems, ", "))}
}

func number(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// maxShown is how many findings the text shows; JSON has all.
const maxShown = 20

func (v *verification) print(w io.Writer) error {
	if v.Name != "" {
		bytes := int64(0)
		for _, t := range v.Tensors {
			bytes += t.Bytes
		}
		fmt.Fprintf(w, "%s: %s of the tower read, %s", v.Name, number(len(v.Tensors), "weight"), hub.Size(bytes))
		if v.Digest != "" {
			fmt.Fprintf(w, ", digest %s", v.Digest)
		}
		fmt.Fprintln(w)
	}
	for i, f := range v.Findings {
		if i == maxShown {
			fmt.Fprintf(w, "\nand %d more: --json shows them\n", len(v.Findings)-maxShown)
			break
		}
		where := f.Tensor
		if where == "" {
			where = f.File
		}
		fmt.Fprintf(w, "\n%s: %s\n    %s\n    %s\n", f.Severity, where, f.Problem, f.Remedy)
	}
	if len(v.Findings) == 0 {
		fmt.Fprintln(w, "nothing wrong with the tensors")
	}
	if v.Reference == nil {
		return nil
	}
	return v.Reference.print(w)
}

func (r *comparison) print(w io.Writer) error {
	fmt.Fprintf(w, "\nreference %s: %s compared, computed in %s, must be within %s\n", r.File, number(r.Images, "image"), r.DType, r.Bound)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprint(t, "\toutput\tworst 1 - cos\tworst relative L2\tat\n")
	for _, o := range r.Outputs {
		if o.Worst == nil {
			fmt.Fprintf(t, "\t%s\t-\t-\t%s\n", o.Output, o.Problem)
			continue
		}
		fmt.Fprintf(t, "\t%s\t%.1e\t%.1e\t%s\n", o.Output, o.Worst.Cosine, o.Worst.L2, o.Worst.Image)
	}
	t.Flush()
	for _, f := range r.Failed {
		fmt.Fprintf(w, "not compared: %s: %s\n", f.Image, f.Problem)
	}
	if r.Agrees {
		fmt.Fprintln(w, "the vectors agree")
		return nil
	}
	fmt.Fprintln(w, "the vectors disagree")
	if r.Explanation == nil {
		fmt.Fprintln(w, "    "+r.Remedy)
		return nil
	}
	fmt.Fprintf(w, "    they agree (1 - cos %.1e, relative L2 %.1e) if the reference was made so:\n", r.Explanation.Worst.Cosine, r.Explanation.Worst.L2)
	for _, m := range r.Explanation.Mistakes {
		fmt.Fprintf(w, "    %s: %s\n        %s\n", m.Kind, m.What, m.Remedy)
	}
	return nil
}
