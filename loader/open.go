package loader

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vith/vit/tower"
)

// OpenModel opens what a user names: synth:CONFIG/SEED, a path as Open takes it, or ORG/NAME[@REVISION] of the
// Hugging Face hub, if it is in the cache.
func OpenModel(ref string) (*Checkpoint, error) { return sound(openModel(ref)) }

// sound passes on a checkpoint that has no faults.
func sound(c *Checkpoint, err error) (*Checkpoint, error) {
	if err == nil && len(c.faults) > 0 {
		err = c.faults[0]
		c.Close()
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// openModel is OpenModel of a checkpoint that may have faults.
func openModel(ref string) (*Checkpoint, error) {
	if ref == "" {
		return nil, &Error{File: "--model", Problem: "no model is named", Remedy: pullOrSynth}
	}
	if synth, ok := strings.CutPrefix(ref, "synth:"); ok {
		config, seed, err := ParseSynthetic(synth)
		if err != nil {
			return nil, err
		}
		return Synthetic(config, seed)
	}
	_, err := os.Stat(ref)
	id, isID := ParseHubID(ref)
	if !isID || !errors.Is(err, fs.ErrNotExist) {
		return openPath(ref)
	}
	folder, err := id.cached()
	if err != nil {
		return nil, err
	}
	c, err := openPath(folder)
	if err == nil && !isKnown(c.name) {
		c.name = id.Name
	}
	return c, err
}

// Open opens a safetensors file, or a folder with model.safetensors, model.safetensors.index.json and its shards,
// open_clip_model.safetensors, or a single file of another name ending in .safetensors. The configuration is looked
// for beside the weights.
func Open(path string) (*Checkpoint, error) { return sound(openPath(path)) }

func openPath(path string) (*Checkpoint, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &Error{File: path, Problem: "cannot open the weights", Err: cause(err), Remedy: pullOrSynth}
	}
	dir, shards := filepath.Dir(path), []string{path}
	var index map[string]string
	if info.IsDir() {
		dir = path
		if shards, index, err = weightFiles(path); err != nil {
			return nil, err
		}
	}
	var files []file
	for _, shard := range shards {
		data, err := mapFile(shard)
		if err != nil {
			unmap(files)
			return nil, err
		}
		files = append(files, file{shard, data, true})
	}
	var c *Checkpoint
	err = guarded(path, func() error {
		c, err = assemble(path, dir, files, index)
		return err
	})
	if err != nil {
		unmap(files)
		return nil, err
	}
	return c, nil
}

// cause strips the operation and the path, which an Error says itself.
func cause(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// IndexName is the file that names the shards of a checkpoint and their tensors.
const IndexName = "model.safetensors.index.json"

// WeightNames are the files that weights are looked for in, in order of preference.
var WeightNames = []string{"model.safetensors", IndexName, "open_clip_model.safetensors"}

// IsPickle reports whether a file is a Python pickle, by its name. Reading one runs the code in it.
func IsPickle(name string) bool {
	return slices.Contains([]string{".bin", ".pt", ".pth", ".ckpt", ".pkl"}, filepath.Ext(name))
}

// maxIndex bounds the size in bytes of an index.
const maxIndex = 16 << 20

// weightFiles returns the files with the weights in a folder; index, if there is one, is the file's base name by tensor.
func weightFiles(dir string) (shards []string, index map[string]string, err error) {
	for _, name := range WeightNames {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if name == IndexName {
			return shardFiles(dir)
		}
		return []string{path}, nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, &Error{File: dir, Problem: "cannot list the folder", Err: cause(err)}
	}
	var found, other []string
	for _, e := range entries {
		switch name := e.Name(); {
		case filepath.Ext(name) == ".safetensors":
			found = append(found, name)
		case IsPickle(name):
			other = append(other, name)
		}
	}
	switch {
	case len(found) == 1:
		return []string{filepath.Join(dir, found[0])}, nil, nil
	case len(found) > 1:
		return nil, nil, &Error{File: dir, Problem: "several files of weights: " + strings.Join(found, ", "), Remedy: "name one of them"}
	case len(other) > 0:
		return nil, nil, &Error{File: dir, Problem: "no .safetensors file, only " + strings.Join(other, ", "), Remedy: convert}
	}
	return nil, nil, &Error{File: dir, Problem: "no .safetensors file in the folder", Remedy: pullOrSynth}
}

func shardFiles(dir string) ([]string, map[string]string, error) {
	path := filepath.Join(dir, IndexName)
	index, err := readIndex(path)
	if err != nil {
		return nil, nil, err
	}
	names := map[string]bool{}
	for _, tensor := range slices.Sorted(maps.Keys(index)) {
		shard := filepath.Join(dir, index[tensor])
		if _, err := os.Stat(shard); err != nil {
			return nil, nil, &Error{File: path, Tensor: tensor, Problem: "its shard " + index[tensor] + " is missing", Remedy: downloadAgain}
		}
		names[shard] = true
	}
	return slices.Sorted(maps.Keys(names)), index, nil
}

// Shards returns the base names of the files that an index, model.safetensors.index.json, names, in name order.
func Shards(path string) ([]string, error) {
	index, err := readIndex(path)
	if err != nil {
		return nil, err
	}
	return slices.Compact(slices.Sorted(maps.Values(index))), nil
}

// readIndex returns the base name of the file that holds each tensor.
func readIndex(path string) (map[string]string, error) {
	damaged := func(tensor, problem string, err error) error {
		return &Error{File: path, Tensor: tensor, Problem: problem, Err: err, Remedy: downloadAgain}
	}
	data, err := readSmall(path, maxIndex)
	if err != nil {
		return nil, damaged("", "cannot read the index of the shards", cause(err))
	}
	var index struct {
		Shards map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, damaged("", "cannot read the index of the shards", err)
	}
	if len(index.Shards) == 0 {
		return nil, damaged("", "weight_map is empty", nil)
	}
	for _, tensor := range slices.Sorted(maps.Keys(index.Shards)) {
		if name := index.Shards[tensor]; name != filepath.Base(name) || !filepath.IsLocal(name) {
			return nil, damaged(tensor, fmt.Sprintf("shard %q is not the name of a file in the folder", name), nil)
		}
	}
	return index.Shards, nil
}

// assemble makes a checkpoint of whole files. path is what the user named, dir is where a configuration may be.
func assemble(path, dir string, files []file, index map[string]string) (*Checkpoint, error) {
	var list []stored
	metadata := map[string]string{}
	byName := map[string]*stored{}
	for _, f := range files {
		tensors, meta, err := parse(f)
		if err != nil {
			return nil, err
		}
		maps.Copy(metadata, meta)
		list = append(list, tensors...)
	}
	for i := range list {
		t := &list[i]
		if twin := byName[t.name]; twin != nil {
			return nil, &Error{File: t.file, Tensor: t.name, Problem: "is also in " + twin.file, Remedy: "keep one of the files, or download the folder again"}
		}
		byName[t.name] = t
	}
	for _, name := range slices.Sorted(maps.Keys(index)) {
		shard := index[name]
		if t := byName[name]; t == nil || filepath.Base(t.file) != shard {
			return nil, &Error{File: filepath.Join(dir, shard), Tensor: name, Problem: "is not there, though " + IndexName + " says so", Remedy: downloadAgain}
		}
	}
	m, err := findTower(path, byName)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{files: files, synthetic: syntheticRef(metadata)}
	if c.config, c.source, err = findConfig(dir, metadata, m); err != nil {
		return nil, err
	}
	c.weights, c.faults = m.weights(c.config, c.source)
	c.tensors = describe(list, c.weights)
	c.name = defaultName(path, c)
	return c, nil
}

func defaultName(path string, c *Checkpoint) string {
	if name, _, ok := strings.Cut(c.synthetic, "/"); ok {
		return name
	}
	for _, v := range tower.Variants {
		if c.config.Projection == 0 {
			v.Projection = 0
		}
		if v.Config == c.config {
			return v.Name
		}
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return strings.TrimSuffix(filepath.Base(path), ".safetensors")
}

func isKnown(name string) bool {
	_, ok := tower.Lookup(name)
	return ok
}
