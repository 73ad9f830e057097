package main

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func create(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// An embedding is one element of an answer's data.
type embedding struct {
	Index     int
	Image     string
	Shape     []int
	Embedding []float32
	Error     *struct{ Code, Message string }
}

// A reply is what embed --format json writes.
type reply struct {
	Model, Preprocessing, Device, Precision, Output string
	Digest                                          string `json:"model_digest"`
	Dim                                             int
	Normalized, Synthetic                           bool
	Data                                            []embedding
}

func parse(t *testing.T, s string) (r reply) {
	t.Helper()
	if err := json.Unmarshal([]byte(s), &r); err != nil {
		t.Fatalf("%v in %.200s", err, s)
	}
	return r
}

func vectors(t *testing.T, args ...string) reply {
	t.Helper()
	return parse(t, output(t, append([]string{"embed", "--device", "cpu", "--model", tiny}, args...)...))
}

func floats(data []byte) []float32 {
	v := make([]float32, len(data)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return v
}

// same reports whether two vectors have the same bits, where one NaN is as good as another.
func same(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) || x != x && y != y })
}

// npy splits version 1.0 of the format into shape and data.
func npy(t *testing.T, data []byte, descr string) (shape []int, rest []byte) {
	t.Helper()
	if !bytes.HasPrefix(data, []byte("\x93NUMPY\x01\x00")) {
		t.Fatalf("starts with %q", data[:min(10, len(data))])
	}
	end := 10 + int(binary.LittleEndian.Uint16(data[8:]))
	header := string(data[10:end])
	if end%64 != 0 || !strings.Contains(header, "'descr': '"+descr+"'") || !strings.Contains(header, "'fortran_order': False") {
		t.Fatalf("header of %d bytes: %q", end, header)
	}
	_, tuple, _ := strings.Cut(header, "'shape': (")
	tuple, _, _ = strings.Cut(tuple, ")")
	for d := range strings.SplitSeq(tuple, ",") {
		if d = strings.TrimSpace(d); d != "" {
			n, err := strconv.Atoi(d)
			if err != nil {
				t.Fatal(err)
			}
			shape = append(shape, n)
		}
	}
	return shape, data[end:]
}

// Every format gives the same float32 values, one bad image among good ones leaves the others alone, and what is wrong
// is said in its place and on standard error.
func TestEmbedFormats(t *testing.T) {
	images := []string{
		photos + "chelsea_451x300.png", bad + "truncated_50pct.jpg", photos + "coffee_240x160.gif", "no such file.jpg", bad,
		photos + "rocket_640x427_444.jpg", photos + "astronaut_256_alpha.webp", bad + "text.jpg", photos + "coffee_120x80.bmp", photos + "camera_256_la.png",
	}
	codes := map[int]string{1: "truncated_image", 3: "file_not_found", 4: "file_unreadable", 7: "unsupported_image_format"}
	run := func(format string) string {
		args := append([]string{"embed", "--device", "cpu", "--model", tiny, "--batch", "3", "--format", format}, images...)
		r := vith(t, args...)
		if r.code != 1 {
			t.Fatalf("%s: exit %d\n%s", format, r.code, r.stderr)
		}
		for i := range codes {
			if !strings.Contains(r.stderr, "vith: "+images[i]+": ") {
				t.Errorf("%s: standard error does not name %s:\n%s", format, images[i], r.stderr)
			}
		}
		if !strings.HasSuffix(r.stderr, "4 of 10 images failed\n") {
			t.Errorf("%s: standard error ends %q", format, r.stderr)
		}
		return r.stdout
	}
	reply := parse(t, run("json"))
	if reply.Model != "vit-tiny" || reply.Device != "cpu" || reply.Precision != "fp32" || reply.Output != "pooled" || reply.Dim != 160 ||
		reply.Normalized || !reply.Synthetic || len(reply.Digest) != len("sha256:")+64 || reply.Preprocessing == "" || len(reply.Data) != len(images) {
		t.Fatalf("%+v", reply)
	}
	nan := slices.Repeat([]float32{float32(math.NaN())}, 160)
	var all []float32
	for i, e := range reply.Data {
		code := ""
		if e.Error != nil {
			code = e.Error.Code
		}
		if e.Index != i || e.Image != images[i] || code != codes[i] || (code == "") != (len(e.Embedding) == 160) {
			t.Errorf("element %d is %+v, want image %s, code %q", i, e, images[i], codes[i])
		}
		if e.Error != nil {
			e.Embedding = nan
		}
		all = append(all, e.Embedding...)
	}

	lines := strings.Split(strings.TrimSuffix(run("jsonl"), "\n"), "\n")
	if len(lines) != len(images) {
		t.Fatalf("jsonl: %d lines", len(lines))
	}
	for i, line := range lines {
		var e embedding
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Index != i || e.Image != images[i] || !same(e.Embedding, reply.Data[i].Embedding) || (e.Error == nil) != (codes[i] == "") {
			t.Errorf("jsonl: line %d is %.200s", i, line)
		}
	}

	rows, err := csv.NewReader(strings.NewReader(run("csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(rows[0][:4], []string{"index", "image", "error", "0"}) || rows[0][162] != "159" || len(rows) != 1+len(images) {
		t.Fatalf("csv: %d rows under %q", len(rows), rows[0])
	}
	for i, row := range rows[1:] {
		if row[0] != strconv.Itoa(i) || row[1] != images[i] || !strings.HasPrefix(row[2], codes[i]) || (row[2] == "") != (codes[i] == "") {
			t.Errorf("csv: row %d is %q", i, row[:4])
		}
		for j, cell := range row[3:] {
			x, err := strconv.ParseFloat(cell, 32)
			if codes[i] != "" {
				x, err = math.NaN(), nil
				if cell != "" {
					t.Fatalf("csv: row %d of a failed image has %q", i, cell)
				}
			}
			if err != nil || !same([]float32{float32(x)}, all[160*i+j:][:1]) {
				t.Fatalf("csv: row %d, value %d is %q, want %v", i, j, cell, all[160*i+j])
			}
		}
	}

	if raw := run("raw"); !same(floats([]byte(raw)), all) {
		t.Errorf("raw: %d bytes differ from json", len(raw))
	}
	shape, data := npy(t, []byte(run("npy")), "<f4")
	if !slices.Equal(shape, []int{len(images), 160}) || !same(floats(data), all) {
		t.Errorf("npy: shape %v, %d bytes", shape, len(data))
	}
	text := run("text")
	for i, name := range images {
		if !strings.Contains(text, name) || codes[i] == "" && !strings.Contains(text, fmt.Sprintf("%.5f", all[160*i])) {
			t.Errorf("text: nothing of %s in\n%s", name, text)
		}
	}
}

// The vectors are those of the reference, within what fp32 may lose.
func TestEmbedReference(t *testing.T) {
	var reference struct {
		Images map[string]struct{ Pooled, Projected []float64 }
	}
	if err := json.Unmarshal(readFile(t, "../../vit/testdata/embeddings/vit-tiny-1.json"), &reference); err != nil {
		t.Fatal(err)
	}
	names := []string{"chelsea_224x224_420.jpg", "coffee_301x201_lossy_odd.webp", "coffee_400x267_cmyk.jpg", "chelsea_360x240_exif6.jpg"}
	var paths []string
	for _, name := range names {
		paths = append(paths, photos+name)
	}
	pooled, projected := vectors(t, paths...), vectors(t, append([]string{"--output", "projected"}, paths...)...)
	check := func(name string, got []float32, want []float64) {
		if len(got) != len(want) {
			t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
		}
		diff, length := 0.0, 0.0
		for i := range want {
			d := float64(got[i]) - want[i]
			diff, length = diff+d*d, length+want[i]*want[i]
		}
		if relative := math.Sqrt(diff / length); !(relative <= 1e-5) {
			t.Errorf("%s: relative error %g, want at most 1e-5", name, relative)
		}
	}
	for i, name := range names {
		want, ok := reference.Images[name]
		if !ok {
			t.Fatalf("no reference of %s", name)
		}
		check(name+" pooled", pooled.Data[i].Embedding, want.Pooled)
		check(name+" projected", projected.Data[i].Embedding, want.Projected)
	}
}

// Batch and threads change nothing; other options change what they should.
func TestEmbedOptions(t *testing.T) {
	images := []string{photos + "chelsea_360x240_exif6.jpg", photos + "coffee_300x203_420.jpg", photos + "rocket_640x427_444.jpg"}
	with := func(args ...string) reply { return vectors(t, append(args, images...)...) }
	plain := with()
	equal := func(a, b reply) bool {
		return slices.EqualFunc(a.Data, b.Data, func(a, b embedding) bool { return same(a.Embedding, b.Embedding) })
	}
	for _, args := range [][]string{{"--batch", "1"}, {"--batch", "2"}, {"--threads", "1"}, {"--threads", "5"}, {"--deterministic"}, {"--precision", "fp32"}, {"--gelu", "exact"}, {"--activation", "gelu"}} {
		if !equal(with(args...), plain) {
			t.Errorf("%q changes the vectors", args)
		}
	}
	for _, args := range [][]string{{"--activation", "quick_gelu"}, {"--exif", "ignore"}, {"--crop", "round"}, {"--model", "synth:vit-tiny/2"}} {
		other := with(args...)
		if equal(other, plain) {
			t.Errorf("%q does not change the vectors", args)
		}
		if pixels := args[0] == "--exif" || args[0] == "--crop"; (other.Preprocessing != plain.Preprocessing) != pixels {
			t.Errorf("%q: preprocessing %s", args, other.Preprocessing)
		}
		if weights := args[0] == "--model"; (other.Digest != plain.Digest) != weights {
			t.Errorf("%q: digest %s", args, other.Digest)
		}
	}

	unit := with("--normalize")
	if !unit.Normalized {
		t.Error("--normalize is not said in the answer")
	}
	for i, e := range unit.Data {
		length := norm(plain.Data[i].Embedding)
		for j, x := range e.Embedding {
			if want := float64(plain.Data[i].Embedding[j]) / length; math.Abs(float64(x)-want) > 1e-7 {
				t.Fatalf("normalised value %d of image %d is %v, want %v", j, i, x, want)
			}
		}
	}
}

func TestEmbedPenultimate(t *testing.T) {
	cat := photos + "chelsea_451x300.png"
	reply := vectors(t, "--output", "penultimate", cat)
	e := reply.Data[0]
	if reply.Dim != 160 || !slices.Equal(e.Shape, []int{17, 160}) || len(e.Embedding) != 17*160 {
		t.Fatalf("dim %d, shape %v, %d values", reply.Dim, e.Shape, len(e.Embedding))
	}
	shape, data := npy(t, []byte(output(t, "embed", "--device", "cpu", "--model", tiny, "--output", "penultimate", "--format", "npy", cat, cat)), "<f4")
	if !slices.Equal(shape, []int{2, 17, 160}) || !same(floats(data), slices.Repeat(e.Embedding, 2)) {
		t.Errorf("npy: shape %v, %d bytes", shape, len(data))
	}
}

func TestEmbedStdin(t *testing.T) {
	cat := photos + "chelsea_451x300.png"
	cmd := command(t, nil, "embed", "--device", "cpu", "--model", tiny, "--format", "raw", cat, "-")
	cmd.Stdin = bytes.NewReader(readFile(t, cat))
	r := finish(t, cmd)
	v := floats([]byte(r.stdout))
	if r.code != 0 || len(v) != 320 || !same(v[:160], v[160:]) {
		t.Errorf("exit %d, %d values\n%s", r.code, len(v), r.stderr)
	}
}

// The flag wins over the environment, which wins over the default; an empty variable counts as none.
func TestEnvironment(t *testing.T) {
	cat := photos + "chelsea_451x300.png"
	for _, test := range []struct {
		env  []string
		args []string
		want string
	}{
		{nil, nil, "pooled"},
		{[]string{"VITH_OUTPUT=projected"}, nil, "projected"},
		{[]string{"VITH_OUTPUT=projected"}, []string{"--output", "penultimate"}, "penultimate"},
		{[]string{"VITH_OUTPUT="}, nil, "pooled"},
	} {
		env := append([]string{"VITH_MODEL=" + tiny, "VITH_DEVICE=cpu"}, test.env...)
		r := finish(t, command(t, env, append(append([]string{"embed"}, test.args...), cat)...))
		if r.code != 0 || parse(t, r.stdout).Output != test.want {
			t.Errorf("%q vith embed %q: exit %d, output %.300s, want %s\n%s", test.env, test.args, r.code, r.stdout, test.want, r.stderr)
		}
	}
	r := finish(t, command(t, []string{"VITH_NORMALIZE=true", "VITH_MODEL=" + tiny}, "embed", "--normalize=false", cat))
	if parse(t, r.stdout).Normalized {
		t.Error("--normalize=false does not win over VITH_NORMALIZE")
	}
	if strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "level=WARN") {
		t.Errorf("auto settles for the CPU with %q, want one warning", r.stderr)
	}
	r = finish(t, command(t, []string{"VITH_LOG_LEVEL=error"}, "embed", "--model", tiny, cat))
	if r.stderr != "" {
		t.Errorf("VITH_LOG_LEVEL=error: %q", r.stderr)
	}
}

// A checkpoint on disk gives the vectors of the one in memory.
func TestEmbedFile(t *testing.T) {
	cat := photos + "chelsea_451x300.png"
	path := filepath.Join(t.TempDir(), "tiny.safetensors")
	output(t, "weights", "synth", "vit-tiny", "1", path)
	a, b := vectors(t, cat), vectors(t, "--model", path, cat)
	if !same(a.Data[0].Embedding, b.Data[0].Embedding) || a.Digest != b.Digest || !b.Synthetic {
		t.Errorf("file: digest %s, synthetic %v; memory: digest %s", b.Digest, b.Synthetic, a.Digest)
	}
}
