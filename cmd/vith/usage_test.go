package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// The exit code and the words of a message that help: the flag, the value, what would do.
func TestErrors(t *testing.T) {
	cat := photos + "chelsea_224x224_420.jpg"
	embed := func(args ...string) []string {
		return append([]string{"embed", "--device", "cpu", "--model", tiny}, args...)
	}
	for _, test := range []struct {
		args []string
		env  string
		code int
		want []string
	}{
		{args: []string{"nosuch"}, code: 2, want: []string{`"nosuch"`, "vith --help"}},
		{args: []string{"weights", "nosuch"}, code: 2, want: []string{`"nosuch"`, "vith weights --help"}},
		{args: []string{"help", "nosuch"}, code: 2, want: []string{"nosuch"}},
		{args: []string{"embed"}, code: 2, want: []string{"too few arguments", "IMAGE..."}},
		{args: embed("--nosuch", cat), code: 2, want: []string{"-nosuch", "vith embed --help"}},
		{args: embed(cat, "--format", "csv"), code: 2, want: []string{"--format", cat, "move it before"}},
		{args: embed(cat, "-x"), code: 2, want: []string{"-x", "move it before"}},
		{args: embed("--format", "xml", cat), code: 2, want: []string{"-format", `"xml"`, "json, jsonl, csv, npy, raw, text"}},
		{args: embed("--batch", "0", cat), code: 2, want: []string{"-batch", `"0"`, "1 to 1024"}},
		{args: embed("--batch", "eight", cat), code: 2, want: []string{"-batch", `"eight"`}},
		{args: embed("--normalize=maybe", cat), code: 2, want: []string{"-normalize", `"maybe"`}},
		{args: embed("--exif", "drop", cat), code: 2, want: []string{"-exif", `"drop"`, "apply, ignore"}},
		{args: embed("--output", "cls", cat), code: 2, want: []string{"-output", `"cls"`, "pooled, projected, penultimate"}},
		{args: embed("--output", "penultimate", "--normalize", cat), code: 2, want: []string{"--normalize", "penultimate"}},
		{args: embed("-", cat, "-"), code: 2, want: []string{"standard input"}},
		{args: embed(cat), env: "VITH_FORMAT=xml", code: 2, want: []string{"VITH_FORMAT", `"xml"`, "jsonl"}},
		{args: embed(cat), env: "VITH_CPU=sse", code: 2, want: []string{"VITH_CPU", "sse", "avx2", "generic"}},
		{args: embed("--device", "tpu", cat), code: 2, want: []string{"--device", "tpu", "cuda:0,2"}},
		{args: embed("--device", "cuda:x", cat), code: 2, want: []string{"cuda:x"}},
		{args: embed("--precision", "fp32", "--gelu", "tanh", cat), code: 2, want: []string{"--gelu tanh", "exact"}},
		{args: embed("--gelu", "tanh", cat), code: 3, want: []string{"--gelu tanh", "exact"}},
		{args: embed("--precision", "fp64", cat), code: 2, want: []string{"fp64", "fp32", "bf16"}},
		{args: embed("--precision", "fp16", cat), code: 3, want: []string{"fp16", "fp32"}},
		{args: embed("--device", "cuda", cat), code: 3, want: []string{"--device cuda:", "--device cpu does without"}},
		{args: embed("--device", "cuda:0,2", cat), code: 3, want: []string{"--device cpu does without"}},
		{args: embed("--device", "GPU-8f1d2c3a-0000", cat), code: 3, want: []string{"--device cpu does without"}},
		{args: embed("--device", "emu:sm_70", cat), code: 3, want: []string{"--device emu:sm_70", "sm_75"}},
		{args: []string{"embed", cat}, code: 3, want: []string{"no model is named", "vith weights pull", "synth:"}},
		{args: []string{"embed", "--model", "no/model", cat}, code: 3, want: []string{"no/model"}},
		{args: []string{"embed", "--model", "none.safetensors", cat}, code: 3, want: []string{"none.safetensors"}},
		{args: []string{"embed", "--model", "synth:vit-huge/1", cat}, code: 3, want: []string{"vit-huge"}},
		{args: []string{"preprocess", cat}, code: 2, want: []string{"too few arguments", "OUT.png"}},
		{args: []string{"preprocess", cat, "a.png", "b.png"}, code: 2, want: []string{"too many arguments", "b.png"}},
		{args: []string{"preprocess", cat, "a.jpg"}, code: 2, want: []string{"a.jpg", ".npy"}},
		{args: []string{"preprocess", "--model", "none.safetensors", cat, "a.png"}, code: 3, want: []string{"none.safetensors"}},
		{args: []string{"weights", "synth", "vit-huge", "1", "f"}, code: 2, want: []string{"vit-huge", "vit-h-14"}},
		{args: []string{"weights", "synth", "vit-tiny", "-1", "f"}, code: 2, want: []string{"-1"}},
		{args: []string{"weights", "synth", "vit-tiny", "one", "f"}, code: 2, want: []string{`"one"`}},
		{args: []string{"weights", "inspect", "none.safetensors"}, code: 1, want: []string{"none.safetensors"}},
		{args: []string{"devices", "all"}, code: 2, want: []string{"too many arguments"}},
		{args: []string{"serve", "--model", tiny, "now"}, code: 2, want: []string{"too many arguments"}},
		{args: []string{"serve", "--model", tiny, "--max-body-size", "64X"}, code: 2, want: []string{"-max-body-size", `"64X"`, "64MiB"}},
		{args: []string{"serve", "--model", tiny, "--request-timeout", "0s"}, code: 2, want: []string{"-request-timeout", "30s"}},
		{args: []string{"serve", "--model", tiny, "--callbacks", "public"}, code: 3, want: []string{"--callbacks is not available"}},
		{args: []string{"serve", "--model", tiny, "--job-ttl", "1h"}, code: 3, want: []string{"--job-ttl is not available"}},
		{args: []string{"bench", "http", "--url", "http://localhost:1", "--model", tiny}, code: 2, want: []string{"--url", "--model"}},
		{args: []string{"bench", "http", "--engine", "free", "--bad", "0.5"}, code: 2, want: []string{"--engine free", "--bad"}},
		{args: []string{"bench", "http", "--engine", "none"}, code: 2, want: []string{"--engine none", "--accept raw"}},
		{args: []string{"bench", "http", "--send", "raw", "--images", "2"}, code: 2, want: []string{"--send raw", "multipart"}},
		{args: []string{"bench", "http", "--rate", "50%,100"}, code: 2, want: []string{"-rate", `"50%,100"`, "50%,200%"}},
		{args: []string{"bench", "http", "--url", "http://127.0.0.1:1"}, code: 1, want: []string{"http://127.0.0.1:1", "refused"}},
		{args: []string{"bench", "http"}, code: 3, want: []string{"no model is named"}},
		{args: []string{"serve", "--model", tiny, "--pprof", ":6060"}, code: 2, want: []string{"-pprof", `":6060"`, "127.0.0.1:6060"}},
		{args: []string{"serve", "--model", tiny, "--pprof", "0.0.0.0:6060"}, code: 2, want: []string{"-pprof", "this machine alone"}},
		{args: []string{"serve", "--model", tiny, "--pprof", "vith.example:6060"}, code: 2, want: []string{"-pprof"}},
		{args: []string{"stop", "--addr", "7860"}, code: 2, want: []string{"--addr 7860", ":PORT"}},
		{args: []string{"bulk", "--in", "photos"}, code: 3, want: []string{"bulk", "not available"}},
		{args: []string{"weights", "verify"}, code: 2, want: []string{"too few arguments", "FILE|FOLDER"}},
		{args: []string{"weights", "verify", "--reference", "x.json", tiny}, code: 2, want: []string{"--reference and --images go together"}},
		{args: []string{"weights", "verify", "--reference", "none.json", "--images", photos, tiny}, code: 1, want: []string{"none.json"}},
		{args: []string{"weights", "verify", "none.safetensors"}, code: 1, want: []string{"none.safetensors"}},
		{args: []string{"weights", "pull", "tower"}, code: 2, want: []string{`"tower"`, "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"}},
		{args: []string{"weights", "pull", "a/b", "c/d"}, code: 2, want: []string{"too many arguments", "c/d"}},
		{args: []string{"weights", "pull", "--file", "pytorch_model.bin", "a/b"}, code: 2, want: []string{"pytorch_model.bin", "pickle"}},
		{args: []string{"weights", "pull", "--file", "../x.safetensors", "a/b"}, code: 2, want: []string{"../x.safetensors"}},
		{args: []string{"weights", "pull", "--revision", "../x", "a/b"}, code: 2, want: []string{"--revision ../x"}},
		{args: []string{"weights", "pull", "--revision", "v2", "a/b@v1"}, code: 2, want: []string{"a/b@v1", "v2"}},
		{args: []string{"weights", "pull", "a/b"}, env: "HF_ENDPOINT=here", code: 2, want: []string{"HF_ENDPOINT", "https://huggingface.co"}},
	} {
		var env []string
		if test.env != "" {
			env = []string{test.env}
		}
		r := finish(t, command(t, env, test.args...))
		if r.code != test.code || r.stdout != "" {
			t.Errorf("%s vith %q: exit %d, standard output %q, want exit %d\n%s", test.env, test.args, r.code, r.stdout, test.code, r.stderr)
		}
		for _, want := range test.want {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("%s vith %q: %q does not say %q", test.env, test.args, r.stderr, want)
			}
		}
	}
}

func TestUnbuiltCommands(t *testing.T) {
	for _, name := range []string{"bulk", "bench kernels", "bench quality", "bench compare", "tune", "top", "doctor"} {
		r := vith(t, strings.Fields(name)...)
		if r.code != 3 || !strings.Contains(r.stderr, name+" is not available in this version") {
			t.Errorf("vith %s: exit %d, %q", name, r.code, r.stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	var v struct{ Version, Commit, Go *string }
	if err := json.Unmarshal([]byte(output(t, "--version", "--json")), &v); err != nil {
		t.Fatal(err)
	}
	if v.Version == nil || v.Commit == nil || v.Go == nil {
		t.Fatalf("a key is missing: %+v", v)
	}
	if text := output(t, "--version"); !strings.HasPrefix(text, "vith "+*v.Version) || !strings.Contains(text, *v.Go) {
		t.Errorf("%q does not say %s and %s", text, *v.Version, *v.Go)
	}
}

func TestDevices(t *testing.T) {
	var found struct {
		Auto    string
		Devices []struct {
			ID, Tier string
			Tiers    []string
			Threads  int
		}
	}
	r := finish(t, command(t, []string{"VITH_CPU=generic"}, "devices", "--json"))
	if err := json.Unmarshal([]byte(r.stdout), &found); err != nil || r.code != 0 {
		t.Fatalf("exit %d, %q: %v", r.code, r.stderr, err)
	}
	if d := found.Devices; found.Auto != "cpu" || len(d) != 1 || d[0].ID != "cpu" || d[0].Tier != "generic" || d[0].Threads < 1 {
		t.Errorf("%+v", found)
	}
	if text := output(t, "devices"); !strings.Contains(text, "generic") || !strings.Contains(text, "GPUs            none: ") {
		t.Errorf("%q", text)
	}
}

// Every flag of every command can be set in the environment, and every help text fits a terminal.
func TestHelp(t *testing.T) {
	app := newApp()
	var check func(path []string, commands []*cli.Command)
	check = func(path []string, commands []*cli.Command) {
		for _, c := range commands {
			path := append(path[:len(path):len(path)], c.Name)
			for _, f := range c.Flags {
				d := f.(cli.DocGenerationFlag)
				if env := d.GetEnvVars(); len(env) == 0 || env[0] != env0(f.Names()[0]) {
					t.Errorf("vith %q: flag %s has the variables %q", path, f.Names(), env)
				}
			}
			var help bytes.Buffer
			app := newApp()
			app.Writer = &help
			if err := app.Run(append(append([]string{"vith"}, path...), "--help")); err != nil && c.Category == "" {
				t.Errorf("vith %q --help: %v", path, err)
			}
			if text := help.String(); c.Category == "" && !strings.Contains(text, strings.Join(path, " ")+": "+c.Usage) {
				t.Errorf("vith %q --help: %q", path, text)
			}
			for line := range strings.Lines(help.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
					t.Errorf("vith %q --help: a line has %d columns: %s", path, n, line)
				}
			}
			check(path, c.Subcommands)
		}
	}
	check(nil, app.Commands)

	// The two ways to ask for it agree.
	if a, b := output(t, "help", "embed"), output(t, "embed", "--help"); a != b {
		t.Errorf("help embed and embed --help differ:\n%s\n%s", a, b)
	}
	if a, b := output(t), output(t, "--help"); a != b {
		t.Errorf("vith and vith --help differ:\n%s\n%s", a, b)
	}
}

// env0 spells the rule once more: VITH_MAX_BATCH for max-batch.
func env0(flag string) string {
	s := []byte("VITH_")
	for _, c := range []byte(flag) {
		if c == '-' {
			s = append(s, '_')
		} else {
			s = append(s, c-'a'+'A')
		}
	}
	return string(s)
}

func TestSize(t *testing.T) {
	for s, want := range map[string]int{
		"1": 1, "67108864": 64 << 20, "64MiB": 64 << 20, "64MB": 64e6, "64 MiB": 64 << 20, "3kB": 3000, "3KB": 3000, "3KiB": 3 << 10, "2GiB": 2 << 30, "7B": 7,
	} {
		if n, err := size(s); err != nil || n != want {
			t.Errorf("size(%q) = %d, %v, want %d", s, n, err, want)
		}
	}
	for _, s := range []string{"", "0", "-1", "64M", "64X", "MiB", "1.5GiB", "9223372036854775807KiB", "99999999999999999999"} {
		if n, err := size(s); err == nil {
			t.Errorf("size(%q) = %d, want an error", s, n)
		}
	}
}

// Files may be called as commands and flags are.
func TestArguments(t *testing.T) {
	dir := t.TempDir()
	cat := readFile(t, photos+"chelsea_224x224_420.jpg")
	names := []string{"help", "h", "model", "-x.jpg", "--"}
	for _, name := range names {
		create(t, filepath.Join(dir, name), cat)
	}
	for _, args := range [][]string{{"help"}, {"h"}, {"model"}, {"--", "-x.jpg"}, {"help", "--", "-x.jpg"}, {"--", "help", "--"}, {"--", "--"}} {
		cmd := command(t, nil, append([]string{"embed", "--device", "cpu", "--model", tiny, "--format", "jsonl"}, args...)...)
		cmd.Dir = dir
		r := finish(t, cmd)
		want := len(args)
		if args[0] == "--" || len(args) == 3 {
			want--
		}
		if got := strings.Count(r.stdout, `"embedding":`); r.code != 0 || got != want {
			t.Errorf("vith embed %q: exit %d, %d embeddings, want %d\n%s", args, r.code, got, want, r.stderr)
		}
	}
}
