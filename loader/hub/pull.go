package hub

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"vith/loader"
)

// A Request names what to pull.
type Request struct {
	ID         loader.HubID
	File       string // of weights, with / between folders; "": what package loader prefers
	VisionOnly bool   // the vision tower of the file and nothing else
}

// A File is one that is in the cache.
type File struct {
	Name  string // in the repository
	Path  string // in the cache
	Bytes int64
	There bool // before the pull
	Sum   bool // its sha256 was checked
}

// A Pulled is a repository in the cache.
type Pulled struct {
	Folder string // with the weights and the configuration
	Commit string
	Files  []File
}

// pickles are what repositories hold in place of safetensors files.
var pickles = []string{"pytorch_model.bin", "open_clip_pytorch_model.bin"}

// Pull brings the weights of a repository and their configuration into the cache. What is there already is not asked for
// again. The branch is moved to the commit once everything is there. Errors about the repository, a file or the
// connection are *loader.Error.
func (c *Client) Pull(ctx context.Context, r Request) (*Pulled, error) {
	p := &pull{Client: c, id: r.ID}
	weights, err := p.find(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.VisionOnly {
		return p.vision(ctx, weights)
	}
	if err := p.fetch(ctx, append(p.configs, weights)); err != nil {
		return nil, err
	}
	if weights.name == loader.IndexName {
		shards, err := p.shards(ctx)
		if err != nil {
			return nil, err
		}
		if err := p.fetch(ctx, shards); err != nil {
			return nil, err
		}
	}
	return p.done(filepath.Join(p.snapshot(), filepath.FromSlash(path.Dir(weights.name))))
}

// A pull is one under way.
type pull struct {
	*Client
	id       loader.HubID // whose Revision is the commit once a file is found
	revision string       // as asked for
	configs  []*remote
	files    []File
	before   int64 // bytes of the files that are through
}

func (p *pull) repository() string { return filepath.Join(p.Cache, p.id.Folder()) }
func (p *pull) snapshot() string   { return filepath.Join(p.repository(), "snapshots", p.id.Revision) }

// find returns the file with the weights, or their index, and notes the configurations beside it.
func (p *pull) find(ctx context.Context, r Request) (*remote, error) {
	p.revision = p.id.Revision
	candidates := loader.WeightNames
	if r.File != "" {
		candidates = []string{r.File}
	}
	var weights *remote
	for _, name := range candidates {
		found, err := p.optional(ctx, p.id, name)
		if err != nil {
			return nil, err
		}
		if found != nil {
			weights, p.id.Revision = found, found.commit
			break
		}
	}
	switch {
	case weights == nil && r.File != "":
		return nil, &loader.Error{File: p.id.String(), Problem: "revision " + p.revision + " has no file " + r.File + ", or there is no such repository",
			Remedy: "see " + p.page() + " for what there is"}
	case weights == nil:
		return nil, p.noWeights(ctx, candidates)
	case r.VisionOnly && weights.name == loader.IndexName:
		return nil, &loader.Error{File: p.id.String(), Problem: "its weights are in several files, of which no part can be pulled", Remedy: "leave out --vision-only"}
	}
	for _, name := range loader.ConfigNames() {
		config, err := p.optional(ctx, p.id, path.Join(path.Dir(weights.name), name))
		if err != nil {
			return nil, err
		}
		if config != nil {
			p.configs = append(p.configs, config)
		}
	}
	return weights, nil
}

func (p *pull) page() string {
	return p.Endpoint.Redacted() + "/" + p.id.String() + "/tree/" + p.id.Revision
}

// noWeights is the error about a repository without weights that can be read.
func (p *pull) noWeights(ctx context.Context, candidates []string) error {
	for _, name := range pickles {
		found, err := p.optional(ctx, p.id, name)
		if err != nil {
			return err
		}
		if found != nil {
			return &loader.Error{File: p.id.String(), Problem: "has its weights only as a pickle, " + name + ", which is never downloaded: reading one runs the code in it",
				Remedy: "convert it with transformers' save_pretrained where you trust it, or look for a revision with safetensors on " + p.page()}
		}
	}
	return &loader.Error{File: p.id.String(), Problem: "revision " + p.revision + " has none of " + strings.Join(candidates, ", ") + ", or there is no such repository",
		Remedy: "see " + p.page() + " for what there is, and name another .safetensors file with --file"}
}

// shards returns the files that the index in the snapshot names.
func (p *pull) shards(ctx context.Context) ([]*remote, error) {
	names, err := loader.Shards(filepath.Join(p.snapshot(), loader.IndexName))
	if err != nil {
		return nil, err
	}
	var list []*remote
	for _, name := range names {
		if path.Ext(name) != ".safetensors" {
			return nil, &loader.Error{File: p.id.String(), Problem: loader.IndexName + " names " + name + ", which is no safetensors file", Remedy: "nothing else is downloaded; see " + p.page()}
		}
		shard, err := p.stat(ctx, p.id, name)
		if err != nil {
			return nil, err
		}
		list = append(list, shard)
	}
	return list, nil
}

// fetch brings files into the snapshot.
func (p *pull) fetch(ctx context.Context, list []*remote) error {
	if err := os.MkdirAll(filepath.Join(p.repository(), "blobs"), 0o777); err != nil {
		return err
	}
	total, missing := p.before, int64(0)
	for _, r := range list {
		total += r.size
		if !isFile(p.blob(r), r.size) {
			missing += r.size - sizeOf(p.blob(r)+incomplete)
		}
	}
	if err := p.room(missing); err != nil {
		return err
	}
	for _, r := range list {
		file, err := p.blobOf(ctx, r, total)
		if err != nil {
			return err
		}
		if file.Path, err = p.link(r); err != nil {
			return err
		}
		p.files = append(p.files, file)
		p.before += r.size
	}
	return nil
}

// incomplete is what the name of a file ends in that is being written.
const incomplete = ".incomplete"

func (p *pull) blob(r *remote) string { return filepath.Join(p.repository(), "blobs", r.etag) }

// blobOf brings the content of a file into blobs; total is for the progress.
func (p *pull) blobOf(ctx context.Context, r *remote, total int64) (File, error) {
	t := &transfer{client: p.Client, id: p.id, remote: r, ranges: [][2]int64{{0, r.size}}}
	there, err := p.place(ctx, t, p.blob(r), total)
	return File{Name: r.name, Bytes: r.size, There: there, Sum: r.sum() != ""}, err
}

// place runs a transfer whose result becomes the file dst, unless that is there.
func (p *pull) place(ctx context.Context, t *transfer, dst string, total int64) (there bool, err error) {
	unlock, err := lock(ctx, filepath.Join(p.Cache, ".locks", p.id.Folder(), filepath.Base(dst)+".lock"), func() {
		p.notify("%s: another process pulls it, waiting for that", t.name())
	})
	if err != nil {
		return false, err
	}
	defer unlock()
	t.progress = func(done int64) {
		if p.Progress != nil {
			p.Progress(p.before+done, total)
		}
	}
	if isFile(dst, t.size()) {
		t.progress(t.size())
		return true, nil
	}
	if err := t.run(ctx, dst+incomplete); err != nil {
		return false, err
	}
	return false, os.Rename(dst+incomplete, dst)
}

// link gives a content its name in the snapshot, and returns the path.
func (p *pull) link(r *remote) (string, error) {
	name := filepath.Join(p.snapshot(), filepath.FromSlash(r.name))
	target, err := filepath.Rel(filepath.Dir(name), p.blob(r))
	if err != nil {
		return "", err
	}
	if old, err := os.Readlink(name); err == nil && old == target {
		return name, nil
	}
	return name, p.appear(name, func(partial string) error { return os.Symlink(target, partial) })
}

// done moves the branch or tag to the commit.
func (p *pull) done(folder string) (*Pulled, error) {
	if p.revision != p.id.Revision {
		if err := p.replace(filepath.Join(p.repository(), "refs", p.revision), []byte(p.id.Revision)); err != nil {
			return nil, err
		}
	}
	return &Pulled{Folder: folder, Commit: p.id.Revision, Files: p.files}, nil
}

// room checks that the cache's disk has so many bytes left.
func (p *pull) room(bytes int64) error {
	free, err := p.free(p.Cache)
	if err != nil || bytes <= free {
		return err
	}
	return &loader.Error{File: p.id.String(), Problem: fmt.Sprintf("%s are needed, the disk of %s has %s left", Size(bytes), p.Cache, Size(free)), Remedy: moreSpace}
}

// replace writes a small file, complete under its name from the start.
func (p *pull) replace(name string, content []byte) error {
	return p.appear(name, func(partial string) error { return os.WriteFile(partial, content, 0o666) })
}

// appear gives what create makes, a file or a link, its name in the repository's folder, over what has the name. It is
// made in a folder of its own there, which pulls in other containers do not have and the hub's tools pass over, rather
// than by os.CreateTemp, whose files only their owner may read.
func (p *pull) appear(name string, create func(partial string) error) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(p.repository(), "partial-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	partial := filepath.Join(dir, filepath.Base(name))
	if err := create(partial); err != nil {
		return err
	}
	return os.Rename(partial, name)
}

func isFile(path string, size int64) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() == size
}

// sizeOf is the size of a file in bytes, 0 if there is none.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
