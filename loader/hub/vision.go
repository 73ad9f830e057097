package hub

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"strings"

	"vith/loader"
)

// vision pulls the vision tower of a file of weights into the folder vision/COMMIT, or one in it where the file is in a
// folder of the repository, with the configurations beside it. The hub's tools look into that folder neither for files
// nor for damage, and remove it with the repository.
func (p *pull) vision(ctx context.Context, weights *remote) (*Pulled, error) {
	if err := p.fetch(ctx, p.configs); err != nil {
		return nil, err
	}
	t, err := p.part(ctx, weights)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(weights.name, ".safetensors") + ".vision.safetensors"
	dst := filepath.Join(p.repository(), "vision", p.id.Revision, filepath.FromSlash(name))
	folder := filepath.Dir(dst)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return nil, err
	}
	for _, config := range p.configs {
		content, err := os.ReadFile(p.blob(config))
		if err != nil {
			return nil, err
		}
		if err := p.replace(filepath.Join(folder, path.Base(config.name)), content); err != nil {
			return nil, err
		}
	}
	if !isFile(dst, t.size()) {
		if err := p.room(t.size() - sizeOf(dst+incomplete)); err != nil {
			return nil, err
		}
	}
	there, err := p.place(ctx, t, dst, p.before+t.size())
	if err != nil {
		return nil, err
	}
	p.files = append(p.files, File{Name: name, Path: dst, Bytes: t.size(), There: there})
	return p.done(folder)
}

// part plans the transfer of the vision tower of a file. Its metadata say what it is a part of.
func (p *pull) part(ctx context.Context, weights *remote) (*transfer, error) {
	t := &transfer{client: p.Client, id: p.id, remote: weights, progress: func(int64) {}}
	first, err := t.start(ctx, min(8, weights.size))
	if err != nil {
		return nil, err
	}
	size, err := loader.HeaderSize(t.name(), first)
	if err != nil {
		return nil, err
	}
	head, err := t.start(ctx, min(size, weights.size))
	if err != nil {
		return nil, err
	}
	part, err := loader.PlanVision(t.name(), head, weights.size, map[string]string{
		"origin":      p.id.String() + "@" + weights.commit + "/" + weights.name,
		"origin_etag": weights.etag,
	})
	if err != nil {
		return nil, err
	}
	t.prefix, t.ranges = part.Header, part.Ranges
	return t, nil
}

// start returns the first n bytes of the remote file. Later requests of the transfer are held to the same ETag.
func (t *transfer) start(ctx context.Context, n int64) ([]byte, error) {
	dir, err := os.MkdirTemp("", "vith-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	t.ranges = [][2]int64{{0, n}}
	path := filepath.Join(dir, "header")
	if err := t.run(ctx, path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}
