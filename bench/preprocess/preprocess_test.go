package preprocess

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"image"
	stdjpeg "image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"vith/bench/machine"
	"vith/vit/preprocess/simd"
)

// small are images that take no time.
func small(t *testing.T) []Image {
	t.Helper()
	photo, err := stdjpeg.Decode(bytes.NewReader(coffee))
	if err != nil {
		t.Fatal(err)
	}
	m := grainy(photo, image.Pt(61, 47))
	var j, p bytes.Buffer
	if err := errors.Join(stdjpeg.Encode(&j, m, nil), png.Encode(&p, m)); err != nil {
		t.Fatal(err)
	}
	return []Image{{"one", formatJPEG, j.Bytes()}, {"two", formatPNG, p.Bytes()}}
}

// script writes an executable that stands for a peer.
func script(t *testing.T, name, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

var noPeers = Peers{TJBench: None, Jpegtran: None, Python: None}

func TestRun(t *testing.T) {
	python := `case "$2" in *version*) echo 11.2 3.1;; *) echo '{"decode": 0.002, "crop": 0.004}';; esac`
	r, err := Run(context.Background(), Options{
		Size: 9, Duration: time.Millisecond, Images: small(t),
		Peers: Peers{
			TJBench: script(t, "tjbench", "echo 'Decompress    --> Frame rate:         1890.71 fps'\n"),
			Python:  script(t, "python", python),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"libjpeg-turbo of unknown version", "Pillow 11.2 with libjpeg-turbo 3.1"}; !reflect.DeepEqual(r.Peers, want) {
		t.Errorf("peers %q, want %q", r.Peers, want)
	}
	var jpegs, pngs []string
	for _, tier := range simd.Tiers() {
		jpegs = append(jpegs, crop(tier.Name), decode(tier.Name))
		pngs = append(pngs, crop(tier.Name))
	}
	for i, want := range [][]string{
		append(jpegs, StandardLibrary, TurboDecode, PillowDecode, PillowCrop),
		append(pngs, StandardLibrary, PillowDecode, PillowCrop),
	} {
		c := r.Cases[i]
		if c.Width != 61 || c.Height != 47 || c.BitsPerPixel != 8*float64(c.Bytes)/(61*47) {
			t.Errorf("case %d: %+v", i, c)
		}
		var got []string
		for _, p := range c.Results {
			got = append(got, p.Path)
			if p.Milliseconds <= 0 || math.Abs(p.Milliseconds*p.ImagesPerSecond-1000) > 1e-6 {
				t.Errorf("case %d: %+v", i, p)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("case %d: paths %q, want %q", i, got, want)
		}
	}
	if p := r.Cases[0].result(PillowCrop); p.Milliseconds != 4 || p.ImagesPerSecond != 250 {
		t.Errorf("Pillow: %+v", p)
	}
}

// An image at fault is a case of its own, and peers do not see it.
func TestRefusals(t *testing.T) {
	whole := small(t)[0]
	r, err := Run(context.Background(), Options{
		Size: 9, Duration: time.Millisecond,
		Images: []Image{{"text.jpg", "unknown", []byte("no")}, {"cut.jpg", formatJPEG, whole.Data[:len(whole.Data)-2]}},
		Peers:  Peers{TJBench: script(t, "tjbench", "exit 1"), Python: None},
	})
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	if err := r.WriteMarkdown(&page); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"text.jpg, 2 bytes, refused: unsupported image format", "refused: truncated image (JPEG)"} {
		c := r.Cases[i]
		if len(c.Results) != 1 || c.Results[0].Path != crop(simd.Best().Name) || c.Results[0].Milliseconds <= 0 {
			t.Errorf("case %d: %+v", i, c)
		}
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q in\n%s", want, page.String())
		}
	}
}

func TestRunFails(t *testing.T) {
	images := small(t)
	f := func(name string, o Options, want string) {
		t.Helper()
		o.Duration = time.Millisecond
		_, err := Run(context.Background(), o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	f("tjbench fails", Options{Images: images, Peers: Peers{TJBench: script(t, "tjbench", "echo no memory >&2; exit 3"), Python: None}}, "no memory")
	f("tjbench says nothing", Options{Images: images, Peers: Peers{TJBench: script(t, "tjbench", "echo fast"), Python: None}}, "no frame rate")
	f("Pillow says nothing", Options{Images: images, Peers: Peers{TJBench: None, Python: script(t, "python", "echo 1 2")}}, "python")

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, Options{Peers: noPeers}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	if _, err := Run(ctx, Options{Images: images, Peers: noPeers}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
}

// The images are the same everywhere, so that reports are comparable.
func TestPhotographs(t *testing.T) {
	photo, err := stdjpeg.Decode(bytes.NewReader(coffee))
	if err != nil {
		t.Fatal(err)
	}
	a, b := grainy(photo, image.Pt(64, 48)), grainy(photo, image.Pt(64, 48))
	if sha256.Sum256(a.Pix) != sha256.Sum256(b.Pix) {
		t.Error("grain is random")
	}
	original, err := os.ReadFile("../../vit/testdata/images/photos/coffee_501x333_422.jpg")
	if err != nil || !bytes.Equal(original, coffee) {
		t.Errorf("the photograph is not that of the test images: %v", err)
	}
	for name, want := range map[string]string{
		"coffee_300x203_420.jpg":        formatJPEG,
		"coffee_240x160.gif":            formatGIF,
		"coffee_120x80.bmp":             formatBMP,
		"chelsea_451x300.png":           formatPNG,
		"coffee_600x400_lossy.webp":     "WebP",
		"seeding_5312x2988_420prog.jpg": formatProgressive,
	} {
		m, err := File("../../vit/testdata/images/photos/" + name)
		if err != nil || m.Format != want || m.Name != name {
			t.Errorf("%s: %s %s, %v, want %s", name, m.Name, m.Format, err, want)
		}
	}
}

func TestReport(t *testing.T) {
	best := simd.Best().Name
	r := Report{
		Date: time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC), Size: 224, Clock: "clock", Note: "A note.",
		Machine: machine.Machine{CPU: "cpu", Cores: 2, OS: "os", Arch: "arch", Go: "go1", Load: "1 2 3"},
		Peers:   []string{"libjpeg-turbo 1"},
		Cases:   []Case{{Image: "name", Format: "JPEG", Width: 640, Height: 480, Bytes: 38400, BitsPerPixel: 1}},
	}
	c := &r.Cases[0]
	c.add(crop(best), 2*time.Millisecond)
	c.add(TurboDecode, time.Millisecond)
	c.add(PillowCrop, 6*time.Millisecond)

	var text, page, data bytes.Buffer
	if err := errors.Join(r.WriteText(&text), r.WriteMarkdown(&page), json.NewEncoder(&data).Encode(r)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2026-11-23", "224 x 224", "cpu, 2 logical CPUs", "1 2 3", "libjpeg-turbo 1", "A note.", "640 x 480", "1.00 bits",
		"2.00 times the time of libjpeg-turbo's decode alone", "3.0 times as fast as Pillow", crop(best), "500.0", "19.2"} {
		for name, got := range map[string]string{"text": text.String(), "Markdown": page.String()} {
			if !strings.Contains(got, want) {
				t.Errorf("%s has no %q:\n%s", name, want, got)
			}
		}
	}
	if strings.Contains(text.String(), "standard library") {
		t.Error("a comparison with what was not measured")
	}
	var back Report
	if err := json.Unmarshal(data.Bytes(), &back); err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("%v: %+v, want %+v", err, back, r)
	}
}
