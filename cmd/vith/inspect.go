package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"vith/loader"
	"vith/vit/tower"
)

func inspectCommand() *cli.Command {
	var asJSON, digest bool
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show what a checkpoint holds",
		ArgsUsage: "FILE|FOLDER",
		Description: `Shows the tower's configuration and where it was found, and every tensor with what it is
to the tower. Tensors of no use to it, such as the text tower's, are skipped when loading.
Reads only headers, unless the digest is asked for. Also takes a pulled hub id.

Examples:
  vith weights inspect model.safetensors
  vith weights inspect --json --digest models/vit-h-14/`,
		Flags: []cli.Flag{
			newSwitch(&asJSON, "json", "print JSON"),
			newSwitch(&digest, "digest", "compute the model digest, which reads all weights"),
		},
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 1, 1)
			if err != nil {
				return err
			}
			checkpoint, err := loader.OpenModel(args[0])
			if errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err != nil {
				return unusablef("%w", err)
			}
			defer checkpoint.Close()
			found, err := inspect(checkpoint, digest)
			if err != nil {
				return unusablef("%w", err)
			}
			if asJSON {
				return json.NewEncoder(c.App.Writer).Encode(found)
			}
			return found.print(c.App.Writer)
		},
	}
}

// An inspection is what a checkpoint's headers say.
type inspection struct {
	Name         string       `json:"name"`
	Config       tower.Config `json:"config"`
	ConfigSource string       `json:"config_source"`
	Synthetic    string       `json:"synthetic,omitempty"` // CONFIG/SEED
	Digest       string       `json:"digest,omitempty"`
	Files        []string     `json:"files"`
	Tensors      []tensorInfo `json:"tensors"`
	Bytes        int64        `json:"bytes"`   // of the tensors that are used
	Skipped      int          `json:"skipped"` // tensors
}

type tensorInfo struct {
	Name   string   `json:"name"`
	DType  string   `json:"dtype"`
	Shape  []uint64 `json:"shape"`
	Bytes  int64    `json:"bytes"`
	Offset int64    `json:"offset"`
	File   string   `json:"file"`
	Roles  []string `json:"roles"` // the tower's weights that it gives; none: it is skipped
}

func inspect(c *loader.Checkpoint, digest bool) (*inspection, error) {
	config, source := c.Config()
	found := &inspection{Name: c.Name(), Config: config, ConfigSource: source, Files: append([]string{}, c.Files()...), Tensors: []tensorInfo{}}
	found.Synthetic, _ = c.Synthetic()
	for _, t := range c.Tensors() {
		found.Tensors = append(found.Tensors, tensorInfo{t.Name, t.DType, t.Shape, t.Bytes, t.Offset, t.File, append([]string{}, t.Canonical...)})
		if len(t.Canonical) > 0 {
			found.Bytes += t.Bytes
		} else {
			found.Skipped++
		}
	}
	if !digest {
		return found, nil
	}
	var err error
	found.Digest, err = c.Digest()
	return found, err
}

func (f *inspection) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	c := f.Config
	fmt.Fprintf(t, "name\t%s\n", f.Name)
	fmt.Fprintf(t, "tower\t%d layers of width %d, %d heads, MLP %d, %s\n", c.Layers, c.Width, c.Heads, c.MLP, c.Activation)
	fmt.Fprintf(t, "image\t%d x %d, patches of %d x %d, %d tokens\n", c.Image, c.Image, c.Patch, c.Patch, c.Tokens())
	if c.Projection > 0 {
		fmt.Fprintf(t, "projection\t%d\n", c.Projection)
	} else {
		fmt.Fprintf(t, "projection\tnone: output projected is not available\n")
	}
	fmt.Fprintf(t, "config from\t%s\n", f.ConfigSource)
	if f.Synthetic != "" {
		fmt.Fprintf(t, "synthetic\t%s: the vectors mean nothing\n", f.Synthetic)
	}
	if f.Digest != "" {
		fmt.Fprintf(t, "digest\t%s\n", f.Digest)
	}
	if len(f.Files) > 0 {
		fmt.Fprintf(t, "files\t%s\n", strings.Join(f.Files, ", "))
	}
	t.Flush()
	fmt.Fprintln(w)

	fmt.Fprint(t, "tensor\ttype\tshape\tbytes\trole\n")
	for _, tensor := range f.Tensors {
		role := strings.Join(tensor.Roles, ", ")
		switch role {
		case "":
			role = "skipped"
		case tensor.Name:
			role = "the same"
		}
		fmt.Fprintf(t, "%s\t%s\t%v\t%d\t%s\n", tensor.Name, tensor.DType, tensor.Shape, tensor.Bytes, role)
	}
	t.Flush()
	_, err := fmt.Fprintf(w, "\n%d tensors, %d bytes used; %d skipped\n", len(f.Tensors), f.Bytes, f.Skipped)
	return err
}
