package main

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"vith/loader"
	"vith/loader/hub"
)

// defaultID is the repository that pull takes when none is named.
const defaultID = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"

func pullCommand() *cli.Command {
	var revision, file string
	var visionOnly bool
	return &cli.Command{
		Name:      "pull",
		Usage:     "download a checkpoint from the Hugging Face hub",
		ArgsUsage: "[ID]",
		Description: `Downloads weights and configuration into the cache of the hub's own tools, which find them
there as vith finds theirs; then ID is a model: vith serve --model ID. Without ID it is
` + defaultID + `.

Of a repository it takes model.safetensors or its shards, else open_clip_model.safetensors;
pickles (.bin, .pt) never. An interrupted download goes on where it stopped, and each file
is checked against the sha256 that the hub states. --vision-only fetches the vision tower's
bytes alone, which is less (2.5 of 3.9 GB), but the hub has no checksum for a part.

The environment is that of the hub's tools: HF_HOME and HF_HUB_CACHE say where the cache is,
HF_TOKEN (or a login of theirs) opens private and gated repositories, HF_ENDPOINT names a
mirror, HTTPS_PROXY a proxy.

Examples:
  vith weights pull
  vith weights pull --vision-only
  HF_HUB_CACHE=/models vith weights pull openai/clip-vit-large-patch14`,
		Flags: []cli.Flag{
			newFlag(&revision, "revision", "", "`R` branch, tag or commit (default main)", text),
			newFlag(&file, "file", "", "`NAME` the safetensors file to take, where it is not the usual one", text),
			newSwitch(&visionOnly, "vision-only", "only the vision tower of the file; cannot be checked against a sha256"),
		},
		Action: func(c *cli.Context) error {
			args, err := arguments(c, 0, 1)
			if err != nil {
				return err
			}
			r := hub.Request{File: file, VisionOnly: visionOnly}
			if r.ID, err = pullID(c, append(args, defaultID)[0], revision); err != nil {
				return err
			}
			switch {
			case file == "":
			case loader.IsPickle(file):
				return usagef(c, "--file %s: this is a pickle, and reading one runs the code in it: name a .safetensors file", file)
			case path.Ext(file) != ".safetensors" || !filepath.IsLocal(file) || file != path.Clean(file):
				return usagef(c, "--file %s: must be a .safetensors file of the repository", file)
			}
			client, err := hub.FromEnvironment()
			if err != nil {
				return usagef(c, "%w", err)
			}
			bar := newBar("pulling "+r.ID.Name, true)
			defer bar.clear()
			client.Progress = bar.set
			client.Notify = func(text string) {
				bar.clear()
				fmt.Fprintf(os.Stderr, "vith: %s\n", text)
			}
			pulled, err := client.Pull(c.Context, r)
			if err != nil {
				return err
			}
			bar.clear()
			return printPulled(c.App.Writer, pulled, r)
		},
	}
}

// pullID reads what to pull. The revision may stand in either place.
func pullID(c *cli.Context, ref, revision string) (loader.HubID, error) {
	id, ok := loader.ParseHubID(ref)
	if !ok {
		return id, usagef(c, "%q is not the id of a repository, such as %s", ref, defaultID)
	}
	if revision == "" {
		return id, nil
	}
	with, ok := loader.ParseHubID(id.String() + "@" + revision)
	switch {
	case !ok:
		return id, usagef(c, "--revision %s is not a branch, tag or commit", revision)
	case ref != id.String() && with != id:
		return id, usagef(c, "%s and --revision %s name different revisions", ref, revision)
	}
	return with, nil
}

// printPulled says what is in the cache now, and how to name it.
func printPulled(w io.Writer, p *hub.Pulled, r hub.Request) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, f := range p.Files {
		how := "downloaded"
		switch {
		case f.There:
			how = "was there"
		case f.Sum:
			how += ", sha256 checked"
		case path.Ext(f.Name) == ".safetensors":
			how += ", lengths checked: the hub has no sha256 of it"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.Name, hub.Size(f.Bytes), how)
	}
	t.Flush()
	model := r.ID.String()
	if r.ID.Revision != loader.DefaultRevision {
		model += "@" + r.ID.Revision
	}
	if r.File != "" { // which the folder may hold others beside
		model = p.Files[len(p.Files)-1].Path
	}
	_, err := fmt.Fprintf(w, "in %s\n\nuse it: vith serve --model %s\n", p.Folder, model)
	return err
}
