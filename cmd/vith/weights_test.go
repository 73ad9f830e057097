package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestWeights(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tiny.safetensors")
	create(t, path, []byte("something else")) // is overwritten
	if s := output(t, "weights", "synth", "vit-tiny", "1", path); s != "" {
		t.Errorf("synth says %q", s)
	}
	const want = "9149a6018b152236d1d85f4bd25b77f98e1820be9827e49c67f1439bb10c82a9"
	if got := fmt.Sprintf("%x", sha256.Sum256(readFile(t, path))); got != want {
		t.Errorf("sha256 of vit-tiny/1 is %s, want %s", got, want)
	}

	var found struct {
		Name, Digest, Synthetic string
		Files                   []string
		Config                  map[string]any
		Tensors                 []struct {
			Name, DType string
			Shape       []int
			Bytes       int
			Roles       []string
		}
		Bytes, Skipped int
	}
	if err := json.Unmarshal([]byte(output(t, "weights", "inspect", "--json", "--digest", path)), &found); err != nil {
		t.Fatal(err)
	}
	if found.Name != "vit-tiny" || found.Synthetic != "vit-tiny/1" || !slices.Equal(found.Files, []string{path}) || found.Config["hidden_size"] != 160.0 || found.Skipped != 0 {
		t.Errorf("%+v", found)
	}
	sum := 0
	for _, tensor := range found.Tensors {
		values := 1
		for _, d := range tensor.Shape {
			values *= d
		}
		if tensor.DType != "F32" || tensor.Bytes != 4*values || !slices.Equal(tensor.Roles, []string{tensor.Name}) {
			t.Errorf("%+v", tensor)
		}
		sum += tensor.Bytes
	}
	if sum != found.Bytes || len(found.Tensors) != 40 {
		t.Errorf("%d tensors of %d bytes, summary says %d", len(found.Tensors), sum, found.Bytes)
	}
	if reply := vectors(t, photos+"coffee_120x80.bmp"); reply.Digest != found.Digest {
		t.Errorf("embed says %s, inspect %s", reply.Digest, found.Digest)
	}
	text := output(t, "weights", "inspect", path)
	for _, want := range []string{"visual_projection.weight", "40 tensors", "2 layers of width 160", path} {
		if !strings.Contains(text, want) {
			t.Errorf("inspect does not say %q:\n%s", want, text)
		}
	}
}

// The crop is the reference's, to the bit, in both files and both geometries.
func TestPreprocess(t *testing.T) {
	var manifest struct {
		Images map[string]map[string]any
	}
	data := readFile(t, "../../vit/testdata/images/manifest.json")
	if err := json.Unmarshal(data, &manifest); err != nil {
		t.Fatal(err)
	}
	const name = "chelsea_360x240_exif6.jpg"
	dir := t.TempDir()
	for key, flags := range map[string][]string{
		"hf_crop_sha256":       nil,
		"openclip_crop_sha256": {"--exif", "ignore", "--crop", "round"},
	} {
		out := filepath.Join(dir, key+".npy")
		output(t, append(append([]string{"preprocess"}, flags...), photos+name, out)...)
		shape, pixels := npy(t, readFile(t, out), "|u1")
		if got := fmt.Sprintf("%x", sha256.Sum256(pixels)); !slices.Equal(shape, []int{224, 224, 3}) || got != manifest.Images[name][key] {
			t.Errorf("%s: shape %v, sha256 %s, want %v", key, shape, got, manifest.Images[name][key])
		}
	}

	out := filepath.Join(dir, "crop.png")
	output(t, "preprocess", "--model", tiny, photos+name, out)
	output(t, "preprocess", "--model", tiny, photos+name, out+".npy")
	shape, pixels := npy(t, readFile(t, out+".npy"), "|u1")
	if !slices.Equal(shape, []int{56, 56, 3}) {
		t.Errorf("the crop of vit-tiny has the shape %v", shape)
	}
	m, err := png.Decode(bytes.NewReader(readFile(t, out)))
	if err != nil {
		t.Fatal(err)
	}
	var rgb []byte
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			r, g, b, _ := m.At(x, y).RGBA()
			rgb = append(rgb, byte(r>>8), byte(g>>8), byte(b>>8))
		}
	}
	if !bytes.Equal(rgb, pixels) {
		t.Error("PNG and .npy differ")
	}

	for _, name := range []string{bad + "truncated.png", "no such file.png"} {
		r := vith(t, "preprocess", name, filepath.Join(dir, "none.png"))
		if r.code != 1 || !strings.Contains(r.stderr, name) {
			t.Errorf("%s: exit %d, %q", name, r.code, r.stderr)
		}
	}
	if r := vith(t, "preprocess", photos+name, filepath.Join(dir, "no such folder", "a.png")); r.code != 1 || !strings.Contains(r.stderr, "no such folder") {
		t.Errorf("exit %d, %q", r.code, r.stderr)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 {
		t.Errorf("the folder holds %v, %v; want the four results", entries, err)
	}
}
