package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestInputsAndAnswers sends two images in every form of input that takes them,
// and one in the others, and reads every form of answer.
func TestInputsAndAnswers(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{})
	a, b := picture(t, 1), picture(t, 2)
	base := base64.StdEncoding.EncodeToString
	uri := func(img []byte) string { return "data:image/png;base64," + base(img) }
	asJSON := func(images ...any) func(...string) reply {
		return func(header ...string) reply { return c.json(map[string]any{"images": images}, header...) }
	}
	object := map[string]string{"id": "first", "data": uri(a)}
	raw := func(path, contentType string) func(...string) reply {
		return func(header ...string) reply {
			return c.do("POST", path, a, append(header, "Content-Type", contentType)...)
		}
	}
	inputs := map[string]struct {
		send  func(header ...string) reply
		count int
	}{
		"raw without type":     {func(header ...string) reply { return c.do("POST", "/api/embed", a, header...) }, 1},
		"raw image/png":        {raw("/api/embed", "image/png"), 1},
		"raw as curl sends it": {raw("/api", "application/x-www-form-urlencoded"), 1},
		"raw unparsable type":  {raw("/api/embed", "image/;;="), 1},
		"one file":             {func(header ...string) reply { return c.form("/api/embed", [][]byte{a}, nil, header...) }, 1},
		"two files":            {func(header ...string) reply { return c.form("/api", [][]byte{a, b}, nil, header...) }, 2},
		"data URIs":            {asJSON(uri(a), uri(b)), 2},
		"bare base64":          {asJSON(base(a), base64.RawURLEncoding.EncodeToString(b)), 2},
		"objects":              {asJSON(object, map[string]string{"data": base(b)}), 2},
		"mixed":                {asJSON(object, base(b)), 2},
	}
	want := [][]float32{wantVector(t, e, "pooled", a), wantVector(t, e, "pooled", b)}
	for name, in := range inputs {
		t.Run(name, func(t *testing.T) {
			r := in.send().want(200)
			got := r.decode()
			if len(got.Data) != in.count || got.Dim != 13 || got.Output != "pooled" || got.Normalized || got.Synthetic != nil {
				t.Fatalf("answer %s", r.body)
			}
			for i := range got.Data {
				if got.Data[i].Index != i || got.Data[i].Shape != nil || !slices.Equal(got.vector(t, i), want[i]) {
					t.Errorf("item %d is not the vector of image %d", i, i)
				}
			}
			rows := slices.Concat(want[:in.count]...)
			r = in.send("Accept", "application/octet-stream").want(200)
			if got := littleEndian(t, r.body); !slices.Equal(got, rows) || r.header.Get("Content-Type") != "application/octet-stream" {
				t.Errorf("raw answer differs: %v", got)
			}
			r = in.send("Accept", "application/x-npy").want(200)
			shape, got32 := parseNPY(t, r.body)
			if shape != fmt.Sprintf("(%d, 13)", in.count) || !slices.Equal(got32, rows) {
				t.Errorf("npy answer differs: shape %s, %v", shape, got32)
			}
		})
	}
}

func littleEndian(t *testing.T, b []byte) []float32 {
	t.Helper()
	if len(b)%4 != 0 {
		t.Fatalf("%d bytes are no float32s", len(b))
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

// parseNPY reads a file as numpy.lib.format describes version 1.0.
func parseNPY(t *testing.T, b []byte) (shape string, values []float32) {
	t.Helper()
	if !bytes.HasPrefix(b, []byte("\x93NUMPY\x01\x00")) {
		t.Fatalf("not npy 1.0: %q", b[:min(len(b), 16)])
	}
	end := 10 + int(binary.LittleEndian.Uint16(b[8:]))
	if end%64 != 0 || b[end-1] != '\n' {
		t.Fatalf("header of %d bytes ends in %q", end, b[end-1])
	}
	header := string(b[10:end])
	rest, ok := strings.CutPrefix(header, "{'descr': '<f4', 'fortran_order': False, 'shape': ")
	shape, tail, ok2 := strings.Cut(rest, ", }")
	if !ok || !ok2 || strings.TrimSpace(tail) != "" {
		t.Fatalf("header %q", header)
	}
	return shape, littleEndian(t, b[end:])
}

func TestAnswerFields(t *testing.T) {
	e := newFakeEngine()
	e.info.Synthetic = true
	c := serve(t, e, Config{ModelName: "served", MaxQueueDelay: 100 * time.Millisecond})
	r := c.form("/api/embed", [][]byte{picture(t, 1), picture(t, 2)}, nil, "x-request-id", "mine-1").want(200)
	got := r.decode()
	if got.Model != "served" || got.ModelDigest != e.info.ModelDigest || got.Preprocessing != "fake-1" ||
		got.Device != "cpu" || got.Precision != "fp32" || got.Synthetic == nil || !*got.Synthetic {
		t.Errorf("answer %s", r.body)
	}
	if *got.Data[0].Image != "a.png" || *got.Data[1].Image != "b.png" || got.Data[0].ID != nil {
		t.Errorf("images are not named by their files: %s", r.body)
	}
	for _, part := range []string{"queue", "preprocess", "compute", "total"} {
		if ms, ok := got.Timing[part]; !ok || ms < 0 || ms > got.Timing["total"] {
			t.Errorf("timing_ms.%s is %v of %v", part, ms, got.Timing)
		}
	}
	for name, want := range map[string]string{
		"x-vith-batch-size": "2", "x-vith-model-digest": e.info.ModelDigest, "x-vith-preprocessing": "fake-1",
		"x-request-id": "mine-1",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"x-total-time", "x-queue-time", "x-preprocess-time", "x-inference-time"} {
		if got := r.header.Get(name); got == "" || strings.Trim(got, "0123456789") != "" {
			t.Errorf("%s is %q, want whole milliseconds", name, got)
		}
	}
	a := picture(t, 1)
	got = c.json(map[string]any{"images": []any{map[string]string{"id": "tom's \"cat\"", "data": base64.StdEncoding.EncodeToString(a)}}}).want(200).decode()
	if got.Data[0].ID == nil || *got.Data[0].ID != `tom's "cat"` || got.Data[0].Image != nil {
		t.Errorf("item is not named by its id")
	}
}

func TestRequestID(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{})
	one, two := c.get("/health/live").header.Get("x-request-id"), c.get("/health/live").header.Get("x-request-id")
	if len(one) != 32 || one == two {
		t.Errorf("ids %q and %q are not fresh", one, two)
	}
	for _, bad := range []string{strings.Repeat("x", 129), "a b"} {
		if got := c.get("/health/live", "x-request-id", bad).header.Get("x-request-id"); got == bad {
			t.Errorf("id %q came back", bad)
		}
	}
}

func TestOptions(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{})
	img := picture(t, 3)
	text := base64.StdEncoding.EncodeToString(img)
	pooled, projected := wantVector(t, e, "pooled", img), wantVector(t, e, "projected", img)

	ways := map[string]func(name, value string) reply{
		"query": func(name, value string) reply { return c.do("POST", "/api/embed?"+name+"="+value, img) },
		"form":  func(name, value string) reply { return c.form("/api/embed", [][]byte{img}, []string{name, value}) },
		"json": func(name, value string) reply {
			if value != "true" && value != "false" && strings.Trim(value, "0123456789") != "" {
				value = `"` + value + `"`
			}
			return c.json(`{"` + name + `":` + value + `,"images":["` + text + `"]}`)
		},
	}
	for way, send := range ways {
		t.Run(way, func(t *testing.T) {
			if got := send("output", "projected").want(200).decode(); got.Dim != 7 || !slices.Equal(got.vector(t, 0), projected) {
				t.Error("output=projected is not the projected vector")
			}
			got := send("normalize", "true").want(200).decode()
			if n := norm(got.vector(t, 0)); !got.Normalized || math.Abs(n-1) > 1e-6 {
				// 13 roundings to float32, each within 2^-24 of the value
				t.Errorf("normalize=true has norm %v", n)
			}
			if got := send("normalize", "false").want(200).decode(); got.Normalized || !slices.Equal(got.vector(t, 0), pooled) {
				t.Error("normalize=false is not the plain vector")
			}
			var coded string
			got = send("encoding_format", "base64").want(200).decode()
			if err := json.Unmarshal(got.Data[0].Embedding, &coded); err != nil {
				t.Fatal(err)
			}
			raw, err := base64.StdEncoding.DecodeString(coded)
			if err != nil || !slices.Equal(littleEndian(t, raw), pooled) {
				t.Errorf("base64 differs: %v", err)
			}
			got = send("output", "penultimate").want(200).decode()
			if got.Dim != 5 || !slices.Equal(got.Data[0].Shape, []int{3, 5}) || len(got.vector(t, 0)) != 15 {
				t.Errorf("penultimate has dim %d, shape %v", got.Dim, got.Data[0].Shape)
			}
			got = send("crop", "true").want(200).decode()
			coded, ok := strings.CutPrefix(got.Data[0].Crop, "data:image/png;base64,")
			raw, err = base64.StdEncoding.DecodeString(coded)
			if err != nil || !ok {
				t.Fatalf("crop is %.60q: %v", got.Data[0].Crop, err)
			}
			if crop, err := png.DecodeConfig(bytes.NewReader(raw)); err != nil || crop.Width != 16 || crop.Height != 16 {
				t.Errorf("crop is %v, %v", crop, err)
			}
			send("model", "fake").want(200)
			send("model", "other").wantError(404, "model_not_found")
			send("dimensions", "13").want(200)
			send("dimensions", "12").wantError(400, "invalid_dimensions")
			send("nonsense", "12").want(200)
			for name, value := range map[string]string{
				"output": "hidden", "normalize": "maybe", "encoding_format": "hex", "on_error": "ignore", "dimensions": "0", "crop": "1",
			} {
				if got := send(name, value).wantError(422, "invalid_value"); got.Error.Param == nil || *got.Error.Param != name {
					t.Errorf("the param of %s is %v", name, got.Error.Param)
				}
			}
		})
	}
	c.do("POST", "/api/embed?output=penultimate&normalize=true", img).wantError(422, "invalid_value")
	shape, _ := parseNPY(t, c.do("POST", "/api/embed?output=penultimate", img, "Accept", "application/x-npy").want(200).body)
	if shape != "(1, 3, 5)" {
		t.Errorf("npy of penultimate has shape %s", shape)
	}
}

func TestServerDefaults(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{Output: "projected", Normalize: true})
	if got := c.do("POST", "/api/embed", picture(t, 1)).want(200).decode(); got.Output != "projected" || !got.Normalized {
		t.Errorf("output %s, normalized %v", got.Output, got.Normalized)
	}
}

func TestNegotiate(t *testing.T) {
	f := func(accept string, want form) {
		t.Helper()
		if got := negotiate(accept); got != want {
			t.Errorf("Accept %q gets %s, want %s", accept, got, want)
		}
	}
	f("", formJSON)
	f("*/*", formJSON)
	f("text/html, image/png", formJSON)
	f("application/octet-stream", formRaw)
	f("Application/X-NPY", formNPY)
	f("application/json, application/x-npy", formJSON)
	f("application/x-npy, application/json", formNPY)
	f("application/json;q=0.5, application/x-npy;q=0.9, application/octet-stream;q=0.7", formNPY)
	f("application/x-npy;q=0, */*", formJSON)
	f("application/x-npy;q=high, application/octet-stream;q=0.1", formRaw)
	f(",,;;=, application/octet-stream", formRaw)
}

// TestIsolation puts every kind of bad image among good ones.
func TestIsolation(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{MaxImagePixels: 23 * 17})
	good := picture(t, 1)
	base := base64.StdEncoding.EncodeToString
	images := []any{
		base(good),
		base(good[:len(good)/2]),
		"",
		"data:image/png," + base(good),
		"https://example.org/cat.jpg",
		map[string]string{"id": "text", "data": base([]byte("no image"))},
		"***",
		base(sizedPicture(t, 1, 24, 17)),
		base(picture(t, 2)),
	}
	codes := []string{"", "truncated_image", "empty_image", "invalid_data_uri", "url_fetch_off", "unsupported_image_format", "invalid_base64", "image_too_large", ""}
	got := c.json(map[string]any{"images": images}).want(200).decode()
	for i, want := range codes {
		item := got.Data[i]
		code := ""
		if item.Error != nil {
			code = item.Error.Code
		}
		if item.Index != i || code != want || (item.Embedding == nil) != (want != "") {
			t.Errorf("item %d: index %d, error %q, want %q", i, item.Index, code, want)
		}
	}
	if !slices.Equal(got.vector(t, 8), wantVector(t, e, "pooled", picture(t, 2))) {
		t.Error("the last image has another's vector")
	}
	if *got.Data[5].ID != "text" {
		t.Error("a bad image lost its id")
	}

	r := c.json(map[string]any{"images": images, "on_error": "fail"})
	if failed := r.wantError(400, "truncated_image"); *failed.Error.Param != "images[1]" {
		t.Errorf("param %s", *failed.Error.Param)
	}
	c.json(map[string]any{"images": images}, "Accept", "application/x-npy").wantError(400, "truncated_image")
	c.json(map[string]any{"images": images}, "Accept", "application/octet-stream").wantError(400, "truncated_image")

	none := c.json(map[string]any{"images": images[1:8]}).wantError(400, "no_usable_image")
	for i, item := range none.Data {
		if item.Index != i || item.Error == nil || item.Error.Code != codes[i+1] {
			t.Errorf("item %d of the failure: %+v", i, item)
		}
	}
}

func TestOneBadImage(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{MaxImagePixels: 400})
	good, text := picture(t, 1), []byte("no image")
	asJSON := func(img []byte) reply {
		return c.json(map[string]any{"images": []string{base64.StdEncoding.EncodeToString(img)}})
	}
	c.do("POST", "/api/embed", text).wantError(415, "unsupported_image_format")
	c.do("POST", "/api/embed", text, "Accept", "application/x-npy").wantError(415, "unsupported_image_format")
	asJSON(text).wantError(400, "unsupported_image_format")
	c.form("/api/embed", [][]byte{text}, nil).wantError(400, "unsupported_image_format")
	c.do("POST", "/api/embed", good[:len(good)/2]).wantError(400, "truncated_image")
	large := sizedPicture(t, 1, 40, 40)
	c.do("POST", "/api/embed", large).wantError(413, "image_too_large")
	asJSON(large).wantError(413, "image_too_large")
	got := c.form("/api/embed", [][]byte{large}, nil).wantError(413, "image_too_large")
	if len(got.Data) != 1 || got.Data[0].Error.Code != "image_too_large" || *got.Data[0].Image != "a.png" {
		t.Errorf("data %+v", got.Data)
	}
	c.form("/api/embed", [][]byte{{}}, nil).wantError(400, "empty_image")
}

func TestMalformedRequests(t *testing.T) {
	c := serve(t, newFakeEngine(), Config{MaxClientBatchSize: 3})
	img := base64.StdEncoding.EncodeToString(picture(t, 1))
	post := func(body, contentType string) reply {
		t.Helper()
		return c.do("POST", "/api/embed", []byte(body), "Content-Type", contentType)
	}
	post("", "image/png").wantError(400, "empty_body")
	post("", "application/json").wantError(400, "empty_body")
	post("--x--", "multipart/form-data").wantError(400, "malformed_form")
	post("nothing", "multipart/form-data; boundary=x").wantError(400, "no_images")
	post("--x\r\nContent-Disposition: form-data; name=a; filename=a\r\n\r\ncut", "multipart/form-data; boundary=x").wantError(400, "malformed_form")
	post("--x\r\nContent-Disposition: form-data; name=output\r\n\r\npooled\r\n--x--\r\n", "multipart/form-data; boundary=x").wantError(400, "no_images")
	c.form("/api/embed", [][]byte{{1}, {2}, {3}, {4}}, nil).wantError(413, "too_many_images")

	for _, body := range []string{
		"{", "nonsense", `{"images":["` + img, `{"images":["` + img + `"]`, `{"images":["` + img + `"]} {}`, `{"images":["` + img + `",]}`, `{"images"}`,
		`{"output":"\x"}`, `{"images":[nul]}`, "\x00",
	} {
		c.json(body).wantError(400, "malformed_json")
	}
	for _, body := range []string{`{}`, `{"images":[]}`, `{"output":"pooled"}`} {
		c.json(body).wantError(400, "no_images")
	}
	for _, body := range []string{
		`[]`, `7`, `null`, `{"images":"x"}`, `{"images":{}}`, `{"images":null}`, `{"images":[1]}`, `{"images":[null]}`, `{"images":[[]]}`,
		`{"images":[{}]}`, `{"images":[{"data":7}]}`, `{"images":[{"id":7,"data":""}]}`,
		`{"normalize":1}`, `{"normalize":"true"}`, `{"output":7}`, `{"dimensions":"13"}`, `{"dimensions":1.5}`, `{"on_error":{}}`, `{"model":[]}`,
	} {
		c.json(body).wantError(422, "invalid_value")
	}
	c.json(`{"images":["`+strings.Repeat(img+`","`, 3)+img+`"]}`).wantError(413, "too_many_images")
	c.json(`{"images":["` + img + `"],"output":null,"x":[{"y":1}]}`).want(200)
	c.json(`{"images":["` + strings.ReplaceAll(img, "/", `\/`) + `"]}`).want(200)
}

// TestBatches sends a request of more images than a batch holds.
func TestBatches(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{MaxQueueDelay: time.Second / 4})
	var files [][]byte
	var want [][]float32
	for i := range 11 {
		files = append(files, picture(t, i))
		want = append(want, wantVector(t, e, "pooled", files[i]))
	}
	files[5] = []byte("bad")
	r := c.form("/api/embed", files, nil).want(200)
	if !slices.Equal(e.batches, []int{4, 4, 2}) || r.header.Get("x-vith-batch-size") != "4" {
		t.Errorf("batches %v, said to be %s", e.batches, r.header.Get("x-vith-batch-size"))
	}
	got := r.decode()
	for i := range files {
		if i != 5 && !slices.Equal(got.vector(t, i), want[i]) {
			t.Errorf("item %d is not the vector of image %d", i, i)
		}
	}
}

func TestConcurrentRequests(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{})
	var wg sync.WaitGroup
	for i := range 24 {
		img := picture(t, i)
		want := wantVector(t, e, "pooled", img)
		wg.Go(func() {
			for range 4 {
				if got := c.form("/api/embed", [][]byte{[]byte("bad"), img}, nil).want(200).decode(); !slices.Equal(got.vector(t, 1), want) {
					t.Errorf("image %d got another's vector", i)
				}
			}
		})
	}
	wg.Wait()
	c.wantNothingHeld()
}

// TestLargeAnswer passes streamAbove, where an answer is encoded while it is
// sent.
func TestLargeAnswer(t *testing.T) {
	e := newFakeEngine()
	e.info.Outputs = map[string][]int{"pooled": {streamAbove / 4}}
	c := serve(t, e, Config{})
	img := picture(t, 1)
	want := wantVector(t, e, "pooled", img)
	want = slices.Concat(want, want)
	got := c.form("/api/embed", [][]byte{img, img}, nil, "Accept", "application/octet-stream").want(200)
	if !slices.Equal(littleEndian(t, got.body), want) {
		t.Error("the streamed answer differs")
	}
}

func TestAnswerTooLarge(t *testing.T) {
	e := newFakeEngine()
	e.info.Outputs["penultimate"] = []int{1 << 12, 1 << 13}
	c := serve(t, e, Config{})
	c.form("/api/embed?output=penultimate", [][]byte{{1}, {2}, {3}}, nil).wantError(413, "answer_too_large")
}

func TestEngineFailures(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{})
	img := picture(t, 1)
	secret := errors.New("device lost at 0xdeadbeef")
	f := func(what string, status int, code string) {
		t.Helper()
		r := c.do("POST", "/api/embed", img)
		r.wantError(status, code)
		if bytes.Contains(r.body, []byte("0xdeadbeef")) {
			t.Errorf("%s: the answer tells what only the log should", what)
		}
		c.wantNothingHeld()
	}
	e.onEmbed = func(context.Context, int) error { return secret }
	f("an error of Embed", 503, "engine_failed")
	e.onEmbed = func(context.Context, int) error { panic(secret) }
	f("a panic of Embed", 503, "engine_failed")
	e.onEmbed = nil
	e.onPrepare = func(context.Context, []byte) error { panic(secret) }
	f("a panic of Prepare", 500, "internal_error")
	e.onPrepare = nil
	e.afterward = func(out []float32) { out[3] = float32(math.NaN()) }
	f("a NaN", 500, "internal_error")
	e.afterward = func(out []float32) { out[0] = float32(math.Inf(-1)) }
	f("an infinity", 500, "internal_error")
	e.afterward = nil
	c.do("POST", "/api/embed", img).want(200)

	e.onPrepare = func(context.Context, []byte) error { return errors.New("odd") }
	c.do("POST", "/api/embed", img).wantError(400, "invalid_image")
}

func TestPanicInHandler(t *testing.T) {
	e := newFakeEngine()
	p := &panickyDevices{fakeEngine: e}
	c := serve(t, p, Config{})
	p.panics = true
	c.get("/api/devices").wantError(500, "internal_error")
	c.do("POST", "/api/embed", picture(t, 1)).want(200)
}

type panickyDevices struct {
	*fakeEngine
	panics bool
}

func (p *panickyDevices) Devices() []Device {
	if p.panics {
		panic("no devices today")
	}
	return p.fakeEngine.Devices()
}

func TestDeadline(t *testing.T) {
	img := picture(t, 1)
	config := Config{RequestTimeout: 100 * time.Millisecond}

	e := newFakeEngine()
	e.onPrepare = func(ctx context.Context, _ []byte) error { <-ctx.Done(); return ctx.Err() }
	serve(t, e, config).do("POST", "/api/embed", img).wantError(504, "deadline_exceeded")

	release := make(chan struct{})
	e = newFakeEngine()
	e.onEmbed = func(context.Context, int) error { <-release; return nil } // does not look at ctx
	c := serve(t, e, config)
	c.do("POST", "/api/embed", img).wantError(504, "deadline_exceeded")
	if n := c.server.admission.images.Load(); n != 1 {
		t.Errorf("%d images count as admitted while the engine is at one", n)
	}
	close(release)
	c.wantNothingHeld()
}

func TestQueueFull(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{MaxQueueSize: 2, MaxClientBatchSize: 2})
	img := picture(t, 1)
	entered, release := make(chan struct{}, 2), make(chan struct{})
	e.onEmbed = func(context.Context, int) error { entered <- struct{}{}; <-release; return nil }
	var wg sync.WaitGroup
	wg.Go(func() { c.do("POST", "/api/embed", img).want(200) })
	<-entered
	r := c.form("/api/embed", [][]byte{img, img}, nil)
	r.wantError(429, "queue_full")
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	wg.Go(func() { c.do("POST", "/api/embed", img).want(200) }) // there is still room for one
	for c.server.batcher.waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	wg.Wait()
	c.wantNothingHeld()
}

// TestMemoryFull sends requests while another holds all the memory there is for
// them.
func TestMemoryFull(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{MaxInflightBytes: 1000})
	img := picture(t, 1)
	entered, release := make(chan struct{}, 2), make(chan struct{})
	e.onEmbed = func(context.Context, int) error { entered <- struct{}{}; <-release; return nil }
	var wg sync.WaitGroup
	wg.Go(func() { c.form("/api/embed", [][]byte{img, img, img}, nil).want(200) }) // alone it goes, whatever its size
	<-entered
	c.do("POST", "/api/embed", img).wantError(429, "memory_full")
	c.get("/api").want(200)
	close(release)
	wg.Wait()
	c.wantNothingHeld()
	c.do("POST", "/api/embed", img).want(200)
}

func TestSimilarity(t *testing.T) {
	e := newFakeEngine()
	c := serve(t, e, Config{})
	a, b := picture(t, 1), picture(t, 9)
	r := c.form("/api/similarity", [][]byte{a, []byte("bad"), b, a}, nil).want(200)
	var got struct {
		Similarity [][]*float64
		Data       []struct {
			Index int
			Image string
			Error *struct{ Code string }
		}
	}
	if err := json.Unmarshal(r.body, &got); err != nil {
		t.Fatal(err)
	}
	va, vb := wantVector(t, e, "pooled", a), wantVector(t, e, "pooled", b)
	ab := dot(va, vb) / (norm(va) * norm(vb))
	want := [][]float64{{1, 0, ab, 1}, nil, {ab, 0, 1, ab}, {1, 0, ab, 1}}
	for i, row := range got.Similarity {
		for j, cell := range row {
			if i == 1 || j == 1 {
				if cell != nil {
					t.Errorf("[%d][%d] is %v, want null", i, j, *cell)
				}
				continue
			}
			if cell == nil || math.Abs(*cell-want[i][j]) > 1e-7 { // one rounding to float32
				t.Errorf("[%d][%d] is %v, want %v", i, j, cell, want[i][j])
			}
		}
	}
	if len(got.Similarity) != 4 || len(got.Data) != 4 || got.Data[1].Error.Code != "unsupported_image_format" || got.Data[2].Image != "c.png" {
		t.Errorf("answer %s", r.body)
	}
	c.form("/api/similarity?output=penultimate", [][]byte{a, b}, nil).wantError(422, "invalid_value")
	c.form("/api/similarity", [][]byte{{1}, {2}}, nil).wantError(400, "no_usable_image")
}
