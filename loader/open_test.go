package loader

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenModel(t *testing.T) {
	f := func(ref, name, synthetic string) {
		t.Helper()
		c, err := OpenModel(ref)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if got, _ := c.Synthetic(); got != synthetic || c.Name() != name {
			t.Errorf("%s: name %q, synthetic %q; want %q, %q", ref, c.Name(), got, name, synthetic)
		}
	}
	f("synth:vit-tiny/18446744073709551615", "vit-tiny", "vit-tiny/18446744073709551615")
	f(saved(t, "vit-tiny-b", 5), "vit-tiny-b", "vit-tiny-b/5")
	c := synth(t, "vit-tiny", 1)
	if cfg, source := c.Config(); source != "synth:vit-tiny/1" || cfg.Width != 160 || len(c.Files()) != 0 {
		t.Errorf("config from %q, files %v", source, c.Files())
	}

	// The name of a tower that is not known is the folder's, or the file's in a folder.
	dir := filepath.Join(t.TempDir(), "my-tower")
	write(t, dir, "weights.safetensors", string(encode(t, stateDict(t, "vit-tiny", 1), "", 0)),
		"config.json", `{"hidden_size":160,"intermediate_size":640,"num_hidden_layers":2,"num_attention_heads":1,"image_size":56,"patch_size":14,"projection_dim":96}`)
	f(dir, "my-tower", "")
	f(dir+"/", "my-tower", "")
	f(filepath.Join(dir, "weights.safetensors"), "weights", "")
	t.Chdir(dir)
	f(".", "my-tower", "")

	bad := func(ref, file, want string) {
		t.Helper()
		_, err := OpenModel(ref)
		refused(t, err, file, "", want)
	}
	bad("", "--model", "no model is named; name a .safetensors file or a folder with one, pull one with `vith weights pull`, or try `--model synth:vit-h-14/1`")
	bad("synth:vit-tiny", "synth:vit-tiny", "is not synth:CONFIG/SEED")
	bad("synth:vit-tiny/-1", "synth:vit-tiny/-1", "is not synth:CONFIG/SEED")
	bad("synth:vit-tiny/18446744073709551616", "synth:vit-tiny/18446744073709551616", "is not synth:CONFIG/SEED")
	bad("synth:vit-gigantic/1", "synth:vit-gigantic", "no such tower; known are ")
	bad("none.safetensors", "none.safetensors", "no such file or directory")
	bad("../a/b", "../a/b", "no such file or directory")
}

func TestHub(t *testing.T) {
	for _, v := range []string{"HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"} {
		t.Setenv(v, "")
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Chdir(home)
	if got, want := HubCache(), filepath.Join(home, ".cache/huggingface/hub"); got != want {
		t.Errorf("HubCache() = %s, want %s", got, want)
	}
	t.Setenv("XDG_CACHE_HOME", "/xdg")
	if got := HubCache(); got != "/xdg/huggingface/hub" {
		t.Errorf("HubCache() = %s", got)
	}
	t.Setenv("HF_HOME", "/hf")
	if got := HubCache(); got != "/hf/hub" {
		t.Errorf("HubCache() = %s", got)
	}
	cache := filepath.Join(home, "cache")
	t.Setenv("HF_HUB_CACHE", cache)

	const commit = "1c2b8495b28150b8a4922ee1c8edee224c284c0c"
	content := encode(t, stateDict(t, "vit-tiny", 1), "", 0)
	repository := filepath.Join(cache, "models--org--a.tower_1")
	write(t, repository, "refs/main", commit, "refs/pr/2", "0123\n", "blobs/abcd", string(content),
		"snapshots/"+commit+"/config.json", `{"hidden_size":160,"intermediate_size":640,"num_hidden_layers":2,"num_attention_heads":1,"image_size":56,"patch_size":14,"projection_dim":96}`,
		"snapshots/0123/x.safetensors", string(encode(t, stateDict(t, "vit-tiny", 2), "", 0)),
		"refs/escape", "../../..", "refs/empty", "")
	if err := os.Symlink("../../blobs/abcd", filepath.Join(repository, "snapshots", commit, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	f := func(ref, name string, seed uint64) {
		t.Helper()
		c, err := OpenModel(ref)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if got, want := digest(t, c), digest(t, synth(t, "vit-tiny", seed)); got != want || c.Name() != name {
			t.Errorf("%s: name %q, digest %s; want %q, %s", ref, c.Name(), got, name, want)
		}
	}
	f("org/a.tower_1", "a.tower_1", 1)
	f("org/a.tower_1@main", "a.tower_1", 1)
	f("org/a.tower_1@"+commit, "a.tower_1", 1)
	f("org/a.tower_1@pr/2", "vit-tiny", 2)

	bad := func(ref, file, want string) {
		t.Helper()
		_, err := OpenModel(ref)
		refused(t, err, file, "", want)
		if errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v counts as a missing file", err)
		}
	}
	bad("org/other", "org/other", "no revision main in the hub cache "+cache+"; run `vith weights pull org/other`")
	bad("org/a.tower_1@v2", "org/a.tower_1", "no revision v2 in the hub cache "+cache+"; run `vith weights pull --revision v2 org/a.tower_1`")
	bad("org/a.tower_1@escape", "org/a.tower_1", "no revision escape")
	bad("org/a.tower_1@empty", "org/a.tower_1", "no revision empty")

	// A folder of that name comes first.
	write(t, home, "org/a.tower_1/x.safetensors", string(encode(t, stateDict(t, "vit-tiny", 3), "", 0)))
	f("org/a.tower_1", "vit-tiny", 3)
	if _, err := OpenModel("org/a.tower_1@../../x"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a revision with ..: %v", err)
	}
}
