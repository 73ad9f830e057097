//go:build browser

package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// servePage serves a model of real dimensions on a port of this machine and
// returns its URL.
func servePage(t *testing.T, e *fakeEngine, c Config) string {
	t.Helper()
	e.info.Model = "vit-h-14"
	e.info.Synthetic = true
	e.info.ImageSize = 224
	e.info.InBytes = 3 * 224 * 224
	e.info.Outputs = map[string][]int{"pooled": {1280}, "projected": {1024}, "penultimate": {257, 1280}}
	s, err := New(e, c)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(ln)
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	return "http://" + ln.Addr().String()
}

// writeFiles writes three pictures and a text, and returns their paths.
func writeFiles(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	files := map[string][]byte{
		"1.png": sizedPicture(t, 1, 301, 200), "2.png": sizedPicture(t, 40, 120, 333), "3.png": sizedPicture(t, 1, 301, 201),
		"4-bad.png": []byte("no image"),
	}
	var paths []string
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

func TestPageInBrowser(t *testing.T) {
	e := newFakeEngine()
	b := newBrowser(t)
	b.open(servePage(t, e, Config{}))
	b.wait(`!document.getElementById('facts').hidden`)
	text := eval[string](b, `document.body.innerText`)
	for _, want := range []string{"vit-h-14", "cpu", "fp32", "5f4dcc3b5aa7", "Synthetic model", "vith weights pull", "curl --data-binary @cat.jpg http://127.0.0.1"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q", want)
		}
	}

	b.typeText("#files", writeFiles(t)...)
	b.wait(`document.querySelectorAll('.card.done').length === 3 && document.querySelectorAll('.card.bad').length === 1`)
	if got := eval[string](b, `document.querySelector('.card.bad').innerText`); !strings.Contains(got, "4-bad.png") || !strings.Contains(got, "unsupported_image_format") {
		t.Errorf("the bad image's card shows %q", got)
	}
	if got := eval[string](b, `document.getElementById('status').innerText`); got != "4 images, 1 failed" {
		t.Errorf("status %q", got)
	}
	if got := eval[[]int](b, `[...document.querySelectorAll('.done .crop')].map((i) => i.naturalWidth)`); !slices.Equal(got, []int{224, 224, 224}) {
		t.Errorf("crops are %v wide", got)
	}
	if got := eval[[]int](b, `[...document.querySelectorAll('.done canvas')].flatMap((c) => [c.width, c.height])`); !slices.Equal(got, []int{64, 20, 64, 20, 64, 20}) {
		t.Errorf("pictures of vectors are %v", got)
	}
	const colours = `(() => { const c = document.querySelector('canvas');
		return new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, 64, 20).data.buffer)).size })()`
	if n := eval[int](b, colours); n < 100 {
		t.Errorf("the picture of a vector has %d colours", n)
	}

	cells := eval[[]string](b, `[...document.querySelectorAll('#matrix td')].map((c) => c.innerText)`)
	if len(cells) != 10 || cells[1] != "1.000" || cells[3] != cells[7] {
		t.Errorf("matrix %q", cells)
	}

	eval[any](b, `navigator.clipboard.writeText = async (text) => { window.copied = text }`)
	b.click(".card.done button")
	b.wait(`window.copied !== undefined`)
	var copied []float32
	if err := json.Unmarshal([]byte(eval[string](b, `window.copied`)), &copied); err != nil || len(copied) != 1280 {
		t.Errorf("copied %d values, %v", len(copied), err)
	}
	if got, want := eval[string](b, `document.querySelector('.figures').innerText`), fmt.Sprintf("norm %.2f", norm(copied)); !strings.HasPrefix(got, want) {
		t.Errorf("figures %q, want %s", got, want)
	}
	b.typeText("canvas", "\ue014\ue014\ue015") // right, right, down
	if got := eval[string](b, `document.querySelector('.card output').innerText`); !strings.HasPrefix(got, "[65] ") {
		t.Errorf("after arrow keys the card reads %q", got)
	}

	eval[any](b, `(() => { const o = document.getElementById('output'); o.value = 'projected'; o.dispatchEvent(new Event('change')) })()`)
	b.wait(`[...document.querySelectorAll('.done canvas')].filter((c) => c.height === 16).length === 3`)
	b.click("#normalize")
	b.wait(`[...document.querySelectorAll('.done .figures')].filter((f) => f.innerText.startsWith('norm 1.0000')).length === 3`)

	// A drop and a paste carry files in the same way.
	eval[any](b, `(async () => {
		const blob = await (await fetch('/page/icon.svg')).blob();
		const transfer = new DataTransfer();
		transfer.items.add(new File([blob], 'dropped.svg'));
		document.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, cancelable: true }));
		document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer }));
	})()`)
	b.wait(`document.querySelectorAll('.card.bad').length === 3`)

	b.screenshot(500)
	if wide := eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
		t.Errorf("a narrow page scrolls sideways by %d pixels", wide)
	}

	b.click("#clear")
	if eval[int](b, `document.querySelectorAll('.card').length`) != 0 || eval[bool](b, `!document.getElementById('similarity').hidden`) {
		t.Error("something is left after Clear")
	}
	for _, message := range b.console() {
		if !strings.Contains(message, "status of 415") { // the bad images
			t.Errorf("console: %s", message)
		}
	}
}

func TestKeyInBrowser(t *testing.T) {
	e := newFakeEngine()
	b := newBrowser(t)
	b.open(servePage(t, e, Config{APIKeys: []string{"open sesame"}}))
	b.wait(`!document.getElementById('key').hidden`)
	b.typeText("#files", writeFiles(t)...)
	b.typeText("#key-text", "wrong\n")
	b.wait(`!document.getElementById('key').hidden && document.getElementById('facts').hidden`)
	eval[any](b, `document.getElementById('key-text').value = ''`)
	b.typeText("#key-text", "open sesame\n")
	b.wait(`document.querySelectorAll('.card.done').length === 3`)
	if !eval[bool](b, `document.getElementById('key').hidden`) {
		t.Error("the page still asks for a key")
	}
}
